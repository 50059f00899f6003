/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host block devices as disks: loop devices with small and large sectors,
 * through the page cache and with O_DIRECT.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raw-image.h"

#define DEVICE_BYTES (4 * MIB)

typedef struct Kind {
    const char *name;
    unsigned sector_bytes;
    int flags;
} Kind;

static const Kind kinds[] = {
    { "small-sectors-cached", 512, 0 },
    { "small-sectors-direct", 512, O_DIRECT },
    { "large-sectors-cached", 4096, 0 },
    { "large-sectors-direct", 4096, O_DIRECT },
};

typedef struct Device {
    RawImage image;
    int file_fd; /* what is behind it */
} Device;

/* Attaches a free loop device to @file_fd and returns its path. */
static char *attach(int control, int file_fd, unsigned sector_bytes, int *fd)
{
    struct loop_config config = {
        .fd = file_fd,
        .block_size = sector_bytes,
        /* It goes away with its last descriptor. */
        .info.lo_flags = LO_FLAGS_AUTOCLEAR,
    };

    /* Another process may take the free one first. */
    for (unsigned i = 0; i < 100; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        g_autofree char *path = g_strdup_printf("/dev/loop%d", number);

        *fd = open(path, O_RDWR | O_CLOEXEC);
        if (number < 0 || *fd < 0) {
            return NULL;
        }
        if (ioctl(*fd, LOOP_CONFIGURE, &config) == 0) {
            return g_steal_pointer(&path);
        }
        close(*fd);
        if (errno != EBUSY) {
            return NULL;
        }
    }
    return NULL;
}

/* False, with the test skipped, where there are no loop devices. */
static bool device_open(Device *device, const Kind *kind, uint64_t size_bytes)
{
    g_autofree char *file = NULL;
    g_autofree char *path = NULL;
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int fd, disk_fd;

    if (control < 0) {
        g_test_skip("no /dev/loop-control, or no right to use it");
        return false;
    }
    device->file_fd = g_file_open_tmp("shmig-device-XXXXXX", &file, NULL);
    g_assert_cmpint(device->file_fd, >=, 0);
    unlink(file);
    g_assert_cmpint(ftruncate(device->file_fd, DEVICE_BYTES), ==, 0);
    path = attach(control, device->file_fd, kind->sector_bytes, &fd);
    close(control);
    if (!path) {
        g_test_skip("cannot set up a loop device");
        close(device->file_fd);
        return false;
    }
    disk_fd = open(path, O_RDWR | O_CLOEXEC | kind->flags);
    g_assert_cmpint(disk_fd, >=, 0);
    raw_image_init(&device->image, fd, disk_fd, size_bytes);
    return true;
}

static void device_close(Device *device)
{
    raw_image_close(&device->image);
    close(device->file_fd);
}

static const struct {
    uint64_t offset, length;
} shapes[] = {
    { 0, MIB },
    { MIB + 512, 512 },
    { MIB + 64 * KIB - 1024, 4096 + 512 },
    { 2 * MIB, MIB + 1536 },
    { DEVICE_BYTES - 512, 512 },
};

static void test_write_and_read_any_sector(gconstpointer kind)
{
    uint8_t *buf = raw_image_buffer(2 * MIB);
    Device d;

    if (device_open(&d, kind, DEVICE_BYTES)) {
        for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
            uint64_t offset = shapes[i].offset, length = shapes[i].length;

            raw_image_fill(buf, offset, length);
            g_assert_cmpint(
                raw_image_do(&d.image, SHMIG_DISK_WRITE, offset, length, buf),
                ==, 0);
        }
        g_assert_cmpint(raw_image_do(&d.image, SHMIG_DISK_FLUSH, 0, 0, NULL),
                        ==, 0);
        for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
            uint64_t offset = shapes[i].offset, length = shapes[i].length;

            g_assert_cmpint(
                raw_image_do(&d.image, SHMIG_DISK_READ, offset, length, buf),
                ==, 0);
            raw_image_check(buf, offset, length, false);
            raw_image_expect(&d.image, offset, length, false);
        }
        raw_image_expect(&d.image, MIB + 1024, 4096, true);
        device_close(&d);
    }
    free(buf);
}

/* Eight requests for one large sector, in flight together. */
static void test_neighbours_in_one_sector(gconstpointer kind)
{
    uint8_t *buf = raw_image_buffer(8 * 4096);
    RawRequest requests[8] = { 0 };
    Device d;

    if (device_open(&d, kind, DEVICE_BYTES)) {
        for (unsigned i = 0; i < 8; i++) {
            raw_image_fill(buf + i * 4096, MIB + i * 512, 512);
            raw_image_start(&d.image, &requests[i], SHMIG_DISK_WRITE,
                            MIB + i * 512, 512, buf + i * 4096);
        }
        for (unsigned i = 0; i < 8; i++) {
            g_assert_cmpint(raw_image_wait(&d.image, &requests[i]), ==, 0);
        }
        raw_image_expect(&d.image, MIB, 4096, false);
        device_close(&d);
    }
    free(buf);
}

/* One block in turn through both descriptors. */
static void test_direct_and_cached_agree(gconstpointer kind)
{
    uint8_t *buf = raw_image_buffer(4096);
    Device d;

    if (device_open(&d, kind, DEVICE_BYTES)) {
        for (unsigned i = 0; i < 50; i++) {
            uint64_t other = i * 4096;

            raw_image_fill(buf, other, 4096);
            g_assert_cmpint(
                raw_image_do(&d.image, SHMIG_DISK_WRITE, 8192, 4096, buf), ==,
                0);
            raw_image_fill(buf, 8192 + 512, 512);
            g_assert_cmpint(
                raw_image_do(&d.image, SHMIG_DISK_WRITE, 8192 + 512, 512, buf),
                ==, 0);
            g_assert_cmpint(
                raw_image_do(&d.image, SHMIG_DISK_READ, 8192, 4096, buf), ==,
                0);
            raw_image_check(buf, other, 512, false);
            raw_image_check(buf + 512, 8192 + 512, 512, false);
            raw_image_check(buf + 1024, other + 1024, 3072, false);
        }
        device_close(&d);
    }
    free(buf);
}

static void test_status_cannot_tell(gconstpointer kind)
{
    Device d;

    if (device_open(&d, kind, DEVICE_BYTES)) {
        raw_image_status(&d.image, 0, DEVICE_BYTES, false, DEVICE_BYTES);
        raw_image_status(&d.image, 512, 512, false, 512);
        device_close(&d);
    }
}

static void test_zero_reaches_the_file_behind(gconstpointer kind)
{
    struct stat st;
    Device d;

    if (!device_open(&d, kind, DEVICE_BYTES)) {
        return;
    }
    raw_image_poke(&d.image, 0, DEVICE_BYTES);
    g_assert_cmpint(raw_image_do(&d.image, SHMIG_DISK_ZERO, MIB, 2 * MIB, NULL),
                    ==, 0);
    g_assert_cmpint(raw_image_do(&d.image, SHMIG_DISK_FLUSH, 0, 0, NULL), ==,
                    0);
    raw_image_expect(&d.image, 0, MIB, false);
    raw_image_expect(&d.image, MIB, 2 * MIB, true);
    raw_image_expect(&d.image, 3 * MIB, MIB, false);
    g_assert_cmpint(fstat(d.file_fd, &st), ==, 0);
    g_assert_cmpuint(st.st_blocks * 512ull, <, DEVICE_BYTES - MIB);
    device_close(&d);
}

static void test_zero_of_a_part_of_a_sector(gconstpointer kind)
{
    Device d;

    if (!device_open(&d, kind, DEVICE_BYTES)) {
        return;
    }
    raw_image_poke(&d.image, 0, DEVICE_BYTES);
    g_assert_cmpint(
        raw_image_do(&d.image, SHMIG_DISK_ZERO, 512, 128 * KIB, NULL), ==, 0);
    g_assert_cmpint(
        raw_image_do(&d.image, SHMIG_DISK_ZERO, DEVICE_BYTES - 512, 512, NULL),
        ==, 0);
    raw_image_expect(&d.image, 0, 512, false);
    raw_image_expect(&d.image, 512, 128 * KIB, true);
    raw_image_expect(&d.image, 128 * KIB + 512, DEVICE_BYTES - 128 * KIB - 1024,
                     false);
    raw_image_expect(&d.image, DEVICE_BYTES - 512, 512, true);
    device_close(&d);
}

/* Somebody shrank the device; its missing end is no zeroes. */
static void test_end_of_device_is_an_error(gconstpointer kind)
{
    uint8_t *buf = raw_image_buffer(8192);
    Device d;

    if (device_open(&d, kind, DEVICE_BYTES + MIB)) {
        g_assert_cmpint(raw_image_do(&d.image, SHMIG_DISK_READ,
                                     DEVICE_BYTES - 4096, 8192, buf),
                        ==, -EIO);
        g_assert_cmpint(raw_image_do(&d.image, SHMIG_DISK_WRITE,
                                     DEVICE_BYTES - 4096, 8192, buf),
                        ==, -ENOSPC);
        device_close(&d);
    }
    free(buf);
}

static const struct {
    const char *name;
    GTestDataFunc run;
} tests[] = {
    { "write-and-read-any-sector", test_write_and_read_any_sector },
    { "neighbours-in-one-sector", test_neighbours_in_one_sector },
    { "direct-and-cached-agree", test_direct_and_cached_agree },
    { "status-cannot-tell", test_status_cannot_tell },
    { "zero-reaches-the-file-behind", test_zero_reaches_the_file_behind },
    { "zero-of-a-part-of-a-sector", test_zero_of_a_part_of_a_sector },
    { "end-of-device-is-an-error", test_end_of_device_is_an_error },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(tests); j++) {
            g_autofree char *path = g_strdup_printf(
                "/disk/device/%s/%s", kinds[i].name, tests[j].name);

            g_test_add_data_func(path, &kinds[i], tests[j].run);
        }
    }
    return g_test_run();
}
