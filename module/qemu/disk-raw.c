/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images on the direct path.
 *
 * QEMU's descriptor is private to its driver, so the image is opened once
 * more by its name, and only used if QEMU has that very file open: the name
 * may belong to another one by now.
 */
#include "qemu/osdep.h"

#include "qemu/cutils.h"
#include "qapi/error.h"
#include "block/block_int.h"

#include "shmig/base/units.h"
#include "disk-raw.h"

static bool is_driver(BlockDriverState *bs, const char *name)
{
    return bs && bs->drv && !strcmp(bs->drv->format_name, name);
}

static bool is_file(BlockDriverState *bs)
{
    return is_driver(bs, "file") || is_driver(bs, "host_device");
}

/* The node that holds the bytes of @bs, if it is a file and nothing that
 * changes or moves them is in between. */
static BlockDriverState *plain_file(BlockDriverState *bs)
{
    BlockDriverState *file = bs;
    int64_t length;

    GRAPH_RDLOCK_GUARD_MAINLOOP();

    if (is_driver(bs, "raw")) {
        file = bs->file ? bs->file->bs : NULL;
    }
    if (!is_file(file) || bdrv_is_sg(file) || file->bl.zoned != BLK_Z_NONE) {
        return NULL;
    }
    /* An offset or a size given to the raw driver shows in its length. */
    length = bdrv_getlength(bs);
    if (length < 0 || length != bdrv_getlength(file)) {
        return NULL;
    }
    /* What disk/file.c can align its requests to. */
    if (file->bl.request_alignment > SHMIG_PAGE_BYTES ||
        file->bl.min_mem_alignment > SHMIG_PAGE_BYTES) {
        return NULL;
    }
    return file;
}

/* Opens by name, also names that stand for descriptors passed to QEMU. */
static int open_node(BlockDriverState *file, int flags)
{
    const char *ignored;
    int fd;

    GRAPH_RDLOCK_GUARD_MAINLOOP();

    bdrv_refresh_filename(file);
    if (!file->exact_filename[0]) {
        return -1;
    }
    if (file->open_flags & BDRV_O_NOCACHE) {
        flags |= O_DIRECT;
    }
    fd = qemu_open(file->exact_filename, flags, NULL);
    if (fd < 0 && (flags & O_ACCMODE) == O_RDONLY &&
        strstart(file->exact_filename, "/dev/fdset/", &ignored)) {
        /* A descriptor set may hold no read-only one. */
        fd = qemu_open(file->exact_filename, (flags & ~O_ACCMODE) | O_RDWR,
                       NULL);
    }
    return fd;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    if (S_ISBLK(a->st_mode) || S_ISBLK(b->st_mode)) {
        return (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT) &&
               a->st_rdev == b->st_rdev;
    }
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether this process has the file behind @fd open a second time. */
static bool is_open_elsewhere(int fd)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    const char *name;
    struct stat ours, theirs;

    if (!dir || fstat(fd, &ours) < 0) {
        return false;
    }
    while ((name = g_dir_read_name(dir))) {
        int other;

        if (qemu_strtoi(name, NULL, 10, &other) == 0 && other != fd &&
            fstat(other, &theirs) == 0 && same_file(&ours, &theirs)) {
            return true;
        }
    }
    return false;
}

int shmig_disk_raw_open(BlockDriverState *bs, bool writable)
{
    BlockDriverState *file = plain_file(bs);
    int fd, copy;

    if (!file) {
        return -1;
    }
    fd = open_node(file, writable ? O_RDWR : O_RDONLY);
    if (fd < 0) {
        return -1;
    }
    /* The library ends it with a plain close(), which a descriptor out of a
     * set must not see. */
    copy = is_open_elsewhere(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    qemu_close(fd);
    return copy;
}

bool shmig_disk_raw_stat(BlockDriverState *bs, struct stat *st)
{
    int fd;
    bool ok;

    GRAPH_RDLOCK_GUARD_MAINLOOP();

    while (bdrv_primary_bs(bs)) {
        bs = bdrv_primary_bs(bs);
    }
    if (!is_file(bs)) {
        return false;
    }
    fd = open_node(bs, O_RDONLY);
    if (fd < 0) {
        return false;
    }
    ok = fstat(fd, st) == 0 && is_open_elsewhere(fd);
    qemu_close(fd);
    return ok;
}
