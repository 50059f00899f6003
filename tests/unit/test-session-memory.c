/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session stays within its memory, however many channels it has. */
#include "session-pair.h"
#include "shmig/session/memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1u << 20)
#define DISK_BYTES (160u * MIB)

/* Their shadow is anonymous memory as well. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static void check_sums(bool tls)
{
    const unsigned channels[] = { 1,  2,  4,  12, 13, 16, 24,
                                  25, 27, 29, 32, 48, 63, 64 };

    for (unsigned i = 0; i < G_N_ELEMENTS(channels); i++) {
        unsigned n = channels[i];
        ShmigMemory source = shmig_memory_source(n, tls);
        ShmigMemory dest = shmig_memory_dest(n, tls);

        g_assert_cmpuint(source.total_bytes, <=, SHMIG_MEMORY_BYTES);
        g_assert_cmpuint(dest.total_bytes, <=, SHMIG_MEMORY_BYTES);
        g_assert_cmpuint(source.buffers * (uint64_t)source.buffer_bytes, <=,
                         24 * MIB);
        g_assert_cmpuint(source.buffer_bytes, >=, 64u << 10);
        g_assert_cmpuint(source.buffer_bytes % (64u << 10), ==, 0);
        g_assert_cmpuint(source.per_channel, >=, 1);
        g_assert_cmpuint(dest.buffers, <=, 24);
        g_assert_cmpuint(dest.buffer_bytes, >=, MIB);
        g_assert_cmpuint(dest.per_channel, >=, 2);
    }
}

static void test_sums(void)
{
    check_sums(false);
    check_sums(true);
}

/* What is fast today stays so. */
static void test_few_channels(void)
{
    const bool tls = true;

    for (unsigned n = 4; n <= 12; n *= 3) {
        g_assert_cmpuint(shmig_memory_source(n, tls).buffers, ==, 24);
        g_assert_cmpuint(shmig_memory_source(n, tls).buffer_bytes, ==, MIB);
        g_assert_cmpuint(shmig_memory_dest(n, tls).buffers, ==, 24);
    }
}

/* Anonymous memory of this process; files in memory are none. */
static uint64_t resident(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long kib = 0;
    char line[256];

    g_assert_nonnull(f);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "RssAnon: %lu", &kib) == 1) {
            break;
        }
    }
    fclose(f);
    return kib * 1024ull;
}

/* An image of @bytes, whose last @data_bytes hold @byte. */
static int image(uint64_t bytes, uint64_t data_bytes, uint8_t byte)
{
    int fd = memfd_create("image", MFD_CLOEXEC);
    g_autofree uint8_t *buf = g_malloc(MIB);

    memset(buf, byte, MIB);
    g_assert_cmpint(ftruncate(fd, bytes), ==, 0);
    for (uint64_t at = bytes - data_bytes; at < bytes; at += MIB) {
        g_assert_cmpint(pwrite(fd, buf, MIB, at), ==, MIB);
    }
    return fd;
}

typedef struct Shape {
    const char *name;
    unsigned channels;
    bool tls;
} Shape;

static const Shape shapes[] = {
    { "1", 1 },
    { "12", 12 },
    { "13", 13 },
    { "25", 25 },
    { "64", 64 },
    { "tls/1", 1, true },
    { "tls/24", 24, true },
    { "tls/64", 64, true },
};

/* Copies a disk; both sides are in this process. */
static void copy(const Shape *shape, uint64_t bytes, uint64_t data_bytes,
                 uint64_t bitmap_bytes)
{
    Pair *pair = pair_new(shape->channels, false, MIB);
    int to = image(bytes, 0, 0), look = dup(to);
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *last = g_malloc(MIB);
    struct stat st;
    uint64_t before;

    pair->tls = shape->tls;
    pair->n_disks = 1;
    pair->disk_bytes = bytes;
    pair->source_disk[0] =
        shmig_disk_file_new(image(bytes, data_bytes, 0x5a), bytes);
    pair->dest_disk[0] = shmig_disk_file_new(to, bytes);
    before = resident();
    g_assert_true(pair_start(pair, &error));
    g_assert_true(pair_settle(pair, 1, &error));
    pair_start_ram(pair);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_true(SANITIZED ||
                  resident() - before <= 2 * SHMIG_MEMORY_BYTES + bitmap_bytes);
    g_test_message("%u channels: %u MiB", pair->channels,
                   (unsigned)((resident() - before) / MIB));
    pair_free(pair);
    g_assert_cmpint(pread(look, last, MIB, bytes - MIB), ==, MIB);
    for (unsigned i = 0; i < MIB; i++) {
        g_assert_cmpuint(last[i], ==, 0x5a);
    }
    g_assert_cmpint(fstat(look, &st), ==, 0);
    g_assert_cmpuint(st.st_blocks * UINT64_C(512), ==, data_bytes);
    close(look);
}

/* With all channels busy. */
static void test_copy(gconstpointer opaque)
{
    copy(opaque, DISK_BYTES, DISK_BYTES, 0);
}

/* What a disk's size costs is its bitmaps, two on each side. */
static void test_huge(void)
{
    const Shape shape = { "huge", 2 };
    const uint64_t bytes = 8ull << 40;

    copy(&shape, bytes, 32 * MIB, 4 * (bytes >> SHMIG_DISK_GRANULE_SHIFT >> 3));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/memory/sums", test_sums);
    g_test_add_func("/session/memory/few-channels", test_few_channels);
    g_test_add_func("/session/memory/huge-disk", test_huge);
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_autofree char *path =
            g_strdup_printf("/session/memory/copy/%s", shapes[i].name);

        g_test_add_data_func(path, &shapes[i], test_copy);
    }
    return g_test_run();
}
