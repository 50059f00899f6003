/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves that cannot be, and the sentences that say why.  In each the guest goes
 * on where it is and the other host has no files of it. */
#include "cases.h"
#include "loop.h"
#include "move.h"
#include "scene.h"

#define EMULATOR "/var/lib/libvirt/qemu-system-x86_64"

static bool refuses(Domain *domain, GError **errp)
{
    return scene_refuses(domain, case_now()->data, errp);
}

static bool refuses_same_host(Domain *domain, GError **errp)
{
    Virsh *virsh = virsh_start(case_hosts(), HOST_A, errp,
                               "migrate --live %s %s qemu+tcp://host-a/system",
                               case_now()->flags, domain_name(domain));
    g_autofree char *said = move_said(virsh, errp);

    return said && case_said(said, errp) &&
           move_left_nothing(domain, HOST_A, NULL, errp);
}

/*
 * libvirt keeps what a QEMU can do, and believes that as long as the program
 * is the same: so a QEMU forgets shmig.
 */
static bool forget_shmig(Host host, GError **errp)
{
    g_autofree char *known = host_virsh(
        case_hosts(), host, errp, "domcapabilities --emulatorbin " EMULATOR);
    g_autofree char *done =
        known ? host_run(case_hosts(), host, errp, "sh", "-ec",
                         "sed -i '/migrate.shmig/d' "
                         "/var/cache/libvirt/qemu/capabilities/*.xml",
                         NULL)
              : NULL;

    return done && host_kill_daemon(case_hosts(), host, errp) &&
           host_start_daemon(case_hosts(), host, errp);
}

static bool remember_shmig(Host host, GError **errp)
{
    g_autofree char *done =
        host_run(case_hosts(), host, errp, "sh", "-ec",
                 "rm -f /var/cache/libvirt/qemu/capabilities/*.xml", NULL);

    return done && host_kill_daemon(case_hosts(), host, errp) &&
           host_start_daemon(case_hosts(), host, errp);
}

static bool refuses_old_dest(Domain *domain, GError **errp)
{
    bool ok = forget_shmig(HOST_B, errp) && refuses(domain, errp);

    return remember_shmig(HOST_B, ok ? errp : NULL) && ok;
}

/* What a domain's QEMU can do is found out when it starts. */
static bool refuses_old_source(Domain *domain, GError **errp)
{
    g_autofree char *stopped = domain_do(domain, HOST_A, "destroy", errp);
    bool ok = stopped && forget_shmig(HOST_A, errp) &&
              domain_start(domain, errp) && refuses(domain, errp);

    return remember_shmig(HOST_A, ok ? errp : NULL) && ok;
}

/* clang-format off */
#define REFUSE "/libvirt/refuse/"
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define TCG .accel = "tcg"
#define BOTH { TCG, .disks = { RAW, QCOW2 } }
#define SHARED_NOTHING "--shared-nothing"
#define INTO(directory_) SHARED_NOTHING " --dest-storage-path " directory_
#define PLACE DOMAIN_IMAGES "/place"

static const Scene read_only = {
    "mkdir -p " PLACE "; mount -t tmpfs -o ro tmpfs " PLACE,
    "umount " PLACE, PLACE,
};
static const Scene first_is_there = {
    "echo something >" DOMAIN_IMAGES "/vm-0.raw", NULL, NULL,
    DOMAIN_IMAGES "/vm-0.raw",
};
static const Scene second_is_there = {
    "echo something >" DOMAIN_IMAGES "/vm-1.qcow2", NULL, NULL,
    DOMAIN_IMAGES "/vm-1.qcow2",
};
static const Scene link_is_there = {
    "ln -s /nowhere " DOMAIN_IMAGES "/vm-0.raw", NULL, NULL,
    DOMAIN_IMAGES "/vm-0.raw",
};
static const Scene other_size = {
    "truncate -s 1M " DOMAIN_IMAGES "/vm-0.raw", NULL, NULL,
    DOMAIN_IMAGES "/vm-0.raw",
};
static const Scene file_for_directory = {
    "rm -rf " PLACE "; echo >" PLACE, "rm " PLACE,
};

static const Case cases[] = {
    { REFUSE "directory/missing", BOTH, refuses,
      INTO(DOMAIN_IMAGES "/nowhere"),
      "destination host|" DOMAIN_IMAGES "/nowhere" },
    { REFUSE "directory/no-directory", BOTH, refuses, INTO(PLACE),
      "destination host|" PLACE, .data = &file_for_directory },
    { REFUSE "directory/read-only", BOTH, refuses, INTO(PLACE),
      "destination host|" PLACE "|Read-only file system", .data = &read_only },
    { REFUSE "directory/not-allowed", BOTH, refuses, INTO("/var/lib"),
      "destination host|'/var/lib'|shared_nothing_storage_dirs" },
    { REFUSE "directory/climbs-out", BOTH, refuses,
      INTO(DOMAIN_IMAGES "/../.."), "destination host|directory '/var/lib'" },
    { REFUSE "directory/relative", BOTH, refuses, INTO("images"),
      "images|absolute" },

    { REFUSE "image-there/first", BOTH, refuses, SHARED_NOTHING,
      "destination host|" DOMAIN_IMAGES "/vm-0.raw|exists", .data = &first_is_there },
    { REFUSE "image-there/second", BOTH, refuses, SHARED_NOTHING,
      "destination host|" DOMAIN_IMAGES "/vm-1.qcow2|exists",
      .data = &second_is_there },
    { REFUSE "image-there/link", BOTH, refuses, SHARED_NOTHING,
      "destination host|" DOMAIN_IMAGES "/vm-0.raw|exists", .data = &link_is_there },
    { REFUSE "image-there/other-size", BOTH, refuses,
      SHARED_NOTHING " --reuse-external",
      "destination host|" DOMAIN_IMAGES "/vm-0.raw", .data = &other_size },

    { REFUSE "same-host", BOTH, refuses_same_host, SHARED_NOTHING,
      "same host" },
    { REFUSE "old-qemu/destination", BOTH, refuses_old_dest, SHARED_NOTHING,
      "destination host|/var/lib/libvirt/qemu-system-x86_64" },
    { REFUSE "old-qemu/destination/peer-to-peer", BOTH, refuses_old_dest,
      SHARED_NOTHING " --p2p", "destination host|/var/lib/libvirt/qemu-system-x86_64" },
    { REFUSE "old-qemu/source", BOTH, refuses_old_source, SHARED_NOTHING,
      "source host|/var/lib/libvirt/qemu-system-x86_64" },
    /* Where the daemon itself listens. */
    { REFUSE "port-taken", BOTH, refuses,
      SHARED_NOTHING " --migrateuri shmig:host-b:16509",
      "migrate-incoming|16509|Address already in use" },
};

/* What does not go with it. */
#define WITH(name_, options_, expect_) \
    { REFUSE "with/" name_, { TCG, .disks = { RAW } }, refuses, \
      SHARED_NOTHING " " options_, expect_ }

static const Case combinations[] = {
    WITH("copy-storage-all", "--copy-storage-all", "copies the disks itself"),
    WITH("copy-storage-inc", "--copy-storage-inc", "copies the disks itself"),
    WITH("tunnelled", "--p2p --tunnelled", "TUNNELLED|TLS"),
    WITH("postcopy", "--postcopy", "POSTCOPY|only when all"),
    WITH("compressed", "--compressed", "COMPRESSED"),
    WITH("rdma-pin-all", "--rdma-pin-all", "RDMA"),
    WITH("zerocopy", "--parallel --zerocopy", "ZEROCOPY"),
    WITH("tcp-uri", "--migrateuri tcp:host-b", "tcp"),
    WITH("unix-uri", "--migrateuri unix:/run/x", "unix"),
    WITH("remove-without-undefine", "--remove-source-storage",
         "undefinesource"),
    WITH("no-such-disk", "--migrate-disks vdq", "vdq"),
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    cases_add(cases, G_N_ELEMENTS(cases));
    cases_add(combinations, G_N_ELEMENTS(combinations));
    return cases_run();
}
