/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Folders for images, and the image that is moved. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "loop.h"
#include "place.h"

/* Data and holes take turns. */
#define PIECE_MIB 64
/* As many random bytes as the kernel gives at once for certain. */
#define RANDOM_BYTES 256

static bool fits(PlaceKind kind, const char *parent, unsigned mib,
                 GError **errp)
{
    struct statfs fs;
    bool is_ram;

    if (statfs(parent, &fs) < 0) {
        return harness_fail(errp, "%s: %s", parent, g_strerror(errno));
    }
    is_ram = fs.f_type == TMPFS_MAGIC;
    if (is_ram != (kind == PLACE_RAM)) {
        return harness_fail(errp, "%s is %sa tmpfs; name another folder",
                            parent, is_ram ? "" : "not ");
    }
    if ((uint64_t)fs.f_bavail * fs.f_bsize < mib * BENCH_MIB) {
        return harness_fail(errp,
                            "%s has no %u MiB of room; name another "
                            "folder, or try --quick",
                            parent, mib);
    }
    return true;
}

/* Whether files in @dir can be opened past the page cache. */
static bool takes_direct(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

Place *place_new(PlaceKind kind, const char *parent, unsigned mib,
                 GError **errp)
{
    Place *place;
    char *dir;

    if (!fits(kind, parent, mib, errp)) {
        return NULL;
    }
    dir = g_build_filename(parent, "shmig-bench-XXXXXX", NULL);
    if (!g_mkdtemp(dir)) {
        harness_fail(errp, "%s: %s", dir, g_strerror(errno));
        g_free(dir);
        return NULL;
    }
    place = g_new0(Place, 1);
    place->dir = dir;
    place->cache_direct = takes_direct(dir) ? "on" : "off";
    return place;
}

void place_free(Place *place)
{
    GDir *dir;
    const char *name;

    if (!place) {
        return;
    }
    dir = g_dir_open(place->dir, 0, NULL);
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(place->dir, name, NULL);

        g_unlink(file);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_rmdir(place->dir);
    g_free(place->dir);
    g_free(place->image);
    g_free(place);
}

static bool fill_piece(int fd, uint64_t at, char *data, GError **errp)
{
    for (uint64_t done = 0; done < PIECE_MIB * BENCH_MIB; done += BENCH_MIB) {
        for (unsigned i = 0; i < BENCH_MIB; i += RANDOM_BYTES) {
            if (getrandom(data + i, RANDOM_BYTES, 0) != RANDOM_BYTES) {
                return harness_fail(errp, "no random bytes: %s",
                                    g_strerror(errno));
            }
        }
        if (pwrite(fd, data, BENCH_MIB, at + done) != BENCH_MIB) {
            return harness_fail(errp, "cannot write: %s", g_strerror(errno));
        }
    }
    return true;
}

static bool fill_image(int fd, uint64_t bytes, GError **errp)
{
    g_autofree char *data = g_malloc(BENCH_MIB);

    if (ftruncate(fd, bytes) < 0) {
        return harness_fail(errp, "cannot resize: %s", g_strerror(errno));
    }
    for (uint64_t at = 0; at < bytes; at += 2 * PIECE_MIB * BENCH_MIB) {
        if (!fill_piece(fd, at, data, errp)) {
            return false;
        }
    }
    if (fsync(fd) < 0) {
        return harness_fail(errp, "cannot write: %s", g_strerror(errno));
    }
    return true;
}

const char *place_image(Place *place, unsigned mib, GError **errp)
{
    g_autofree char *path = NULL;
    bool filled;
    int fd;

    if (place->image) {
        return place->image;
    }
    path = g_build_filename(place->dir, "source.raw", NULL);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        harness_fail(errp, "%s: %s", path, g_strerror(errno));
        return NULL;
    }
    filled = fill_image(fd, mib * BENCH_MIB, errp);
    close(fd);
    if (!filled) {
        g_prefix_error(errp, "%s: ", path);
        return NULL;
    }
    place->image = g_steal_pointer(&path);
    return place->image;
}
