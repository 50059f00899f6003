/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of storage that two hosts agree on.
 *
 *   block device   the identifier that the storage gave itself (its WWID),
 *                  and, of what the device mapper makes of it, the UUID too
 *   file on NFS    server, export and inode number
 *   loop device    its file
 *   network disk   what QEMU connects to
 *
 * Everything else is known within one host only, and its identity begins with
 * what tells hosts apart: the boot id of the kernel, which containers share.
 *
 * A disk that is wrongly taken for the same could not be migrated at all, so
 * what need not be unique does not count: serial numbers that a vendor, or a
 * hypervisor, gives to all disks alike.
 */
#include "qemu/osdep.h"

#include <arpa/inet.h>
#include <sys/sysmacros.h>

#include "qemu/cutils.h"
#include "qobject/qdict.h"
#include "block/block_int.h"
#include "block/qdict.h"

#include "disk-identity.h"
#include "disk-raw.h"
#include "shmig/wire/limits.h"

/* A device above a device above …; deeper ones are taken for unknown. */
#define MAX_DEPTH 8

static const char *boot_id(void)
{
    static char *id;

    if (!id && g_file_get_contents("/proc/sys/kernel/random/boot_id", &id, NULL,
                                   NULL)) {
        g_strstrip(id);
    }
    return id;
}

/* --- block devices --- */

static char *read_line(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    char *text = NULL;

    if (g_file_get_contents(path, &text, NULL, NULL)) {
        g_strstrip(text);
    }
    return text;
}

/*
 * Whether a WWID is unique in the world.  "t10." and the like hold a vendor's
 * serial number; an NAA of type 3 is somebody's own choice.
 */
static bool is_global(const char *wwid)
{
    const char *digits;

    if (strstart(wwid, "naa.", &digits)) {
        return *digits && strchr("256", *digits);
    }
    if (strstart(wwid, "eui.", &digits) || strstart(wwid, "uuid.", &digits)) {
        return strspn(digits, "0-") < strlen(digits);
    }
    return false;
}

/* Of a SCSI disk, or of an NVMe namespace. */
static char *global_wwid(const char *dir)
{
    static const char *const files[] = { "device/wwid", "wwid" };

    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *wwid = read_line(dir, files[i]);

        if (wwid && is_global(wwid)) {
            return g_steal_pointer(&wwid);
        }
    }
    return NULL;
}

static char *device_name(const char *sysfs, const char *dir, unsigned depth);
static char *storage_identity(const char *sysfs, const struct stat *st,
                              unsigned depth);

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of what @dir is made of, in an order that hosts agree on. */
static GPtrArray *slave_names(const char *sysfs, const char *dir,
                              unsigned depth)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *slaves = g_build_filename(dir, "slaves", NULL);
    g_autoptr(GDir) list = g_dir_open(slaves, 0, NULL);
    const char *entry;

    while (list && (entry = g_dir_read_name(list))) {
        g_autofree char *slave = g_build_filename(slaves, entry, NULL);
        char *name = device_name(sysfs, slave, depth + 1);

        if (!name) {
            return NULL;
        }
        g_ptr_array_add(names, name);
    }
    g_ptr_array_sort(names, compare_names);
    return names->len ? g_steal_pointer(&names) : NULL;
}

/*
 * A path of a LUN and the multipath device above its paths are the same
 * storage.  Of other mappings a copy of the host may have made the UUID
 * twice: it counts together with what is below only.
 */
static char *mapper_name(const char *sysfs, const char *dir, const char *uuid,
                         unsigned depth)
{
    g_autoptr(GPtrArray) below = NULL;
    g_autofree char *naa = NULL, *joined = NULL;
    const char *wwid;

    if (strstart(uuid, "mpath-3", &wwid)) {
        naa = g_strconcat("naa.", wwid, NULL);
        if (is_global(naa)) {
            return g_steal_pointer(&naa);
        }
    }
    below = slave_names(sysfs, dir, depth);
    if (!below) {
        return NULL;
    }
    g_ptr_array_add(below, NULL);
    joined = g_strjoinv("+", (char **)below->pdata);
    return g_strdup_printf("%s(%s)", uuid, joined);
}

/* A partition is named after its disk, and where it begins there. */
static char *partition_name(const char *sysfs, const char *dir, unsigned depth)
{
    g_autofree char *real = realpath(dir, NULL);
    g_autofree char *disk = real ? g_path_get_dirname(real) : NULL;
    g_autofree char *start = read_line(dir, "start");
    g_autofree char *whole = disk ? device_name(sysfs, disk, depth + 1) : NULL;

    return whole && start ? g_strdup_printf("%s@%s", whole, start) : NULL;
}

/*
 * A loop device is its file, from where it begins there.  NULL if it is none,
 * or its file is not to be found by the name that the kernel has for it.
 */
static char *loop_identity(const char *sysfs, const char *dir, unsigned depth)
{
    g_autofree char *path = read_line(dir, "loop/backing_file");
    g_autofree char *offset = read_line(dir, "loop/offset");
    g_autofree char *file = NULL;
    uint64_t bytes;
    struct stat st;

    if (!path || !offset || stat(path, &st) < 0 ||
        qemu_strtou64(offset, NULL, 10, &bytes) < 0) {
        return NULL;
    }
    file = storage_identity(sysfs, &st, depth + 1);
    if (!*file) {
        return NULL;
    }
    return bytes ? g_strdup_printf("%s@%" PRIu64, file, bytes / 512)
                 : g_steal_pointer(&file);
}

static char *device_name(const char *sysfs, const char *dir, unsigned depth)
{
    g_autofree char *partition = read_line(dir, "partition");
    g_autofree char *uuid = read_line(dir, "dm/uuid");
    char *loop;

    if (depth > MAX_DEPTH) {
        return NULL;
    }
    loop = loop_identity(sysfs, dir, depth);
    if (loop) {
        return loop;
    }
    if (partition) {
        return partition_name(sysfs, dir, depth);
    }
    if (uuid && *uuid) {
        return mapper_name(sysfs, dir, uuid, depth);
    }
    return global_wwid(dir);
}

static char *device_dir(const char *sysfs, dev_t dev)
{
    return g_strdup_printf("%s/dev/block/%u:%u", sysfs, major(dev), minor(dev));
}

char *shmig_identity_device(const char *sysfs, dev_t dev)
{
    g_autofree char *dir = device_dir(sysfs, dev);

    return device_name(sysfs, dir, 0);
}

/* --- files --- */

/* "36 35 98:0 / /mnt rw - nfs4 server:/export rw,…": the fields behind the
 * dash are at no fixed place. */
static char *mount_source(const char *line)
{
    const char *rest = strstr(line, " - ");
    g_auto(GStrv) fields = g_strsplit(rest ? rest + 3 : "", " ", 3);
    g_auto(GStrv) place = NULL;

    if (g_strv_length(fields) < 2 || !g_str_has_prefix(fields[0], "nfs")) {
        return NULL;
    }
    place = g_strsplit(fields[1], ":/", 2);
    if (g_strv_length(place) < 2 || shmig_identity_host_is_local(place[0])) {
        return NULL;
    }
    return g_strdup(fields[1]);
}

char *shmig_identity_mount(const char *mountinfo, dev_t dev)
{
    g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
    g_autofree char *wanted = g_strdup_printf("%u:%u", major(dev), minor(dev));

    for (unsigned i = 0; lines[i]; i++) {
        g_auto(GStrv) fields = g_strsplit(lines[i], " ", 4);

        if (g_strv_length(fields) == 4 && !strcmp(fields[2], wanted)) {
            return mount_source(lines[i]);
        }
    }
    return NULL;
}

static char *file_identity(const struct stat *st)
{
    g_autofree char *mountinfo = NULL, *source = NULL;

    if (g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, NULL)) {
        source = shmig_identity_mount(mountinfo, st->st_dev);
    }
    if (source) {
        return g_strdup_printf("nfs:%s:%" PRIu64, source, (uint64_t)st->st_ino);
    }
    return boot_id()
               ? g_strdup_printf("%s:file:%" PRIu64 ":%" PRIu64, boot_id(),
                                 (uint64_t)st->st_dev, (uint64_t)st->st_ino)
               : g_strdup("");
}

static char *device_identity(const char *sysfs, const struct stat *st,
                             unsigned depth)
{
    g_autofree char *dir = device_dir(sysfs, st->st_rdev);
    g_autofree char *name = NULL;
    char *loop = depth > MAX_DEPTH ? NULL : loop_identity(sysfs, dir, depth);

    if (loop) {
        return loop;
    }
    name = device_name(sysfs, dir, depth);
    if (name) {
        return g_strconcat("device:", name, NULL);
    }
    return boot_id() ? g_strdup_printf("%s:device:%u:%u", boot_id(),
                                       major(st->st_rdev), minor(st->st_rdev))
                     : g_strdup("");
}

static char *storage_identity(const char *sysfs, const struct stat *st,
                              unsigned depth)
{
    return S_ISBLK(st->st_mode) ? device_identity(sysfs, st, depth)
                                : file_identity(st);
}

char *shmig_identity_storage(const char *sysfs, const struct stat *st)
{
    return storage_identity(sysfs, st, 0);
}

/* --- network disks --- */

bool shmig_identity_host_is_local(const char *host)
{
    g_autofree char *name = g_ascii_strdown(host, -1);
    size_t length = strlen(name);
    struct in6_addr v6;
    struct in_addr v4;

    if (*name == '[' && name[length - 1] == ']') {
        memmove(name, name + 1, length - 2);
        name[length - 2] = '\0';
    }
    if (inet_pton(AF_INET6, name, &v6) == 1) {
        if (!IN6_IS_ADDR_V4MAPPED(&v6)) {
            return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6);
        }
        memcpy(&v4, v6.s6_addr + 12, sizeof(v4));
    } else if (inet_pton(AF_INET, name, &v4) != 1) {
        return !*name || !strcmp(name, "localhost") ||
               g_str_has_prefix(name, "localhost.") ||
               g_str_has_suffix(name, ".localhost");
    }
    return ntohl(v4.s_addr) >> 24 == 127 || !v4.s_addr;
}

/* "10.0.0.1:3260" without the port. */
static char *without_port(const char *portal)
{
    const char *colon = strrchr(portal, ':');

    if (colon && *portal == '[' && colon[-1] != ']') {
        colon = NULL;
    }
    return colon ? g_strndup(portal, colon - portal) : g_strdup(portal);
}

/*
 * Whether an image that QEMU has opened with @options is another one on
 * another host: it is behind a socket file or a loopback address.  What has
 * no address among its options (rbd) is where its configuration says.
 */
static bool is_local_network(const char *driver, const QDict *options)
{
    static const char *const hosts[] = { "server.host", "server.0.host",
                                         "host" };
    const char *portal = qdict_get_try_str(options, "portal");
    g_autofree char *portal_host = portal ? without_port(portal) : NULL;

    if (qdict_haskey(options, "server.path") ||
        qdict_haskey(options, "server.0.path") ||
        (!strcmp(driver, "nbd") && qdict_haskey(options, "path"))) {
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(hosts); i++) {
        const char *host = qdict_get_try_str(options, hosts[i]);

        if (host) {
            return shmig_identity_host_is_local(host);
        }
    }
    return portal_host && shmig_identity_host_is_local(portal_host);
}

/* Hashed, as it may be long and hold a password. */
static char *network_identity(BlockDriverState *bs)
{
    static const char *const drivers[] = {
        "nbd", "iscsi", "rbd", "nfs", "ssh", "gluster",
    };
    g_autofree char *text = NULL;
    g_autofree char *hash = NULL;
    QDict *options;
    bool local;
    unsigned i;

    GRAPH_RDLOCK_GUARD_MAINLOOP();

    while (bdrv_primary_bs(bs)) {
        bs = bdrv_primary_bs(bs);
    }
    for (i = 0; i < G_N_ELEMENTS(drivers); i++) {
        if (!strcmp(bs->drv->format_name, drivers[i])) {
            break;
        }
    }
    if (i == G_N_ELEMENTS(drivers)) {
        return g_strdup("");
    }
    bdrv_refresh_filename(bs);
    options = qdict_clone_shallow(bs->full_open_options);
    qdict_flatten(options);
    local = is_local_network(drivers[i], options);
    qobject_unref(options);
    text = g_strconcat(bs->filename, " ", local ? boot_id() : NULL, NULL);
    hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    return g_strdup_printf("%s:%s", drivers[i], hash);
}

/* What is too long to be offered is told by a hash; takes @identity. */
static char *shorten(char *identity)
{
    char *hash;

    if (strlen(identity) <= SHMIG_MAX_IDENTITY) {
        return identity;
    }
    hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, identity, -1);
    g_free(identity);
    return hash;
}

char *shmig_disk_identity(BlockDriverState *bs)
{
    struct stat st;

    if (!shmig_disk_raw_stat(bs, &st)) {
        return network_identity(bs);
    }
    return shorten(shmig_identity_storage("/sys", &st));
}
