/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moving a domain by virsh migrate. */
#include <string.h>

#include "loop.h"
#include "move.h"

/* A migration that takes longer hangs. */
#define MOVE_SECONDS 120
#define COPYING_SECONDS 60
/* Of virsh domjobinfo. */
#define DATA "Data processed:"

Virsh *move_start(Domain *domain, Host from, const char *flags, GError **errp)
{
    return virsh_start(domain_hosts(domain), from, errp,
                       "migrate --live %s %s qemu+tcp://%s/system", flags,
                       domain_name(domain), host_name(host_other(from)));
}

bool move_domain(Domain *domain, Host from, const char *flags, GError **errp)
{
    Virsh *virsh = move_start(domain, from, flags, errp);
    bool moved = virsh && virsh_wait(virsh, MOVE_SECONDS, errp);

    virsh_free(virsh);
    return moved;
}

char *move_said(Virsh *virsh, GError **errp)
{
    g_autoptr(GError) error = NULL;
    char *said = NULL;

    if (!virsh) {
        return NULL;
    }
    if (virsh_wait(virsh, MOVE_SECONDS, &error)) {
        harness_fail(errp, "the domain was moved");
    } else if (!virsh_ended(virsh)) {
        g_propagate_error(errp, g_steal_pointer(&error));
    } else {
        said = g_strdup(virsh_output(virsh));
    }
    virsh_free(virsh);
    return said;
}

char *move_fails(Domain *domain, Host from, const char *flags, GError **errp)
{
    return move_said(move_start(domain, from, flags, errp), errp);
}

bool move_and_compare(Domain *domain, Host from, const char *flags,
                      const char *directory, GError **errp)
{
    g_autofree char *all = g_strconcat("--suspend ", flags, NULL);

    return move_domain(domain, from, all, errp) &&
           domain_compare(domain, host_other(from), directory, errp);
}

bool move_go_on(Domain *domain, Host to, GError **errp)
{
    g_autofree char *resumed = domain_do(domain, to, "resume", errp);

    return resumed && domain_runs_on(domain, to, errp) &&
           domain_verify(domain, to, errp);
}

bool move_and_prove(Domain *domain, Host from, const char *flags,
                    const char *directory, GError **errp)
{
    return move_and_compare(domain, from, flags, directory, errp) &&
           move_go_on(domain, host_other(from), errp);
}

bool move_left_nothing(Domain *domain, Host host, const char *directory,
                       GError **errp)
{
    Host other = host_other(host);
    g_autofree char *files = NULL;

    if (!domain_runs_on(domain, host, errp) ||
        !domain_verify(domain, host, errp)) {
        return false;
    }
    files = domain_files(domain, other, directory, errp);
    if (files && *files) {
        return harness_fail(errp, "%s has files of the domain left: %s",
                            host_name(other), files);
    }
    return files != NULL;
}

/* Whether the source says that data are on the way. */
static bool is_copying(Domain *domain)
{
    g_autofree char *info = domain_do(domain, HOST_A, "domjobinfo", NULL);
    const char *data = info ? strstr(info, DATA) : NULL;

    return data && g_ascii_strtod(data + strlen(DATA), NULL) > 0;
}

static bool wait_copying(Domain *domain, Virsh *move, GError **errp)
{
    int64_t end = loop_now_us() + COPYING_SECONDS * G_USEC_PER_SEC;

    while (!is_copying(domain)) {
        if (virsh_ended(move)) {
            return harness_fail(errp, "it was over too early: %s",
                                virsh_output(move));
        }
        if (loop_now_us() > end) {
            return harness_fail(errp, "nothing is ever copied");
        }
    }
    return true;
}

Virsh *move_until_copying(Domain *domain, const char *flags, GError **errp)
{
    Virsh *move = move_start(domain, HOST_A, flags, errp);

    if (move && !wait_copying(domain, move, errp)) {
        virsh_free(move);
        return NULL;
    }
    return move;
}

bool move_set_free(Domain *domain, GError **errp)
{
    g_autofree char *done =
        host_virsh(domain_hosts(domain), HOST_A, errp,
                   "migrate-setspeed %s 1000", domain_name(domain));

    return done != NULL;
}
