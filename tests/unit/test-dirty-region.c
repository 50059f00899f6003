/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pending bitmap: ends, word boundaries, counts, racing threads. */
#include <glib.h>
#include <string.h>

#include "shmig/dirty/region.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShmigRegion, shmig_region_free)

#define PAGE (1ull << SHMIG_RAM_GRANULE_SHIFT)
#define MIB (1ull << 20)

static ShmigRegion *ram_region(uint64_t pages)
{
    return shmig_region_new(1, SHMIG_REGION_RAM, pages * PAGE);
}

static uint64_t count_bits(const ShmigRegion *region)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i <= (region->n_granules - 1) / 64; i++) {
        n += __builtin_popcountll(region->pending[i]);
    }
    return n;
}

static void test_sizes(void)
{
    static const struct {
        ShmigRegionKind kind;
        uint64_t length, granules, stripes;
    } t[] = {
        { SHMIG_REGION_RAM, 1, 1, 1 },
        { SHMIG_REGION_RAM, 4096, 1, 1 },
        { SHMIG_REGION_RAM, 4097, 2, 1 },
        { SHMIG_REGION_RAM, 2 * MIB, 512, 1 },
        { SHMIG_REGION_RAM, 2 * MIB + 1, 513, 2 },
        { SHMIG_REGION_DISK, 65535, 1, 1 },
        { SHMIG_REGION_DISK, 65537, 2, 1 },
        { SHMIG_REGION_DISK, 4 * MIB, 64, 2 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(t); i++) {
        g_autoptr(ShmigRegion) r = shmig_region_new(7, t[i].kind, t[i].length);

        g_assert_cmpuint(r->id, ==, 7);
        g_assert_cmpuint(r->n_granules, ==, t[i].granules);
        g_assert_cmpuint(r->n_stripes, ==, t[i].stripes);
        g_assert_cmpuint(shmig_region_pending_bytes(r), ==, 0);
        g_assert_cmpuint(shmig_region_set(r, 0, UINT64_MAX), ==, t[i].granules);
        g_assert_cmpuint(shmig_region_pending_bytes(r), ==, t[i].length);
    }
}

/* Ranges around word boundaries, against a plain array of bools. */
static void test_word_boundaries(void)
{
    static const uint64_t edges[] = { 0,   1,   62,  63,  64,  65, 127,
                                      128, 129, 191, 192, 199, 200 };

    for (size_t a = 0; a < G_N_ELEMENTS(edges); a++) {
        for (size_t b = a; b < G_N_ELEMENTS(edges); b++) {
            g_autoptr(ShmigRegion) r = ram_region(200);
            uint64_t first = edges[a], n = edges[b] - edges[a], at;

            g_assert_cmpuint(shmig_region_set(r, first, n), ==, n);
            g_assert_cmpuint(shmig_region_set(r, first, n), ==, 0);
            g_assert_cmpuint(count_bits(r), ==, n);
            g_assert_cmpuint(r->pending_granules, ==, n);
            g_assert_cmpuint(shmig_region_find(r, 0, 200, 1000, &at), ==, n);
            g_assert_true(n == 0 || at == first);
            g_assert_true(shmig_region_all(r, first, n));
            g_assert_true(shmig_region_any(r, first, n) == (n > 0));
            g_assert_true(n == 0 || !shmig_region_all(r, first, n + 1));
            g_assert_false(shmig_region_any(r, 0, first));
            g_assert_false(shmig_region_any(r, first + n, 200));
            g_assert_cmpuint(shmig_region_clear(r, 0, 200), ==, n);
            g_assert_cmpuint(r->pending_granules, ==, 0);
            g_assert_cmpuint(count_bits(r), ==, 0);
        }
    }
}

/* limit - 1, limit, limit + 1, wrap-around: never a bit past the end. */
static void test_end(void)
{
    g_autoptr(ShmigRegion) r = ram_region(100);
    uint64_t ones[3] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };

    g_assert_cmpuint(shmig_region_set(r, 99, 1), ==, 1);
    g_assert_cmpuint(shmig_region_set(r, 100, 1), ==, 0);
    g_assert_cmpuint(shmig_region_set(r, 101, 1), ==, 0);
    g_assert_cmpuint(shmig_region_set(r, 98, 3), ==, 1);
    g_assert_cmpuint(shmig_region_set(r, 97, UINT64_MAX), ==, 1);
    g_assert_cmpuint(shmig_region_set(r, UINT64_MAX, 2), ==, 0);
    g_assert_cmpuint(shmig_region_clear(r, 99, 2), ==, 1);
    g_assert_cmpuint(shmig_region_clear(r, 100, 1), ==, 0);
    g_assert_cmpuint(shmig_region_clear(r, UINT64_MAX, 2), ==, 0);
    g_assert_cmpuint(shmig_region_merge(r, 1, ones, 3), ==, 34);
    g_assert_cmpuint(shmig_region_merge(r, 2, ones, 1), ==, 0);
    g_assert_cmpuint(shmig_region_merge(r, UINT64_MAX, ones, 3), ==, 0);
    g_assert_cmpuint(r->pending[1], ==, (UINT64_C(1) << 36) - 1);
    g_assert_cmpuint(r->pending_granules, ==, 36);
    g_assert_false(shmig_region_all(r, 99, 2));
    g_assert_false(shmig_region_any(r, 100, 1));
    g_assert_false(shmig_region_any(r, UINT64_MAX, UINT64_MAX));
}

static void test_set_bytes(void)
{
    g_autoptr(ShmigRegion) r =
        shmig_region_new(1, SHMIG_REGION_DISK, 3 * 65536 + 512);

    g_assert_cmpuint(shmig_region_set_bytes(r, 65536, 0), ==, 0);
    g_assert_cmpuint(shmig_region_set_bytes(r, 65535, 2), ==, 2);
    g_assert_cmpuint(r->pending[0], ==, 3);
    g_assert_cmpuint(shmig_region_pending_bytes(r), ==, 2 * 65536);
    g_assert_cmpuint(shmig_region_set_bytes(r, 3 * 65536 + 511, 1), ==, 1);
    g_assert_cmpuint(shmig_region_pending_bytes(r), ==, 2 * 65536 + 512);
    g_assert_cmpuint(shmig_region_set_bytes(r, 3 * 65536 + 512, 1), ==, 0);
    g_assert_cmpuint(shmig_region_set_bytes(r, 65536, UINT64_MAX), ==, 1);
    g_assert_cmpuint(shmig_region_set_bytes(r, UINT64_MAX, UINT64_MAX), ==, 0);
}

/* Merge, find and clear against one bit at a time, on random bitmaps. */
static void test_random(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    const uint64_t pages = 64 * 1300 + 17;
    g_autoptr(ShmigRegion) r = ram_region(pages);
    g_autofree uint64_t *bits = g_new0(uint64_t, 1301);
    uint64_t at, n, from = 0, expect = 0;

    for (unsigned i = 0; i < 1301; i++) {
        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
            bits[i] = UINT64_MAX;
            break;
        case 1:
            bits[i] = ((uint64_t)g_rand_int(rand) << 32) | g_rand_int(rand);
            break;
        }
    }
    for (uint64_t p = 0; p < pages; p++) {
        expect += bits[p / 64] >> p % 64 & 1;
    }
    g_assert_cmpuint(shmig_region_merge(r, 0, bits, 1301), ==, expect);
    g_assert_cmpuint(shmig_region_merge(r, 0, bits, 1301), ==, 0);
    g_assert_cmpuint(r->pending_granules, ==, expect);

    while ((n = shmig_region_find(r, from, UINT64_MAX, 100, &at))) {
        for (uint64_t p = from; p < at + n; p++) {
            g_assert_cmpuint(bits[p / 64] >> p % 64 & 1, ==, p >= at);
        }
        g_assert_cmpuint(n, <=, 100);
        g_assert_true(n == 100 || at + n == pages ||
                      !(bits[(at + n) / 64] >> (at + n) % 64 & 1));
        g_assert_cmpuint(shmig_region_clear(r, at, n), ==, n);
        expect -= n;
        from = at + n;
    }
    g_assert_cmpuint(expect, ==, 0);
    g_assert_cmpuint(count_bits(r), ==, 0);
}

static void note_word(void *opaque, uint64_t word)
{
    g_array_append_val((GArray *)opaque, word);
}

/* One merge against a plain OR; then again, when nothing is new. */
static void check_merge(const uint64_t *bits, uint64_t first, uint64_t n)
{
    const uint64_t words = 700;
    g_autoptr(ShmigRegion) r = ram_region(64 * words - 30);
    g_autoptr(GArray) seen = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_autofree uint64_t *expect = g_new0(uint64_t, words);
    unsigned n_seen = 0;
    uint64_t fresh;

    shmig_region_set(r, 777, 3);
    memcpy(expect, r->pending, words * sizeof(*expect));
    fresh = shmig_region_merge_seen(r, first, bits, n, note_word, seen);
    for (uint64_t i = 0; i < n && first + i < words; i++) {
        expect[first + i] |= bits[i];
        if (bits[i]) {
            g_assert_cmpuint(g_array_index(seen, uint64_t, n_seen), ==,
                             first + i);
            n_seen++;
        }
    }
    expect[words - 1] &= UINT64_MAX >> 30;
    g_assert_cmpuint(seen->len, ==, n_seen);
    g_assert_cmpmem(r->pending, words * sizeof(*expect), expect,
                    words * sizeof(*expect));
    g_assert_cmpuint(r->pending_granules, ==, count_bits(r));
    g_assert_cmpuint(fresh, ==, count_bits(r) - 3);
    g_assert_cmpuint(shmig_region_merge(r, first, bits, n), ==, 0);
    g_assert_cmpuint(r->pending_granules, ==, count_bits(r));
}

/* From one bit in a thousand words to all of them, from any word on. */
static void test_merge_seen(void)
{
    static const unsigned apart[] = { 1, 2, 9, 64, 1000 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);

    for (size_t a = 0; a < G_N_ELEMENTS(apart); a++) {
        for (unsigned round = 0; round < 60; round++) {
            uint64_t n = g_rand_int_range(rand, 1, 701);
            g_autofree uint64_t *bits = g_new0(uint64_t, n);

            for (uint64_t i = 0; i < n; i++) {
                if (g_rand_int_range(rand, 0, apart[a]) == 0) {
                    bits[i] = UINT64_C(1) << g_rand_int_range(rand, 0, 64);
                }
                if (g_rand_int_range(rand, 0, 8 * apart[a]) == 0) {
                    bits[i] = UINT64_MAX;
                }
            }
            /* Page 777 and the two after it are in word 12. */
            if (round % 2 && n > 12) {
                bits[12] = 0;
            }
            check_merge(bits, round % 2 ? 0 : g_rand_int_range(rand, 13, 700),
                        n);
        }
    }
}

static void test_find_stays_inside(void)
{
    g_autoptr(ShmigRegion) r = ram_region(256);
    uint64_t at = 1234;

    shmig_region_set(r, 60, 100);
    g_assert_cmpuint(shmig_region_find(r, 0, 60, 10, &at), ==, 0);
    g_assert_cmpuint(shmig_region_find(r, 160, 256, 10, &at), ==, 0);
    g_assert_cmpuint(shmig_region_find(r, 70, 70, 10, &at), ==, 0);
    g_assert_cmpuint(shmig_region_find(r, 0, 256, 0, &at), ==, 0);
    g_assert_cmpuint(at, ==, 1234);
    g_assert_cmpuint(shmig_region_find(r, 0, 61, 10, &at), ==, 1);
    g_assert_cmpuint(at, ==, 60);
    g_assert_cmpuint(shmig_region_find(r, 64, 128, 1000, &at), ==, 64);
    g_assert_cmpuint(shmig_region_find(r, 64, 129, 1000, &at), ==, 65);
    g_assert_cmpuint(shmig_region_find(r, 0, 256, 68, &at), ==, 68);
    g_assert_cmpuint(shmig_region_find(r, 0, 256, 69, &at), ==, 69);
}

/*
 * Writers give each granule a new version and set its bit; the owner clears
 * bits and copies versions.  A lost bit shows as a copy that is not the last
 * version.
 */
#define RACE_PAGES 193u
#define RACE_WRITERS 3
#define RACE_ROUNDS 200000u

typedef struct Race {
    ShmigRegion *region;
    uint64_t version[RACE_PAGES][RACE_WRITERS]; /* atomic, relaxed */
    uint64_t copy[RACE_PAGES][RACE_WRITERS];    /* of the owner */
    unsigned running;
    unsigned next_writer;
} Race;

static gpointer race_writer(gpointer opaque)
{
    Race *race = opaque;
    unsigned me = __atomic_fetch_add(&race->next_writer, 1, __ATOMIC_RELAXED);
    g_autoptr(GRand) rand = g_rand_new_with_seed(me);

    for (unsigned i = 1; i <= RACE_ROUNDS; i++) {
        unsigned first = g_rand_int_range(rand, 0, RACE_PAGES);
        unsigned n = g_rand_int_range(rand, 1, 4);
        uint64_t words[4] = { 0 };

        n = MIN(n, RACE_PAGES - first);
        for (unsigned p = first; p < first + n; p++) {
            __atomic_store_n(&race->version[p][me], i, __ATOMIC_RELAXED);
            words[p / 64] |= UINT64_C(1) << p % 64;
        }
        if (me == 0) {
            shmig_region_merge(race->region, 0, words, 4);
        } else {
            shmig_region_set(race->region, first, n);
        }
    }
    __atomic_fetch_sub(&race->running, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void race_take(Race *race, uint64_t first, uint64_t n)
{
    shmig_region_clear(race->region, first, n);
    for (uint64_t p = first; p < first + n; p++) {
        for (unsigned w = 0; w < RACE_WRITERS; w++) {
            race->copy[p][w] =
                __atomic_load_n(&race->version[p][w], __ATOMIC_RELAXED);
        }
    }
}

static void test_race(void)
{
    g_autoptr(ShmigRegion) r = ram_region(RACE_PAGES);
    g_autofree Race *race = g_new0(Race, 1);
    GThread *writers[RACE_WRITERS];
    uint64_t at, n;
    bool more;

    race->region = r;
    race->running = RACE_WRITERS;
    for (unsigned i = 0; i < RACE_WRITERS; i++) {
        writers[i] = g_thread_new("writer", race_writer, race);
    }
    do {
        more = __atomic_load_n(&race->running, __ATOMIC_ACQUIRE);
        for (uint64_t from = 0;
             (n = shmig_region_find(r, from, RACE_PAGES, 7, &at));
             from = at + n) {
            uint64_t count =
                __atomic_load_n(&r->pending_granules, __ATOMIC_RELAXED);

            /* The owner has cleared nothing yet of what it found. */
            g_assert_cmpuint(count, >=, n);
            g_assert_cmpuint(count, <=, RACE_PAGES + 4 * RACE_WRITERS);
            race_take(race, at, n);
        }
    } while (more);
    for (unsigned i = 0; i < RACE_WRITERS; i++) {
        g_thread_join(writers[i]);
    }
    g_assert_cmpuint(r->pending_granules, ==, 0);
    g_assert_cmpuint(count_bits(r), ==, 0);
    g_assert_cmpint(memcmp(race->copy, race->version, sizeof(race->copy)), ==,
                    0);
}

static void test_mark_sent(void)
{
    ShmigRegion *region = shmig_region_new(0, SHMIG_REGION_RAM, 200 * 4096);

    g_assert_cmpuint(shmig_region_mark_sent(region, 60, 10), ==, 0);
    g_assert_cmpuint(shmig_region_mark_sent(region, 65, 100), ==, 5);
    g_assert_cmpuint(shmig_region_mark_sent(region, 190, 100), ==, 0);
    g_assert_cmpuint(shmig_region_mark_sent(region, 0, 200), ==, 115);
    g_assert_cmpuint(region->pending_granules, ==, 0);
    shmig_region_free(region);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty/region/sizes", test_sizes);
    g_test_add_func("/dirty/region/word-boundaries", test_word_boundaries);
    g_test_add_func("/dirty/region/end", test_end);
    g_test_add_func("/dirty/region/set-bytes", test_set_bytes);
    g_test_add_func("/dirty/region/random", test_random);
    g_test_add_func("/dirty/region/merge-seen", test_merge_seen);
    g_test_add_func("/dirty/region/find-stays-inside", test_find_stays_inside);
    g_test_add_func("/dirty/region/mark-sent", test_mark_sent);
    g_test_add_func("/dirty/region/race", test_race);
    return g_test_run();
}
