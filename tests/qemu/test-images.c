/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the other tests say of images can be believed: one sector that was
 * written is found, wherever it is, and none where none was. */
#include <glib/gstdio.h>
#include <string.h>

#include "images.h"
#include "machine.h"

#define MIB ((uint64_t)1024 * 1024)
#define FROM (4 * MIB)
/* The last MiB is not a whole one. */
#define BYTES (12 * MIB + 1536)

/* A sector of an image, as an image's user counts. */
typedef struct Written {
    const char *format;
    const char *command; /* of qemu-io */
    const char *said;    /* NULL: nothing to find */
} Written;

static void write_and_look(const Written *written, const char *dir)
{
    g_autoptr(GError) error = NULL;
    Image *image = image_new(dir, "image", written->format, BYTES, FROM,
                             IMAGE_HOLES, &error);

    g_assert_no_error(error);
    g_assert_true(image_remember(image, &error));
    g_assert_no_error(error);
    image_run_program(&error, machine_qemu_io(), "-f", written->format, "-c",
                      written->command, image->path, NULL);
    g_assert_no_error(error);
    if (written->said) {
        g_assert_false(image_unchanged(image, &error));
        g_assert_nonnull(strstr(error->message, written->said));
    } else {
        image_unchanged(image, &error);
        g_assert_no_error(error);
    }
    image_free(image);
}

static void look(const void *opaque)
{
    g_autofree char *missing = machine_missing("tcg");
    g_autofree char *dir = NULL;

    if (missing) {
        g_test_skip(missing);
        return;
    }
    dir = g_dir_make_tmp("shmig-images-XXXXXX", NULL);
    write_and_look(opaque, dir);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

/* clang-format off */
#define ROW(path_, ...) \
    g_test_add_data_func("/qemu/images/" path_, \
                         &(const Written) { __VA_ARGS__ }, look)
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ROW("raw/guest's-part", "raw", "write -P 7 4193792 512", NULL);
    ROW("raw/first-sector", "raw", "write -P 7 4194304 512", "in MiB 4 ");
    ROW("raw/hole", "raw", "write -P 7 8388608 512", "in MiB 8 ");
    ROW("raw/last-sector", "raw", "write -P 7 12583936 512", "in MiB 12 ");
    ROW("raw/zeroes-for-data", "raw", "write -z 5300k 512", "in MiB 5 ");
    ROW("raw/zeroes-for-a-hole", "raw", "write -P 0 8388608 512", NULL);
    ROW("qcow2/guest's-part", "qcow2", "write -P 7 4193792 512", NULL);
    ROW("qcow2/hole", "qcow2", "write -P 7 8388608 512", "in MiB 8 ");
    ROW("qcow2/last-sector", "qcow2", "write -P 7 12583936 512", "in MiB 12 ");
    ROW("qcow2/zeroes-for-data", "qcow2", "write -z 5300k 512", "in MiB 5 ");
    return g_test_run();
}
