/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which lane a guest write goes to, and what cannot travel as it is. */
#include "shmig/disk/mirror-set.h"

#include <errno.h>
#include <string.h>

#define MIB (1u << 20)
#define STRIPE (2u * MIB)
#define GRANULE (64u << 10)
#define BYTES (4u * STRIPE)

typedef struct World {
    ShmigLane lane[2];
    ShmigRegion *region;
    ShmigRegionStats stats;
    ShmigMirror *mirror;
    unsigned n_wake;
    uint8_t *buf;
} World;

static void wake(void *opaque)
{
    World *w = opaque;

    w->n_wake++;
}

/* Of region 0: even stripes go to lane 0, odd ones to lane 1. */
static World *world_new(void)
{
    World *w = g_new0(World, 1);
    ShmigLane *lanes[] = { &w->lane[0], &w->lane[1] };

    shmig_lane_init(&w->lane[0], 16 * MIB, wake, w);
    shmig_lane_init(&w->lane[1], 16 * MIB, wake, w);
    w->region = shmig_region_new(0, SHMIG_REGION_DISK, BYTES);
    w->mirror = shmig_mirror_new(w->region, &w->stats, lanes, 2);
    w->buf = g_malloc(BYTES);
    for (unsigned i = 0; i < BYTES / 512; i++) {
        memset(w->buf + i * 512, i % 251, 512);
    }
    return w;
}

static void world_free(World *w)
{
    shmig_mirror_free(w->mirror);
    shmig_lane_destroy(&w->lane[0]);
    shmig_lane_destroy(&w->lane[1]);
    shmig_region_free(w->region);
    g_free(w->buf);
    g_free(w);
}

static void expect(World *w, unsigned lane, uint64_t offset, uint64_t length,
                   const uint8_t *bytes)
{
    ShmigInline *item = shmig_lane_pop(&w->lane[lane], UINT64_MAX, 1);

    g_assert_nonnull(item);
    g_assert_cmpuint(item->offset, ==, offset);
    g_assert_cmpuint(item->length, ==, length);
    g_assert_cmpint(item->zero, ==, bytes == NULL);
    if (bytes) {
        g_assert_cmpmem(item->bytes, length, bytes, length);
    }
    shmig_inline_free(item);
}

static void expect_nothing_sent(World *w)
{
    g_assert_cmpuint(w->lane[0].n_pushed + w->lane[1].n_pushed, ==, 0);
}

static void test_stripes(void)
{
    World *w = world_new();

    shmig_mirror_written(w->mirror, STRIPE - 1024, STRIPE + 2048, w->buf, 0);
    expect(w, 0, STRIPE - 1024, 1024, w->buf);
    expect(w, 1, STRIPE, MIB, w->buf + 1024);
    expect(w, 1, STRIPE + MIB, MIB, w->buf + 1024 + MIB);
    expect(w, 0, 2 * STRIPE, 1024, w->buf + 1024 + STRIPE);
    g_assert_cmpuint(w->region->pending_granules, ==, 0);
    world_free(w);
}

static void test_zeroes(void)
{
    World *w = world_new();

    shmig_mirror_zeroed(w->mirror, STRIPE - 512, 1024, 0);
    expect(w, 0, STRIPE - 512, 512, NULL);
    expect(w, 1, STRIPE, 512, NULL);
    world_free(w);
}

/* Nobody knows what a failed write left behind: it is read again. */
static void test_failed(void)
{
    World *w = world_new();

    shmig_mirror_written(w->mirror, GRANULE - 512, 1024, w->buf, -EIO);
    expect_nothing_sent(w);
    g_assert_true(shmig_region_all(w->region, 0, 2));
    g_assert_cmpuint(w->region->pending_granules, ==, 2);
    g_assert_cmpuint(w->n_wake, ==, 2);
    shmig_mirror_zeroed(w->mirror, 5 * GRANULE, 512, -ENOSPC);
    expect_nothing_sent(w);
    g_assert_true(shmig_region_any(w->region, 5, 1));
    world_free(w);
}

static void test_unaligned(void)
{
    World *w = world_new();

    shmig_mirror_written(w->mirror, 100, 512, w->buf, 0);
    shmig_mirror_written(w->mirror, GRANULE, 100, w->buf, 0);
    expect_nothing_sent(w);
    g_assert_true(shmig_region_all(w->region, 0, 2));
    world_free(w);
}

static void test_discarded(void)
{
    World *w = world_new();

    shmig_mirror_discarded(w->mirror, STRIPE - GRANULE, 2 * GRANULE);
    expect_nothing_sent(w);
    g_assert_true(shmig_region_all(w->region, 31, 2));
    g_assert_cmpuint(w->region->pending_granules, ==, 2);
    g_assert_cmpuint(w->n_wake, ==, 2);
    world_free(w);
}

/* What lies outside, or wraps around, is nothing that travels. */
static void test_outside(void)
{
    World *w = world_new();

    shmig_mirror_written(w->mirror, BYTES, 512, w->buf, 0);
    shmig_mirror_written(w->mirror, BYTES - 512, 1024, w->buf, 0);
    shmig_mirror_written(w->mirror, UINT64_MAX - 511, 512, w->buf, 0);
    shmig_mirror_written(w->mirror, UINT64_MAX - 511, 1024, w->buf, -EIO);
    shmig_mirror_written(w->mirror, 512, 0, w->buf, 0);
    shmig_mirror_zeroed(w->mirror, 0, UINT64_MAX, 0);
    shmig_mirror_discarded(w->mirror, 512, UINT64_MAX - 511);
    expect_nothing_sent(w);
    g_assert_cmpuint(w->region->pending_granules, ==, 0);
    shmig_mirror_written(w->mirror, BYTES - 512, 512, w->buf, 0);
    expect(w, 1, BYTES - 512, 512, w->buf);
    world_free(w);
}

/* Of a write for two lanes the slower one holds the guest back. */
static void test_longest_delay(void)
{
    World *w = world_new();

    w->lane[0].max_queued_bytes = w->lane[1].max_queued_bytes = 2 * MIB;
    shmig_lane_set_rate(&w->lane[0], 1000 * MIB);
    shmig_lane_set_rate(&w->lane[1], 1);
    g_assert_cmpint(
        shmig_mirror_written(w->mirror, STRIPE - MIB, 2 * MIB, w->buf, 0), ==,
        SHMIG_MIRROR_MAX_DELAY_NS);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/mirror/stripes", test_stripes);
    g_test_add_func("/disk/mirror/zeroes", test_zeroes);
    g_test_add_func("/disk/mirror/failed", test_failed);
    g_test_add_func("/disk/mirror/unaligned", test_unaligned);
    g_test_add_func("/disk/mirror/discarded", test_discarded);
    g_test_add_func("/disk/mirror/outside", test_outside);
    g_test_add_func("/disk/mirror/longest-delay", test_longest_delay);
    return g_test_run();
}
