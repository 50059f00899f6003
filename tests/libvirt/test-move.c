/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain moves to the other host and back. */
#include <string.h>

#include "cases.h"
#include "loop.h"
#include "move.h"

/* libvirt's own way, on the same hosts: the destination needs a pool, and
 * files that are there are written over. */
static bool moves_by_stock(Domain *domain, GError **errp)
{
    g_autofree char *pool =
        host_virsh(case_hosts(), HOST_B, errp,
                   "pool-create-as images dir --target " DOMAIN_IMAGES);
    g_autofree char *gone = NULL;
    bool moved =
        pool && move_and_prove(domain, HOST_A, case_now()->flags, NULL, errp);

    if (pool) {
        gone = host_virsh(case_hosts(), HOST_B, moved ? errp : NULL,
                          "pool-destroy images");
    }
    return moved && gone &&
           move_and_prove(domain, HOST_B, case_now()->flags, NULL, errp);
}

/* The guest goes on by itself, as soon as it has arrived. */
static bool moves_live(Domain *domain, Host from, GError **errp)
{
    Host to = host_other(from);

    return move_domain(domain, from, case_now()->flags, errp) &&
           domain_runs_on(domain, to, errp) && domain_verify(domain, to, errp);
}

static bool moves_there(Domain *domain, GError **errp)
{
    return moves_live(domain, HOST_A, errp);
}

/* What a move leaves behind stands in the way of the next one back. */
static bool there_and_back(Domain *domain, GError **errp)
{
    return move_and_compare(domain, HOST_A, case_now()->flags, NULL, errp) &&
           domain_is_thin(domain, HOST_B, errp) &&
           move_go_on(domain, HOST_B, errp) &&
           domain_delete_files(domain, HOST_A, errp) &&
           moves_live(domain, HOST_B, errp);
}

/* Nothing of it is left there. */
static bool has_left(Domain *domain, Host host, GError **errp)
{
    g_autofree char *state = domain_state(domain, host, errp);
    g_autofree char *files =
        state ? domain_files(domain, host, NULL, errp) : NULL;

    if (files && (*files || !g_str_equal(state, "none"))) {
        return harness_fail(errp, "%s still has \"%s\" and the domain \"%s\"",
                            host_name(host), files, state);
    }
    return files != NULL;
}

/* A move in the full sense of the word leaves nothing behind. */
static bool moves_out(Domain *domain, GError **errp)
{
    return moves_live(domain, HOST_A, errp) && has_left(domain, HOST_A, errp) &&
           moves_live(domain, HOST_B, errp) && has_left(domain, HOST_B, errp);
}

static bool definition_says(Domain *domain, Host host, const char *command,
                            const char *directory, GError **errp)
{
    g_autofree char *xml = domain_do(domain, host, command, errp);
    g_autofree char *file =
        g_strdup_printf("file='%s/%s-0.", directory, domain_name(domain));

    if (xml && !strstr(xml, file)) {
        return harness_fail(errp, "%s on %s says nothing of %s: %s", command,
                            host_name(host), file, xml);
    }
    return xml != NULL;
}

static bool moves_into(Domain *domain, GError **errp)
{
    const char *directory = case_now()->data;
    g_autofree char *made =
        host_run(case_hosts(), HOST_B, errp, "mkdir", "-p", directory, NULL);
    return made &&
           move_and_prove(domain, HOST_A, case_now()->flags, directory, errp) &&
           definition_says(domain, HOST_B, "dumpxml", directory, errp) &&
           definition_says(domain, HOST_B, "dumpxml --inactive", directory,
                           errp);
}

/* Images that somebody made before are what is wanted, and no others. */
static bool reuses_images(Domain *domain, GError **errp)
{
    return domain_put_images(domain, HOST_B, errp) &&
           move_and_prove(domain, HOST_A, case_now()->flags, NULL, errp);
}

/* clang-format off */
#define MOVE "/libvirt/move/"
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define TCG .accel = "tcg", .guest = CASE_BUSY
#define KVM .accel = "kvm", .guest = CASE_BUSY
#define SHARED_NOTHING "--shared-nothing --persistent"
#define FOR_GOOD SHARED_NOTHING " --undefinesource --remove-source-storage"
#define ELSEWHERE DOMAIN_IMAGES "/elsewhere"

static const Case cases[] = {
    { MOVE "stock", { TCG, .disks = { RAW, QCOW2 } }, moves_by_stock,
      "--copy-storage-all" },

    { MOVE "direct", { TCG, .disks = { RAW, QCOW2 } }, there_and_back,
      SHARED_NOTHING },
    { MOVE "direct/kvm", { KVM, .disks = { RAW, QCOW2 } }, there_and_back,
      SHARED_NOTHING },
    { MOVE "peer-to-peer", { TCG, .disks = { RAW, QCOW2 } }, there_and_back,
      SHARED_NOTHING " --p2p" },
    { MOVE "peer-to-peer/kvm", { KVM, .disks = { QCOW2, RAW } },
      there_and_back, SHARED_NOTHING " --p2p" },
    { MOVE "no-disk", { TCG }, there_and_back, SHARED_NOTHING },

    { MOVE "for-good", { TCG, .disks = { RAW, QCOW2 } }, moves_out, FOR_GOOD },
    { MOVE "for-good/peer-to-peer", { TCG, .disks = { QCOW2, RAW } },
      moves_out, FOR_GOOD " --p2p" },
    { MOVE "into-directory", { TCG, .disks = { RAW, QCOW2 } }, moves_into,
      SHARED_NOTHING " --dest-storage-path " ELSEWHERE, .data = ELSEWHERE },
    { MOVE "into-directory/peer-to-peer", { TCG, .disks = { RAW, QCOW2 } },
      moves_into, SHARED_NOTHING " --p2p --dest-storage-path " ELSEWHERE,
      .data = ELSEWHERE },
    { MOVE "reuse-external", { TCG, .disks = { RAW, QCOW2 } }, reuses_images,
      SHARED_NOTHING " --reuse-external" },

    { MOVE "channels", { TCG, .disks = { RAW, QCOW2 } }, there_and_back,
      SHARED_NOTHING " --parallel --parallel-connections 3" },
};

/* Ways to the other host. */
static const Case ways[] = {
    { MOVE "uri/port", { TCG, .disks = { RAW } }, moves_there,
      SHARED_NOTHING " --migrateuri shmig:host-b:5000" },
    { MOVE "uri/ipv4", { TCG, .disks = { RAW } }, moves_there,
      SHARED_NOTHING " --migrateuri shmig:10.77.0.2" },
    { MOVE "uri/ipv6", { TCG, .disks = { RAW } }, moves_there,
      SHARED_NOTHING " --migrateuri shmig:[fd77::2]" },
    { MOVE "uri/ipv6/peer-to-peer", { TCG, .disks = { RAW } }, moves_there,
      SHARED_NOTHING " --p2p --migrateuri shmig:[fd77::2]:5001" },
    { MOVE "listen-address", { TCG, .disks = { RAW } }, moves_there,
      SHARED_NOTHING " --migrateuri shmig:10.77.0.2 "
                     "--listen-address 10.77.0.2" },
    { MOVE "migration-host", { TCG, .disks = { RAW } }, moves_there,
      SHARED_NOTHING,
      .config = { [HOST_B] = "migration_host = \"fd77::2\"\n"
                             "migration_address = \"fd77::2\"" } },
    { MOVE "ports", { TCG, .disks = { RAW } }, moves_there, SHARED_NOTHING,
      .config = { [HOST_B] = "migration_port_min = 5005\n"
                             "migration_port_max = 5006" } },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    cases_add(cases, G_N_ELEMENTS(cases));
    cases_add(ways, G_N_ELEMENTS(ways));
    return cases_run();
}
