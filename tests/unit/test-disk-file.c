/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images as disks: bytes, holes, ends of files, errors.
 *
 * Most tests run on a disk's file system, on tmpfs and with O_DIRECT; what
 * was done is checked with plain pread() and stat().
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "raw-image.h"

typedef struct Place {
    const char *name;
    const char *dir; /* NULL: the directory for temporary files */
    int flags;
} Place;

static const Place places[] = {
    { "cached", NULL, 0 },
    { "direct", NULL, O_DIRECT },
    { "tmpfs", "/dev/shm", 0 },
};

/* False, with the test skipped, if the place does not exist here. */
static bool image_open(RawImage *image, const Place *place, uint64_t file_bytes,
                       uint64_t size_bytes)
{
    g_autofree char *path = g_build_filename(
        place->dir ? place->dir : g_get_tmp_dir(), "shmig-disk-XXXXXX", NULL);
    int fd;

    image->fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    if (image->fd < 0) {
        g_test_skip("cannot create a file in that directory");
        return false;
    }
    fd = open(path, O_RDWR | O_CLOEXEC | place->flags);
    unlink(path);
    if (fd < 0) {
        g_test_skip("its file system knows no O_DIRECT");
        close(image->fd);
        return false;
    }
    g_assert_cmpint(ftruncate(image->fd, file_bytes), ==, 0);
    raw_image_init(image, image->fd, fd, size_bytes);
    return true;
}

static uint64_t allocated_bytes(const RawImage *image)
{
    struct stat st;

    g_assert_cmpint(fstat(image->fd, &st), ==, 0);
    return st.st_blocks * 512ull;
}

static uint64_t file_bytes(const RawImage *image)
{
    struct stat st;

    g_assert_cmpint(fstat(image->fd, &st), ==, 0);
    return st.st_size;
}

static const struct {
    uint64_t offset, length;
} shapes[] = {
    { 0, 4096 },
    { 4096, 64 * KIB },
    { 128 * KIB, MIB },
    { 2 * MIB + 512, 512 },             /* less than a page */
    { 2 * MIB + 4096 + 3584, 1024 },    /* across pages */
    { 3 * MIB + 512, 64 * KIB - 1024 }, /* neither end on a page */
    { 4 * MIB, MIB - 512 },
    { 6 * MIB + 1536, 512 }, /* the end of the disk */
};
#define SHAPES_DISK (6 * MIB + 2048)

static void test_write_lands_in_its_place(gconstpointer place)
{
    RawImage image;

    if (!image_open(&image, place, SHAPES_DISK, SHAPES_DISK)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        uint8_t *buf = raw_image_buffer(shapes[i].length);

        raw_image_fill(buf, shapes[i].offset, shapes[i].length);
        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_WRITE, shapes[i].offset,
                                     shapes[i].length, buf),
                        ==, 0);
        free(buf);
    }
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_FLUSH, 0, 0, NULL), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        raw_image_expect(&image, shapes[i].offset, shapes[i].length, false);
    }
    g_assert_cmpuint(file_bytes(&image), ==, SHAPES_DISK);
    raw_image_expect(&image, 2 * MIB + 1024, 4096,
                     true); /* between two of them */
    raw_image_close(&image);
}

static void test_read_gets_its_place(gconstpointer place)
{
    RawImage image;

    if (!image_open(&image, place, SHAPES_DISK, SHAPES_DISK)) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        raw_image_poke(&image, shapes[i].offset, shapes[i].length);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        uint8_t *buf = raw_image_buffer(shapes[i].length + 4096);

        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_READ, shapes[i].offset,
                                     shapes[i].length, buf),
                        ==, 0);
        raw_image_check(buf, shapes[i].offset, shapes[i].length, false);
        /* Nothing is written behind the buffer. */
        for (unsigned j = 0; j < 4096; j++) {
            g_assert_cmphex(buf[shapes[i].length + j], ==, 0xee);
        }
        free(buf);
    }
    raw_image_close(&image);
}

/* Small writes are cached, large ones may go past the cache. */
static void test_large_and_small_writes_agree(gconstpointer place)
{
    uint8_t *buf = raw_image_buffer(MIB);
    RawImage image;

    if (image_open(&image, place, 2 * MIB, 2 * MIB)) {
        for (unsigned i = 0; i < 10; i++) {
            raw_image_fill(buf, 2048, 4096);
            g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_WRITE,
                                         512 * KIB + 2048, 4096, buf),
                            ==, 0);
            raw_image_expect(&image, 512 * KIB, 2048, i == 0);
            raw_image_fill(buf, 0, MIB);
            g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_WRITE, 0, MIB, buf),
                            ==, 0);
            raw_image_expect(&image, 0, MIB, false);
            raw_image_fill(buf, MIB - 512, 1024);
            g_assert_cmpint(
                raw_image_do(&image, SHMIG_DISK_WRITE, MIB - 512, 1024, buf),
                ==, 0);
            raw_image_expect(&image, 0, MIB + 512, false);
        }
        raw_image_close(&image);
    }
    free(buf);
}

static void test_many_at_once(gconstpointer place)
{
    enum { COUNT = 100 };
    g_autofree RawRequest *requests = g_new0(RawRequest, COUNT);
    uint8_t *buf = raw_image_buffer(COUNT * 64 * KIB);
    RawImage image;

    if (!image_open(&image, place, COUNT * 64 * KIB, COUNT * 64 * KIB)) {
        free(buf);
        return;
    }
    raw_image_fill(buf, 0, COUNT * 64 * KIB);
    for (unsigned i = 0; i < COUNT; i++) {
        raw_image_start(&image, &requests[i], SHMIG_DISK_WRITE, i * 64 * KIB,
                        64 * KIB, buf + i * 64 * KIB);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        while (!requests[i].done_count) {
            g_assert_cmpint(shmig_ring_run(image.ring, -1), ==, 0);
        }
        g_assert_cmpint(requests[i].res, ==, 0);
    }
    raw_image_expect(&image, 0, COUNT * 64 * KIB, false);
    free(buf);
    raw_image_close(&image);
}

static void test_read_of_a_hole_is_zero(gconstpointer place)
{
    uint8_t *buf = raw_image_buffer(MIB);
    RawImage image;

    if (image_open(&image, place, MIB, MIB)) {
        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_READ, 0, MIB, buf), ==,
                        0);
        raw_image_check(buf, 0, MIB, true);
        g_assert_cmpuint(allocated_bytes(&image), ==, 0);
        raw_image_close(&image);
    }
    free(buf);
}

/* A raw image may end anywhere; the disk is rounded up to sectors. */
static void test_read_past_the_end_of_file_is_zero(gconstpointer place)
{
    uint8_t *buf = raw_image_buffer(64 * KIB);
    RawImage image;

    if (image_open(&image, place, 0, 64 * KIB)) {
        raw_image_poke(&image, 0, 9000);
        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_READ, 0, 64 * KIB, buf),
                        ==, 0);
        raw_image_check(buf, 0, 9000, false);
        raw_image_check(buf + 9000, 9000, 64 * KIB - 9000, true);
        memset(buf, 0xee, 4096);
        g_assert_cmpint(
            raw_image_do(&image, SHMIG_DISK_READ, 32 * KIB, 4096, buf), ==, 0);
        raw_image_check(buf, 0, 4096, true);
        raw_image_close(&image);
    }
    free(buf);
}

static void test_status_tells_data_from_holes(gconstpointer place)
{
    RawImage image;

    if (!image_open(&image, place, 4 * MIB, 4 * MIB)) {
        return;
    }
    raw_image_status(&image, 0, 4 * MIB, true, 4 * MIB);
    raw_image_poke(&image, MIB, MIB);
    raw_image_status(&image, 0, 4 * MIB, true, MIB);
    raw_image_status(&image, 0, 512, true, 512);
    raw_image_status(&image, MIB - 512, 1024, true, 512);
    raw_image_status(&image, MIB, 4 * MIB - MIB, false, MIB);
    raw_image_status(&image, 2 * MIB - 512, MIB, false, 512);
    raw_image_status(&image, 2 * MIB, 2 * MIB, true, 2 * MIB);
    /* What was a hole is not remembered as one. */
    raw_image_poke(&image, 2 * MIB, 64 * KIB);
    raw_image_status(&image, 2 * MIB, 2 * MIB, false, 64 * KIB);
    raw_image_close(&image);
}

static void test_status_past_the_end_of_file(gconstpointer place)
{
    RawImage image;

    if (!image_open(&image, place, 0, 64 * KIB)) {
        return;
    }
    raw_image_poke(&image, 0, 1000);
    raw_image_status(&image, 1024, 512, true, 512);
    raw_image_status(&image, 32 * KIB, 32 * KIB, true, 32 * KIB);
    raw_image_close(&image);
}

static void test_zero_of_a_hole_changes_nothing(gconstpointer place)
{
    RawImage image;

    if (!image_open(&image, place, 4 * MIB, 4 * MIB)) {
        return;
    }
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, 0, 4 * MIB, NULL), ==,
                    0);
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, 512, 512, NULL), ==,
                    0);
    g_assert_cmpuint(allocated_bytes(&image), ==, 0);
    g_assert_cmpuint(file_bytes(&image), ==, 4 * MIB);
    raw_image_close(&image);
}

static void test_zero_of_data_gives_the_space_back(gconstpointer place)
{
    uint64_t before;
    RawImage image;

    if (!image_open(&image, place, 8 * MIB, 8 * MIB)) {
        return;
    }
    raw_image_poke(&image, 0, MIB);
    before = allocated_bytes(&image);
    raw_image_poke(&image, 2 * MIB, MIB);
    raw_image_poke(&image, 5 * MIB, MIB);
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, MIB, 7 * MIB, NULL),
                    ==, 0);
    g_assert_cmpuint(allocated_bytes(&image), ==, before);
    raw_image_expect(&image, 0, MIB, false);
    raw_image_expect(&image, MIB, 7 * MIB, true);
    raw_image_close(&image);
}

/* Space that was set aside for the image stays its. */
static void test_zero_leaves_preallocated_space(gconstpointer place)
{
    RawImage image;

    if (!image_open(&image, place, 2 * MIB, 2 * MIB)) {
        return;
    }
    g_assert_cmpint(posix_fallocate(image.fd, 0, MIB), ==, 0);
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, 0, MIB, NULL), ==, 0);
    g_assert_cmpuint(allocated_bytes(&image), >=, MIB);
    raw_image_status(&image, 0, 2 * MIB, true, 2 * MIB);
    raw_image_close(&image);
}

static void test_zero_keeps_its_neighbours(gconstpointer place)
{
    RawImage image;

    if (!image_open(&image, place, MIB, MIB)) {
        return;
    }
    raw_image_poke(&image, 0, MIB);
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, 512, 512, NULL), ==,
                    0);
    g_assert_cmpint(
        raw_image_do(&image, SHMIG_DISK_ZERO, 8192 - 512, 64 * KIB, NULL), ==,
        0);
    raw_image_expect(&image, 0, 512, false);
    raw_image_expect(&image, 512, 512, true);
    raw_image_expect(&image, 1024, 8192 - 512 - 1024, false);
    raw_image_expect(&image, 8192 - 512, 64 * KIB, true);
    raw_image_expect(&image, 72 * KIB - 512, MIB - 72 * KIB + 512, false);
    raw_image_close(&image);
}

static void test_write_then_zero_then_write(gconstpointer place)
{
    uint8_t *buf = raw_image_buffer(4096);
    RawImage image;

    if (image_open(&image, place, MIB, MIB)) {
        raw_image_fill(buf, 8192, 4096);
        for (unsigned i = 0; i < 3; i++) {
            g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, 0, MIB, NULL),
                            ==, 0);
            raw_image_expect(&image, 0, MIB, true);
            g_assert_cmpint(
                raw_image_do(&image, SHMIG_DISK_WRITE, 8192, 4096, buf), ==, 0);
            raw_image_expect(&image, 8192, 4096, false);
        }
        raw_image_close(&image);
    }
    free(buf);
}

static void test_refuses_ranges_that_do_not_fit(gconstpointer place)
{
    const uint64_t limit = 64 * KIB;
    uint8_t *buf = raw_image_buffer(limit);
    RawImage image;

    if (image_open(&image, place, limit, limit)) {
        g_assert_cmpint(
            raw_image_do(&image, SHMIG_DISK_WRITE, limit - 512, 512, buf), ==,
            0);
        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_WRITE, limit, 512, buf),
                        ==, -EINVAL);
        g_assert_cmpint(
            raw_image_do(&image, SHMIG_DISK_READ, limit - 512, 1024, buf), ==,
            -EINVAL);
        g_assert_cmpint(
            raw_image_do(&image, SHMIG_DISK_ZERO, 512, UINT64_MAX - 511, NULL),
            ==, -EINVAL);
        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_STATUS, 0, 0, NULL), ==,
                        -EINVAL);
        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_READ, 1, 512, buf), ==,
                        -EINVAL);
        g_assert_cmpuint(file_bytes(&image), ==, limit);
        raw_image_close(&image);
    }
    free(buf);
}

static void check_all_fail(int fd, int err)
{
    RawImage image = { .ring = raw_image_ring() };
    uint8_t *buf = raw_image_buffer(4096);

    image.disk = shmig_disk_file_new(fd, MIB);
    image.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_WRITE, 0, 4096, buf), ==,
                    err);
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, 0, 4096, NULL), ==,
                    err);
    raw_image_close(&image);
    free(buf);
}

static unsigned cached_pages(const RawImage *image, uint64_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, image->fd, 0);
    g_autofree uint8_t *resident = g_malloc(bytes / 4096);
    unsigned n = 0;

    g_assert_true(map != MAP_FAILED);
    g_assert_cmpint(mincore(map, bytes, resident), ==, 0);
    for (unsigned i = 0; i < bytes / sysconf(_SC_PAGESIZE); i++) {
        n += resident[i] & 1;
    }
    munmap(map, bytes);
    return n;
}

static void test_bulk_leaves_the_cache_alone(void)
{
    uint8_t *buf = raw_image_buffer(MIB);
    RawImage image;
    struct statfs fs;

    g_assert_true(image_open(&image, &places[0], MIB, MIB));
    g_assert_cmpint(fstatfs(image.fd, &fs), ==, 0);
    if (fs.f_type == TMPFS_MAGIC) {
        g_test_skip("the directory for temporary files is all cache");
    } else {
        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_WRITE, 0, MIB, buf), ==,
                        0);
        g_assert_cmpuint(cached_pages(&image, MIB), ==, 0);
    }
    raw_image_close(&image);
    free(buf);
}

static void test_read_only_file_refuses_writes(void)
{
    g_autofree char *path = NULL;
    RawImage image = { 0 };
    int fd = g_file_open_tmp("shmig-disk-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    image.fd = fd;
    raw_image_poke(&image, 0, MIB);
    check_all_fail(open(path, O_RDONLY | O_CLOEXEC), -EBADF);
    raw_image_expect(&image, 0, MIB, false);
    close(fd);
    unlink(path);
}

static void test_shrunk_file_takes_zeroes_without_growing(void)
{
    RawImage image;

    g_assert_true(image_open(&image, &places[0], 8192, MIB));
    g_assert_cmpint(
        raw_image_do(&image, SHMIG_DISK_ZERO, 4096, MIB - 4096, NULL), ==, 0);
    g_assert_cmpuint(file_bytes(&image), ==, 8192);
    raw_image_close(&image);
}

typedef struct Writer {
    ShmigDisk *disk;
    unsigned index;
} Writer;

enum { WRITERS = 4, WRITES = 64 };

static gpointer writer_thread(gpointer opaque)
{
    Writer *writer = opaque;
    RawImage image = { .ring = raw_image_ring(), .disk = writer->disk };
    uint8_t *buf = raw_image_buffer(64 * KIB);

    for (unsigned i = writer->index; i < WRITES; i += WRITERS) {
        RawRequest status = { 0 };

        raw_image_start(&image, &status, SHMIG_DISK_STATUS, i * 64 * KIB,
                        64 * KIB, NULL);
        g_assert_cmpint(raw_image_wait(&image, &status), ==, 0);
        raw_image_fill(buf, i * 64 * KIB, 64 * KIB);
        g_assert_cmpint(
            raw_image_do(&image, SHMIG_DISK_WRITE, i * 64 * KIB, 64 * KIB, buf),
            ==, 0);
    }
    shmig_ring_free(image.ring);
    free(buf);
    return NULL;
}

static void test_several_rings_share_a_disk(gconstpointer place)
{
    GThread *threads[WRITERS];
    Writer writers[WRITERS];
    RawImage image;

    if (!image_open(&image, place, WRITES * 64 * KIB, WRITES * 64 * KIB)) {
        return;
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].disk = image.disk;
        writers[i].index = i;
        threads[i] = g_thread_new("writer", writer_thread, &writers[i]);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        g_thread_join(threads[i]);
    }
    raw_image_expect(&image, 0, WRITES * 64 * KIB, false);
    raw_image_close(&image);
}

/*
 * In a process and mount namespace of its own, with a file system of @type
 * mounted at @dir; false in the parent, or if that cannot be had.
 */
static bool mounted(const char *type, const char *options, const char *dir)
{
    if (!g_test_subprocess()) {
        if (geteuid() != 0) {
            g_test_skip("mounting a file system needs root");
            return false;
        }
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
        g_test_trap_assert_passed();
        return false;
    }
    g_assert_cmpint(unshare(CLONE_NEWNS), ==, 0);
    g_assert_cmpint(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
    g_assert_cmpint(mount("none", dir, type, 0, options), ==, 0);
    return true;
}

static void test_full_file_system_says_enospc(void)
{
    static const Place place = { "small", "/mnt", 0 };
    uint8_t *buf;
    RawImage image;

    if (!mounted("tmpfs", "size=1m", "/mnt")) {
        return;
    }
    g_assert_true(image_open(&image, &place, 8 * MIB, 8 * MIB));
    buf = raw_image_buffer(2 * MIB);
    raw_image_fill(buf, 0, 2 * MIB);
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_WRITE, 0, 512 * KIB, buf),
                    ==, 0);
    /* The kernel takes a part of it first. */
    g_assert_cmpint(
        raw_image_do(&image, SHMIG_DISK_WRITE, 4 * MIB, 2 * MIB, buf), ==,
        -ENOSPC);
    raw_image_expect(&image, 0, 512 * KIB, false);
    /* There is room again after a hole was punched. */
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, 0, 8 * MIB, NULL), ==,
                    0);
    g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_WRITE, 0, 512 * KIB, buf),
                    ==, 0);
    raw_image_expect(&image, 0, 512 * KIB, false);
    free(buf);
    raw_image_close(&image);
}

/* ramfs knows neither fallocate() nor where its holes are. */
static void test_zeroes_are_written_where_nothing_else_works(void)
{
    static const Place place = { "ramfs", "/mnt", 0 };
    RawImage image;

    if (!mounted("ramfs", NULL, "/mnt")) {
        return;
    }
    g_assert_true(image_open(&image, &place, MIB, MIB));
    raw_image_poke(&image, 0, MIB);
    raw_image_status(&image, 0, MIB, false, MIB);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(raw_image_do(&image, SHMIG_DISK_ZERO, 1024 + i * 512,
                                     200 * KIB, NULL),
                        ==, 0);
    }
    raw_image_expect(&image, 0, 1024, false);
    raw_image_expect(&image, 1024, 200 * KIB + 512, true);
    raw_image_expect(&image, 201 * KIB + 512, MIB - 201 * KIB - 512, false);
    raw_image_close(&image);
}

typedef struct PlacedTest {
    const char *name;
    GTestDataFunc run;
} PlacedTest;

static const PlacedTest placed_tests[] = {
    { "write-lands-in-its-place", test_write_lands_in_its_place },
    { "read-gets-its-place", test_read_gets_its_place },
    { "large-and-small-writes-agree", test_large_and_small_writes_agree },
    { "many-at-once", test_many_at_once },
    { "read-of-a-hole-is-zero", test_read_of_a_hole_is_zero },
    { "read-past-the-end-of-file-is-zero",
      test_read_past_the_end_of_file_is_zero },
    { "status-tells-data-from-holes", test_status_tells_data_from_holes },
    { "status-past-the-end-of-file", test_status_past_the_end_of_file },
    { "zero-of-a-hole-changes-nothing", test_zero_of_a_hole_changes_nothing },
    { "zero-of-data-gives-the-space-back",
      test_zero_of_data_gives_the_space_back },
    { "zero-leaves-preallocated-space", test_zero_leaves_preallocated_space },
    { "zero-keeps-its-neighbours", test_zero_keeps_its_neighbours },
    { "write-then-zero-then-write", test_write_then_zero_then_write },
    { "refuses-ranges-that-do-not-fit", test_refuses_ranges_that_do_not_fit },
    { "several-rings-share-a-disk", test_several_rings_share_a_disk },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(placed_tests); j++) {
            g_autofree char *path = g_strdup_printf(
                "/disk/file/%s/%s", places[i].name, placed_tests[j].name);

            g_test_add_data_func(path, &places[i], placed_tests[j].run);
        }
    }
    g_test_add_func("/disk/file/bulk-leaves-the-cache-alone",
                    test_bulk_leaves_the_cache_alone);
    g_test_add_func("/disk/file/read-only-file-refuses-writes",
                    test_read_only_file_refuses_writes);
    g_test_add_func("/disk/file/shrunk-file-takes-zeroes-without-growing",
                    test_shrunk_file_takes_zeroes_without_growing);
    g_test_add_func("/disk/file/full-file-system-says-enospc",
                    test_full_file_system_says_enospc);
    g_test_add_func("/disk/file/zeroes-are-written-where-nothing-else-works",
                    test_zeroes_are_written_where_nothing_else_works);
    return g_test_run();
}
