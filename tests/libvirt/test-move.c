/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain moves to the other host and back. */
#include "cases.h"
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

/* clang-format off */
#define MOVE "/libvirt/move/"
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define TCG .accel = "tcg", .guest = CASE_BUSY

static const Case cases[] = {
    { MOVE "stock", { TCG, .disks = { RAW, QCOW2 } }, moves_by_stock,
      "--copy-storage-all" },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    cases_add(cases, G_N_ELEMENTS(cases));
    return cases_run();
}
