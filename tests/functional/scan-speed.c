/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast are the pending bitmap's two hot loops: merging a kernel's bitmap
 * into it, and finding the next run of dirty pages?  In GB of bitmap a
 * second, on one core; the best of several rounds, which is what the code
 * can do when nobody else runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "clock.h"
#include "shmig/dirty/bitmap.h"
#include "shmig/dirty/region.h"

#define ROUNDS 30u
#define MIN_ROUND_NS 2000000u

typedef struct Case {
    const char *name;
    uint64_t memory_gib;
    unsigned pages_apart; /* one page in so many is dirty; 0: none */
} Case;

/* 64 GiB have 2 MiB of bitmap, which caches hold; 1 TiB has 32. */
static const Case cases[] = {
    { "64 GiB, clean", 64, 0 },
    { "64 GiB, 1 page in 100,000", 64, 100000 },
    { "64 GiB, 1 page in 10,000", 64, 10000 },
    { "64 GiB, 1 page in 1,000", 64, 1000 },
    { "1 TiB, clean", 1024, 0 },
    { "1 TiB, 1 page in 100,000", 1024, 100000 },
    { "1 TiB, 1 page in 10,000", 1024, 10000 },
    { "1 TiB, 1 page in 1,000", 1024, 1000 },
};

typedef struct Speeds {
    double read, merge, find;
} Speeds;

static uint64_t find_all(ShmigRegion *region)
{
    uint64_t from = 0, first, n, sum = 0;

    while (
        (n = shmig_region_find(region, from, UINT64_MAX, UINT64_MAX, &first))) {
        sum += n;
        from = first + n;
    }
    return sum;
}

/* What there is to be had: a sum of all words, which leaves nothing out. */
static uint64_t read_all(const uint64_t *bits, uint64_t words)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < words; i++) {
        sum += bits[i];
    }
    return sum;
}

/* One of the three, over and over for a while; bytes a nanosecond. */
typedef void Work(ShmigRegion *region, const uint64_t *bits, uint64_t words,
                  uint64_t dirty);

static double speed_of(Work *work, ShmigRegion *region, const uint64_t *bits,
                       uint64_t dirty)
{
    uint64_t words = region->n_granules / 64, n = 0;
    uint64_t begin = clock_ns(), end;

    do {
        work(region, bits, words, dirty);
        n++;
    } while ((end = clock_ns()) - begin < MIN_ROUND_NS);
    return n * words * 8.0 / (end - begin);
}

static void read_once(ShmigRegion *region, const uint64_t *bits, uint64_t words,
                      uint64_t dirty)
{
    g_assert_true(read_all(bits, words) != 1);
}

static void merge_once(ShmigRegion *region, const uint64_t *bits,
                       uint64_t words, uint64_t dirty)
{
    shmig_region_merge(region, 0, bits, words);
}

static void find_once(ShmigRegion *region, const uint64_t *bits, uint64_t words,
                      uint64_t dirty)
{
    g_assert_cmpuint(find_all(region), ==, dirty);
}

static Speeds measure(const Case *c)
{
    ShmigRegion *region =
        shmig_region_new(1, SHMIG_REGION_RAM, c->memory_gib << 30);
    uint64_t words = region->n_granules / 64, dirty = 0;
    uint64_t *bits = shmig_bitmap_new(words);
    Speeds best = { 0 };

    /* Memory that was never written is one page of zeroes, always cached. */
    memset(bits, 0xff, words * sizeof(*bits));
    shmig_region_merge(region, 0, bits, words);
    shmig_region_clear(region, 0, UINT64_MAX);
    memset(bits, 0, words * sizeof(*bits));

    for (uint64_t p = 0; c->pages_apart && p < region->n_granules;
         p += c->pages_apart, dirty++) {
        bits[p / 64] |= UINT64_C(1) << p % 64;
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        best.read = MAX(best.read, speed_of(read_once, region, bits, dirty));
        best.merge = MAX(best.merge, speed_of(merge_once, region, bits, dirty));
        best.find = MAX(best.find, speed_of(find_once, region, bits, dirty));
    }
    shmig_bitmap_free(bits, words);
    shmig_region_free(region);
    return best;
}

int main(void)
{
    printf("%-28s %12s %12s %12s\n", "GB of bitmap a second", "plain read",
           "merge", "find");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Speeds speeds = measure(&cases[i]);

        printf("%-28s %12.1f %12.1f %12.1f\n", cases[i].name, speeds.read,
               speeds.merge, speeds.find);
    }
    return 0;
}
