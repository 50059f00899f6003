/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is open is found below any node, and what a write changes is not taken
 * for what it only reads. */
#include "qemu/osdep.h"

#include "block/block_int.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qobject/qdict.h"

#include "disk-identity.h"
#include "disk-storage.h"

#define IMAGE_BYTES (1024 * 1024)

typedef struct Files {
    char *dir;
    char *base, *overlay, *data;
} Files;

static char *add_raw(const Files *files, const char *name)
{
    char *path = g_build_filename(files->dir, name, NULL);
    g_autofree void *zeroes = g_malloc0(IMAGE_BYTES);

    g_assert_true(g_file_set_contents(path, zeroes, IMAGE_BYTES, NULL));
    return path;
}

static void setup(Files *files, const void *data)
{
    files->dir = g_dir_make_tmp("shmig-storage-XXXXXX", NULL);
    g_assert_nonnull(files->dir);
    files->base = add_raw(files, "base");
    files->data = add_raw(files, "data");
    files->overlay = g_build_filename(files->dir, "overlay", NULL);
    bdrv_img_create(files->overlay, "qcow2", NULL, NULL, NULL, IMAGE_BYTES, 0,
                    true, &error_abort);
}

static void teardown(Files *files, const void *data)
{
    unlink(files->base);
    unlink(files->data);
    unlink(files->overlay);
    rmdir(files->dir);
    g_free(files->base);
    g_free(files->data);
    g_free(files->overlay);
    g_free(files->dir);
}

static BlockDriverState *open_raw(const char *path)
{
    QDict *options = qdict_new();

    qdict_put_str(options, "driver", "raw");
    qdict_put_str(options, "file.driver", "file");
    qdict_put_str(options, "file.filename", path);
    return bdrv_open(NULL, NULL, options, BDRV_O_RDWR, &error_abort);
}

/* The overlay on the base, with whatever data file its creation named. */
static BlockDriverState *open_overlay(const Files *files)
{
    QDict *options = qdict_new();

    qdict_put_str(options, "driver", "qcow2");
    qdict_put_str(options, "file.driver", "file");
    qdict_put_str(options, "file.filename", files->overlay);
    qdict_put_str(options, "backing.driver", "raw");
    qdict_put_str(options, "backing.file.driver", "file");
    qdict_put_str(options, "backing.file.filename", files->base);
    return bdrv_open(NULL, NULL, options, BDRV_O_RDWR, &error_abort);
}

static bool holds(const GPtrArray *identities, const char *path)
{
    g_autofree char *identity = NULL;
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    identity = shmig_identity_storage("/sys", &st);
    return g_ptr_array_find_with_equal_func((GPtrArray *)identities, identity,
                                            g_str_equal, NULL);
}

static void nothing_is_open(Files *files, const void *data)
{
    g_autoptr(GPtrArray) open = shmig_storage_open();

    g_assert_cmpuint(open->len, ==, 0);
}

static void all_that_is_open(Files *files, const void *data)
{
    BlockDriverState *overlay = open_overlay(files);
    BlockDriverState *raw = open_raw(files->data);
    g_autoptr(GPtrArray) open = shmig_storage_open();

    g_assert_cmpuint(open->len, ==, 3);
    g_assert_true(holds(open, files->base));
    g_assert_true(holds(open, files->overlay));
    g_assert_true(holds(open, files->data));
    bdrv_unref(raw);
    bdrv_unref(overlay);
}

static void backing_file_is_not_written(Files *files, const void *data)
{
    BlockDriverState *overlay = open_overlay(files);
    g_autoptr(GPtrArray) written = shmig_storage_written(overlay);

    g_assert_cmpuint(written->len, ==, 1);
    g_assert_true(holds(written, files->overlay));
    bdrv_unref(overlay);
}

static void data_file_is_written(Files *files, const void *data)
{
    BlockDriverState *overlay;
    g_autoptr(GPtrArray) written = NULL, open = NULL;
    g_autofree char *options =
        g_strdup_printf("data_file=%s,data_file_raw=off", files->data);

    bdrv_img_create(files->overlay, "qcow2", NULL, NULL, options, IMAGE_BYTES,
                    0, true, &error_abort);
    overlay = open_overlay(files);
    written = shmig_storage_written(overlay);
    open = shmig_storage_open();
    g_assert_cmpuint(written->len, ==, 2);
    g_assert_true(holds(written, files->overlay));
    g_assert_true(holds(written, files->data));
    g_assert_cmpuint(open->len, ==, 3);
    bdrv_unref(overlay);
}

/* By another name it is the same file. */
static void links(Files *files, const void *data)
{
    g_autofree char *hard = g_build_filename(files->dir, "hard", NULL);
    g_autofree char *soft = g_build_filename(files->dir, "soft", NULL);
    const char *const names[] = { hard, soft };

    g_assert_cmpint(link(files->data, hard), ==, 0);
    g_assert_cmpint(symlink(files->data, soft), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        BlockDriverState *bs = open_raw(names[i]);
        g_autoptr(GPtrArray) written = shmig_storage_written(bs);

        g_assert_cmpuint(written->len, ==, 1);
        g_assert_true(holds(written, files->data));
        bdrv_unref(bs);
        unlink(names[i]);
    }
}

#define ADD(name, fn) \
    g_test_add("/qemu/disk-storage/" name, Files, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
    bdrv_init();
    qemu_init_main_loop(&error_abort);
    g_test_init(&argc, &argv, NULL);

    ADD("nothing-is-open", nothing_is_open);
    ADD("all-that-is-open", all_that_is_open);
    ADD("backing-file-is-not-written", backing_file_is_not_written);
    ADD("data-file-is-written", data_file_is_written);
    ADD("links", links);
    return g_test_run();
}
