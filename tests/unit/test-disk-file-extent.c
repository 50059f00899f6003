/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is remembered of a file's data and holes. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "shmig/disk/file-extent.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define FILE_BYTES (64 * MIB)

typedef struct Sparse {
    char *path;
    int fd;
    ShmigFileExtents extents;
} Sparse;

static void sparse_open(Sparse *file)
{
    g_autoptr(GError) error = NULL;

    file->fd = g_file_open_tmp("shmig-extent-XXXXXX", &file->path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(ftruncate(file->fd, FILE_BYTES), ==, 0);
    shmig_file_extents_init(&file->extents, file->fd);
}

static void sparse_close(Sparse *file)
{
    shmig_file_extents_destroy(&file->extents);
    close(file->fd);
    g_unlink(file->path);
    g_free(file->path);
}

/* Data in [@at, + @length). */
static void poke(Sparse *file, uint64_t at, uint64_t length)
{
    g_autofree char *bytes = g_malloc(length);

    memset(bytes, 'x', length);
    g_assert_cmpint(pwrite(file->fd, bytes, length, at), ==, length);
}

static void check(Sparse *file, uint64_t at, bool zero, uint64_t length)
{
    ShmigDiskReq req = {
        .cmd = SHMIG_DISK_STATUS,
        .offset = at,
        .length = FILE_BYTES - at,
    };

    shmig_file_status(&file->extents, &req);
    g_assert_cmpint(req.extent_zero, ==, zero);
    g_assert_cmpuint(req.extent_bytes, ==, length);
}

static void test_data_and_holes_alternate(void)
{
    Sparse file;

    sparse_open(&file);
    poke(&file, 4 * MIB, MIB);
    poke(&file, 8 * MIB, 2 * MIB);
    check(&file, 0, true, 4 * MIB);
    check(&file, 4 * MIB, false, MIB);
    check(&file, 5 * MIB, true, 3 * MIB);
    check(&file, 8 * MIB, false, 2 * MIB);
    check(&file, 9 * MIB, false, MIB);
    check(&file, 10 * MIB, true, FILE_BYTES - 10 * MIB);
    sparse_close(&file);
}

/*
 * A file that changed behind our back shows what was not asked again: data
 * that is a hole by now is merely read.
 */
static void test_as_many_extents_as_channels_are_remembered(void)
{
    Sparse file;

    sparse_open(&file);
    for (uint64_t i = 0; i < SHMIG_FILE_EXTENTS; i++) {
        poke(&file, i * 2 * MIB, MIB);
        check(&file, i * 2 * MIB, false, MIB);
    }
    g_assert_cmpint(ftruncate(file.fd, 0), ==, 0);
    for (uint64_t i = 0; i < SHMIG_FILE_EXTENTS; i++) {
        check(&file, i * 2 * MIB + 512 * KIB, false, 512 * KIB);
    }
    sparse_close(&file);
}

static void test_the_oldest_extent_makes_room(void)
{
    Sparse file;

    sparse_open(&file);
    for (uint64_t i = 0; i <= SHMIG_FILE_EXTENTS; i++) {
        poke(&file, i * 2 * MIB, MIB);
        check(&file, i * 2 * MIB, false, MIB);
    }
    g_assert_cmpint(ftruncate(file.fd, 0), ==, 0);
    g_assert_cmpint(ftruncate(file.fd, FILE_BYTES), ==, 0);
    check(&file, 0, true, FILE_BYTES);
    check(&file, 2 * MIB, false, MIB);
    sparse_close(&file);
}

static void test_no_hole_is_remembered(void)
{
    Sparse file;

    sparse_open(&file);
    check(&file, 0, true, FILE_BYTES);
    poke(&file, 0, MIB);
    check(&file, 0, false, MIB);
    sparse_close(&file);
}

static void test_data_from_further_on_is_not_taken_for_all_of_it(void)
{
    Sparse file;

    sparse_open(&file);
    poke(&file, 2 * MIB, MIB);
    check(&file, 2 * MIB + 512 * KIB, false, 512 * KIB);
    check(&file, MIB, true, MIB);
    check(&file, 2 * MIB, false, MIB);
    sparse_close(&file);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/file-extent/data-and-holes-alternate",
                    test_data_and_holes_alternate);
    g_test_add_func("/disk/file-extent/many-extents-are-remembered",
                    test_as_many_extents_as_channels_are_remembered);
    g_test_add_func("/disk/file-extent/the-oldest-makes-room",
                    test_the_oldest_extent_makes_room);
    g_test_add_func("/disk/file-extent/no-hole-is-remembered",
                    test_no_hole_is_remembered);
    g_test_add_func("/disk/file-extent/data-from-further-on",
                    test_data_from_further_on_is_not_taken_for_all_of_it);
    return g_test_run();
}
