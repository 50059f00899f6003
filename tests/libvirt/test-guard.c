/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may send a guest to a host, how many at once, and how it is kept from
 * others on the way. */
#include <string.h>

#include "cases.h"
#include "loop.h"
#include "move.h"
#include "scene.h"

static bool refuses(Domain *domain, GError **errp)
{
    return scene_refuses(domain, NULL, errp);
}

static bool moves_there(Domain *domain, GError **errp)
{
    return move_domain(domain, HOST_A, case_now()->flags, errp) &&
           domain_runs_on(domain, HOST_B, errp) &&
           domain_verify(domain, HOST_B, errp);
}

/* With another one under way; that arrives all the same. */
static bool refuses_one_more(Domain *domain, GError **errp)
{
    DomainOptions options = domain_options(domain);
    Domain *other;
    Virsh *move = NULL;
    g_autofree char *slowly = g_strconcat(case_now()->flags, MOVE_SLOWLY, NULL);
    bool ok = false;

    options.name = "another";
    other = domain_new(case_hosts(), &options, errp);
    move = other ? move_until_copying(other, slowly, errp) : NULL;
    if (move) {
        ok = refuses(domain, errp) && move_set_free(other, errp) &&
             virsh_wait(move, 60, errp) &&
             domain_runs_on(other, HOST_B, errp) && moves_there(domain, errp);
    }
    virsh_free(move);
    domain_free(other);
    return ok;
}

static bool source_says(Domain *domain, const char *command, const char *expect,
                        GError **errp)
{
    g_autofree char *said =
        host_virsh(case_hosts(), HOST_A, errp, "qemu-monitor-command %s %s",
                   domain_name(domain), command);

    if (said && !strstr(said, expect)) {
        return harness_fail(errp, "%s says %s", command, said);
    }
    return said != NULL;
}

/* A key is 64 digits; nothing else in these files has so many. */
static bool logs_are_clean(Host host, GError **errp)
{
    g_autofree char *found =
        host_run(case_hosts(), host, errp, "sh", "-ec",
                 "grep -arlE '(^|[^0-9a-f])[0-9a-f]{64}([^0-9a-f]|$)' "
                 "/var/log/libvirt || true",
                 NULL);

    if (found && *found) {
        return harness_fail(errp, "on %s there is a key in %s", host_name(host),
                            found);
    }
    return found != NULL;
}

/* Its file goes with the migration. */
static bool has_no_key(Host host, GError **errp)
{
    g_autofree char *found =
        host_run(case_hosts(), host, errp, "find", "/var/lib/libvirt/qemu",
                 "/run/libvirt", "-name", "*.psk", NULL);

    if (found && *found) {
        return harness_fail(errp, "on %s the key is left in %s",
                            host_name(host), found);
    }
    return found != NULL;
}

static bool uses_key(Domain *domain, GError **errp)
{
    g_autofree char *slowly = g_strconcat(case_now()->flags, MOVE_SLOWLY, NULL);
    Virsh *move = move_until_copying(domain, slowly, errp);
    bool ok = move &&
              source_says(domain, "{\"execute\":\"query-migrate-parameters\"}",
                          "\"tls-creds\":\"objlibvirt_migrate_tls", errp) &&
              move_set_free(domain, errp) && virsh_wait(move, 60, errp);

    virsh_free(move);
    return ok && domain_runs_on(domain, HOST_B, errp) &&
           domain_verify(domain, HOST_B, errp) &&
           logs_are_clean(HOST_A, errp) && logs_are_clean(HOST_B, errp) &&
           has_no_key(HOST_A, errp) && has_no_key(HOST_B, errp);
}

/* clang-format off */
#define GUARD "/libvirt/guard/"
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define TCG .accel = "tcg"
#define ONE { TCG, .disks = { RAW } }
#define TWO { TCG, .guest = CASE_BUSY, .disks = { RAW, QCOW2 } }
#define SHARED_NOTHING "--shared-nothing"
#define P2P SHARED_NOTHING " --p2p"
#define X509 SHARED_NOTHING " --tls --tls-destination dest.example"
#define CERTS(name_) \
    "migrate_tls_x509_cert_dir = \"/var/lib/libvirt/pki/" name_ "\"\n"
#define BOTH(source_, dest_) { [HOST_A] = source_, [HOST_B] = dest_ }
#define DEST(dest_) { [HOST_B] = dest_ }

static const Case cases[] = {
    { GUARD "allow/network", ONE, moves_there, SHARED_NOTHING,
      .config = DEST("shared_nothing_allow = [ \"10.77.0.0/24\" ]") },
    { GUARD "allow/ipv6", ONE, moves_there, P2P,
      .config = DEST("shared_nothing_allow = [ \"fd77::1\" ]") },
    { GUARD "allow/others", ONE, refuses, SHARED_NOTHING,
      "destination host does not allow|host-a|10.77.0.1|shared_nothing_allow",
      DEST("shared_nothing_allow = [ \"192.0.2.0/24\" ]") },
    { GUARD "allow/others/peer-to-peer", ONE, refuses, P2P,
      "destination host does not allow|host-a|10.77.0.1|shared_nothing_allow",
      DEST("shared_nothing_allow = [ \"10.77.0.2\", \"10.78.0.0/16\" ]") },

    { GUARD "limit/incoming", TWO, refuses_one_more, SHARED_NOTHING,
      "destination host allows 1 incoming|shared_nothing_max_incoming",
      DEST("shared_nothing_max_incoming = 1") },
    { GUARD "limit/incoming/peer-to-peer", TWO, refuses_one_more, P2P,
      "destination host allows 1 incoming|shared_nothing_max_incoming",
      DEST("shared_nothing_max_incoming = 1") },
    { GUARD "limit/outgoing", TWO, refuses_one_more, SHARED_NOTHING,
      "source host allows 1 outgoing|shared_nothing_max_outgoing",
      { [HOST_A] = "shared_nothing_max_outgoing = 1" } },

    { GUARD "key", TWO, uses_key, SHARED_NOTHING },
    { GUARD "key/peer-to-peer", TWO, uses_key, P2P },
    { GUARD "key/destination-has-none", ONE, refuses, SHARED_NOTHING,
      "destination host offers no encryption|shared_nothing_tls",
      DEST("shared_nothing_tls = \"none\"") },
    { GUARD "key/both-have-none", ONE, moves_there, SHARED_NOTHING,
      .config = BOTH("shared_nothing_tls = \"none\"",
                     "shared_nothing_tls = \"none\"") },

    { GUARD "x509", TWO, moves_there, X509,
      .config = BOTH(CERTS("good"), CERTS("good")) },
    { GUARD "x509/peer-to-peer", TWO, moves_there, X509 " --p2p",
      .config = BOTH(CERTS("good"), CERTS("good")) },
    { GUARD "x509/demanded", ONE, refuses, SHARED_NOTHING,
      "destination host demands TLS with certificates|shared_nothing_tls",
      DEST("shared_nothing_tls = \"x509\"") },
    { GUARD "x509/expired", ONE, refuses, X509, "expired",
      BOTH(CERTS("good"), CERTS("expired")) },
    { GUARD "x509/another-authority", ONE, refuses, X509,
      "certificate",
      BOTH(CERTS("good"), CERTS("other")) },
    { GUARD "x509/another-host", ONE, refuses, X509,
      "does not match the hostname dest.example",
      BOTH(CERTS("good"), CERTS("elsewhere")) },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    cases_add(cases, G_N_ELEMENTS(cases));
    return cases_run();
}
