/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session stays within its memory, however many channels it has. */
#include "session-pair.h"
#include "shmig/session/memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1u << 20)
#define DISK_BYTES (160u * MIB)

/* Their shadow is anonymous memory as well. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static void test_sums(void)
{
    const unsigned channels[] = { 1,  2,  4,  12, 13, 16, 24,
                                  25, 27, 29, 32, 48, 63, 64 };

    for (unsigned i = 0; i < G_N_ELEMENTS(channels); i++) {
        unsigned n = channels[i];
        ShmigMemory source = shmig_memory_source(n);
        ShmigMemory dest = shmig_memory_dest(n);

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

/* What is fast today stays so. */
static void test_few_channels(void)
{
    for (unsigned n = 4; n <= 12; n *= 3) {
        g_assert_cmpuint(shmig_memory_source(n).buffers, ==, 24);
        g_assert_cmpuint(shmig_memory_source(n).buffer_bytes, ==, MIB);
        g_assert_cmpuint(shmig_memory_dest(n).buffers, ==, 24);
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

static int image(uint8_t byte)
{
    int fd = memfd_create("image", MFD_CLOEXEC);
    g_autofree uint8_t *bytes = g_malloc(MIB);

    memset(bytes, byte, MIB);
    g_assert_cmpint(ftruncate(fd, DISK_BYTES), ==, 0);
    for (uint64_t at = 0; byte && at < DISK_BYTES; at += MIB) {
        g_assert_cmpint(pwrite(fd, bytes, MIB, at), ==, MIB);
    }
    return fd;
}

/* With all of them busy; both sides are in this process. */
static void test_copy(gconstpointer opaque)
{
    Pair *pair = pair_new(GPOINTER_TO_UINT(opaque), false, MIB);
    int to = image(0), look = dup(to);
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *last = g_malloc(MIB);
    uint64_t before;

    pair->n_disks = 1;
    pair->disk_bytes = DISK_BYTES;
    pair->source_disk[0] = shmig_disk_file_new(image(0x5a), DISK_BYTES);
    pair->dest_disk[0] = shmig_disk_file_new(to, DISK_BYTES);
    before = resident();
    g_assert_true(pair_start(pair, &error));
    g_assert_true(pair_settle(pair, 1, &error));
    pair_start_ram(pair);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_true(SANITIZED || resident() - before <= 2 * SHMIG_MEMORY_BYTES);
    g_test_message("%u channels: %u MiB", pair->channels,
                   (unsigned)((resident() - before) / MIB));
    pair_free(pair);
    g_assert_cmpint(pread(look, last, MIB, DISK_BYTES - MIB), ==, MIB);
    for (unsigned i = 0; i < MIB; i++) {
        g_assert_cmpuint(last[i], ==, 0x5a);
    }
    close(look);
}

int main(int argc, char **argv)
{
    const unsigned channels[] = { 1, 12, 13, 25, 64 };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/memory/sums", test_sums);
    g_test_add_func("/session/memory/few-channels", test_few_channels);
    for (unsigned i = 0; i < G_N_ELEMENTS(channels); i++) {
        g_autofree char *path =
            g_strdup_printf("/session/memory/copy/%u", channels[i]);

        g_test_add_data_func(path, GUINT_TO_POINTER(channels[i]), test_copy);
    }
    return g_test_run();
}
