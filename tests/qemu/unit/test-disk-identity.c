/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage that two hosts see is the same on both, and what looks alike on two
 * hosts is not.
 */
#include "qemu/osdep.h"

#include <ftw.h>
#include <sys/sysmacros.h>

#include "qapi/error.h"
#include "qemu/main-loop.h"

#include "disk-identity.h"

#define NAA "naa.600140512345678900000000000000aa"

/* --- hosts --- */

static void hosts_that_are_local(void)
{
    static const char *const names[] = {
        "localhost",
        "LOCALHOST",
        "localhost.localdomain",
        "vm.localhost",
        "127.0.0.1",
        "127.1.2.3",
        "::1",
        "[::1]",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_test_message("%s", names[i]);
        g_assert_true(shmig_identity_host_is_local(names[i]));
    }
}

/* Each of these was taken for one of the above. */
static void hosts_that_only_look_local(void)
{
    static const char *const names[] = {
        "10.127.0.5",  "192.168.127.1", "unix-server",     "fe80::1",
        "2001:db8::1", "localhost7",    "nolocalhost.net", "127.example.org",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_test_message("%s", names[i]);
        g_assert_false(shmig_identity_host_is_local(names[i]));
    }
}

/* --- NFS --- */

#define MOUNTS                                                               \
    "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"                \
    "40 21 0:52 / /vm rw shared:9 master:2 - nfs4 store.lan:/vm rw,vers=4\n" \
    "41 21 0:53 / /own rw - nfs localhost:/vm rw\n"                          \
    "42 21 0:54 / /own6 rw - nfs4 [::1]:/vm rw\n"                            \
    "43 21 0:55 / /tmp rw - tmpfs store.lan:/vm rw\n"                        \
    "44 21 0:56 / /odd rw - nfs4 nothing rw\n"                               \
    "45 21 0:57 / /cut rw"

static void mounts(void)
{
    g_autofree char *nfs = shmig_identity_mount(MOUNTS, makedev(0, 52));

    g_assert_cmpstr(nfs, ==, "store.lan:/vm");
    g_assert_null(shmig_identity_mount(MOUNTS, makedev(8, 1)));
    for (unsigned minor = 53; minor <= 58; minor++) {
        g_assert_null(shmig_identity_mount(MOUNTS, makedev(0, minor)));
    }
}

/* --- block devices, in a sysfs of our own --- */

static char *sysfs;

static void add_file(const char *path, const char *text)
{
    g_autofree char *full = g_build_filename(sysfs, path, NULL);
    g_autofree char *dir = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(full, text, -1, NULL));
}

static void add_link(const char *path, const char *target)
{
    g_autofree char *full = g_build_filename(sysfs, path, NULL);
    g_autofree char *to = g_build_filename(sysfs, target, NULL);
    g_autofree char *dir = g_path_get_dirname(full);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_cmpint(symlink(to, full), ==, 0);
}

static int remove_entry(const char *path, const struct stat *st, int flag,
                        struct FTW *ftw)
{
    return remove(path);
}

static void sysfs_begin(void)
{
    sysfs = g_dir_make_tmp("shmig-sysfs-XXXXXX", NULL);
    g_assert_nonnull(sysfs);
}

static void sysfs_end(void)
{
    nftw(sysfs, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    g_clear_pointer(&sysfs, g_free);
}

static char *name_of(unsigned major, unsigned minor)
{
    return shmig_identity_device(sysfs, makedev(major, minor));
}

static void expect(unsigned major, unsigned minor, const char *expected)
{
    g_autofree char *name = name_of(major, minor);

    g_assert_cmpstr(name, ==, expected);
}

/* Each path to a LUN, its multipath device, and another host's names. */
static void paths_to_a_lun(void)
{
    sysfs_begin();
    add_file("dev/block/8:16/device/wwid", NAA "\n");
    add_file("dev/block/65:32/device/wwid", NAA "\n");
    add_file("dev/block/253:4/dm/uuid",
             "mpath-3600140512345678900000000000000aa\n");
    add_file("dev/block/259:1/wwid", "eui.0025388b91b2a1c3\n");
    expect(8, 16, NAA);
    expect(65, 32, NAA);
    expect(253, 4, NAA);
    expect(259, 1, "eui.0025388b91b2a1c3");
    expect(8, 32, NULL);
    sysfs_end();
}

/* What every other host may have as well. */
static void serials_that_are_not_unique(void)
{
    static const char *const wwids[] = {
        "t10.ATA     QEMU HARDDISK                           QM00005",
        "nvme.1b36-6465616462656566-51454d55204e564d65204374726c-00000001",
        "naa.3333333000000140",
        "naa.",
        "eui.0000000000000000",
        "uuid.00000000-0000-0000-0000-000000000000",
        "",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(wwids); i++) {
        sysfs_begin();
        add_file("dev/block/8:16/device/wwid", wwids[i]);
        expect(8, 16, NULL);
        sysfs_end();
    }
}

static void partitions(void)
{
    sysfs_begin();
    add_file("devices/sdb/device/wwid", NAA "\n");
    add_file("devices/sdb/sdb2/partition", "2\n");
    add_file("devices/sdb/sdb2/start", "2048\n");
    add_link("dev/block/8:18", "devices/sdb/sdb2");
    expect(8, 18, NAA "@2048");
    sysfs_end();
}

/* A logical volume counts with what it is on: a copy of a host has the same
 * volume group on a disk of its own. */
static void logical_volumes(void)
{
    sysfs_begin();
    add_file("devices/sdb/device/wwid", NAA "\n");
    add_file("devices/sdc/device/wwid", "naa.5000c500a1b2c3d4\n");
    add_file("devices/vda/serial", "\n");
    add_file("devices/dm-1/dm/uuid", "LVM-abc\n");
    add_link("devices/dm-1/slaves/sdc", "devices/sdc");
    add_link("devices/dm-1/slaves/sdb", "devices/sdb");
    add_link("dev/block/253:1", "devices/dm-1");
    add_file("devices/dm-2/dm/uuid", "LVM-abc\n");
    add_link("devices/dm-2/slaves/vda", "devices/vda");
    add_link("dev/block/253:2", "devices/dm-2");
    expect(253, 1, "LVM-abc(naa.5000c500a1b2c3d4+" NAA ")");
    expect(253, 2, NULL);
    sysfs_end();
}

static char *identity_of(mode_t type, dev_t dev)
{
    struct stat st = { .st_mode = type | 0600, .st_rdev = dev };

    return shmig_identity_storage(sysfs, &st);
}

static void add_loop(const char *dir, const char *file, const char *offset)
{
    g_autofree char *name = g_strconcat(dir, "/loop/backing_file", NULL);
    g_autofree char *begins = g_strconcat(dir, "/loop/offset", NULL);

    add_file(name, file);
    add_file(begins, offset);
}

/* A loop device is its file, or a part of it. */
static void loop_devices(void)
{
    g_autofree char *image = NULL, *file = NULL, *part = NULL;
    g_autofree char *whole = NULL, *later = NULL, *gone = NULL;
    struct stat st;

    sysfs_begin();
    add_file("image", "bytes");
    image = g_build_filename(sysfs, "image", NULL);
    g_assert_cmpint(stat(image, &st), ==, 0);
    file = shmig_identity_storage(sysfs, &st);
    part = g_strconcat(file, "@2048", NULL);
    add_loop("devices/loop0", image, "0\n");
    add_link("dev/block/7:0", "devices/loop0");
    add_file("devices/loop0/loop0p1/partition", "1\n");
    add_file("devices/loop0/loop0p1/start", "2048\n");
    add_link("dev/block/259:0", "devices/loop0/loop0p1");
    add_loop("dev/block/7:1", image, "1048576\n");
    add_loop("dev/block/7:2", "/nonexistent/image (deleted)", "0\n");

    whole = identity_of(S_IFBLK, makedev(7, 0));
    g_assert_cmpstr(whole, ==, file);
    later = identity_of(S_IFBLK, makedev(7, 1));
    g_assert_cmpstr(later, ==, part);
    expect(259, 0, part);
    gone = identity_of(S_IFBLK, makedev(7, 2));
    g_assert_nonnull(strstr(gone, "device:7:2"));
    sysfs_end();
}

/* A loop device of a loop device …, and of itself. */
static void loops_of_loops(void)
{
    g_autofree char *endless = NULL;
    struct stat st;
    char dir[64];

    if (stat("/dev/loop0", &st) < 0 || !S_ISBLK(st.st_mode)) {
        g_test_skip("there is no /dev/loop0");
        return;
    }
    sysfs_begin();
    snprintf(dir, sizeof(dir), "dev/block/%u:%u", major(st.st_rdev),
             minor(st.st_rdev));
    add_loop(dir, "/dev/loop0", "0\n");
    endless = shmig_identity_storage(sysfs, &st);
    g_assert_nonnull(endless);
    sysfs_end();
}

/* A mapping of itself cannot be, but a file system can hold anything. */
static void endless_mappings(void)
{
    sysfs_begin();
    add_file("devices/dm-1/dm/uuid", "LVM-abc\n");
    add_link("devices/dm-1/slaves/dm-1", "devices/dm-1");
    add_link("dev/block/253:1", "devices/dm-1");
    expect(253, 1, NULL);
    sysfs_end();
}

int main(int argc, char **argv)
{
    bdrv_init();
    qemu_init_main_loop(&error_abort);
    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/qemu/disk-identity/host/local", hosts_that_are_local);
    g_test_add_func("/qemu/disk-identity/host/looks-local",
                    hosts_that_only_look_local);
    g_test_add_func("/qemu/disk-identity/nfs", mounts);
    g_test_add_func("/qemu/disk-identity/paths-to-a-lun", paths_to_a_lun);
    g_test_add_func("/qemu/disk-identity/serials-that-are-not-unique",
                    serials_that_are_not_unique);
    g_test_add_func("/qemu/disk-identity/partitions", partitions);
    g_test_add_func("/qemu/disk-identity/logical-volumes", logical_volumes);
    g_test_add_func("/qemu/disk-identity/endless-mappings", endless_mappings);
    g_test_add_func("/qemu/disk-identity/loop-devices", loop_devices);
    g_test_add_func("/qemu/disk-identity/loops-of-loops", loops_of_loops);
    return g_test_run();
}
