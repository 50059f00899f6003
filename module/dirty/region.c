/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Regions and their pending bitmaps.
 *
 * Ordering.  A writer changes the bytes, then sets the bit (release); the
 * owner of the stripe clears the bit (acquire), then reads the bytes.  Both
 * are read-modify-write operations even when the bit already has the wanted
 * value: a plain load that finds the bit set could be satisfied before the
 * writer's own bytes are visible, and the owner that clears the bit right
 * after it would then read the old bytes and nobody would send the new ones.
 *
 * The count is raised before bits are set (by as many as could become set,
 * corrected afterwards) and lowered after bits were cleared: it is exact
 * when nobody is inside these functions and never below the truth, so that
 * it neither wraps nor shows 0 while a bit is set.
 */
#include <string.h>

#include <glib.h>

#include "shmig/dirty/bitmap.h"
#include "shmig/dirty/region.h"

#define WORD_BITS 64u

/*
 * How many words merge finds before it sets the bits of the first: while it
 * looks for others, memory can bring the lines of the pending bitmap.  The
 * atomic operations let nothing be brought before them.
 */
#define MERGE_WORDS 64u

/*
 * The baseline x86-64 has no popcnt, and the compiler's substitute is a
 * call with a table walk.
 */
static inline unsigned popcount(uint64_t x)
{
#ifdef __POPCNT__
    return __builtin_popcountll(x);
#else
    x -= (x >> 1) & 0x5555555555555555;
    x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (x * 0x0101010101010101) >> 56;
#endif
}

static inline uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* The bits of word @word that lie in [first, end); the word has some. */
static inline uint64_t word_mask(uint64_t word, uint64_t first, uint64_t end)
{
    uint64_t mask = ~UINT64_C(0);

    if (first > word * WORD_BITS) {
        mask <<= first % WORD_BITS;
    }
    if (end < (word + 1) * WORD_BITS) {
        mask &= ~(~UINT64_C(0) << end % WORD_BITS);
    }
    return mask;
}

static inline uint64_t region_words(const ShmigRegion *region)
{
    return (region->n_granules - 1) / WORD_BITS + 1;
}

/* The end of [first, first + n), cut at the region's; @first if empty. */
static inline uint64_t cut(const ShmigRegion *region, uint64_t first,
                           uint64_t n)
{
    if (first >= region->n_granules) {
        return first;
    }
    return first + MIN(n, region->n_granules - first);
}

static void count_add(ShmigRegion *region, uint64_t n)
{
    __atomic_fetch_add(&region->pending_granules, n, __ATOMIC_RELAXED);
}

static void count_sub(ShmigRegion *region, uint64_t n)
{
    if (n) {
        __atomic_fetch_sub(&region->pending_granules, n, __ATOMIC_RELAXED);
    }
}

ShmigRegion *shmig_region_new(uint32_t id, ShmigRegionKind kind,
                              uint64_t length_bytes)
{
    ShmigRegion *region = g_new0(ShmigRegion, 1);

    g_assert(length_bytes > 0);
    region->id = id;
    region->kind = kind;
    region->granule_shift = kind == SHMIG_REGION_RAM ? SHMIG_RAM_GRANULE_SHIFT
                                                     : SHMIG_DISK_GRANULE_SHIFT;
    region->length_bytes = length_bytes;
    region->n_granules = ((length_bytes - 1) >> region->granule_shift) + 1;
    region->n_stripes = (length_bytes - 1) / SHMIG_STRIPE_BYTES + 1;
    region->pending = shmig_bitmap_new(region_words(region));
    region->sent = shmig_bitmap_new(region_words(region));
    return region;
}

void shmig_region_free(ShmigRegion *region)
{
    if (region) {
        shmig_bitmap_free(region->pending, region_words(region));
        shmig_bitmap_free(region->sent, region_words(region));
        g_free(region);
    }
}

uint64_t shmig_region_set(ShmigRegion *region, uint64_t first, uint64_t n)
{
    uint64_t end = cut(region, first, n);
    uint64_t fresh = 0;

    if (end == first) {
        return 0;
    }
    count_add(region, end - first);
    for (uint64_t w = first / WORD_BITS; w * WORD_BITS < end; w++) {
        uint64_t mask = word_mask(w, first, end);
        uint64_t old =
            __atomic_fetch_or(&region->pending[w], mask, __ATOMIC_RELEASE);

        fresh += popcount(mask & ~old);
    }
    count_sub(region, end - first - fresh);
    return fresh;
}

uint64_t shmig_region_mark_sent(ShmigRegion *region, uint64_t first, uint64_t n)
{
    uint64_t end = cut(region, first, n);
    uint64_t again = 0;

    for (uint64_t w = first / WORD_BITS; w * WORD_BITS < end; w++) {
        uint64_t mask = word_mask(w, first, end);
        uint64_t old =
            __atomic_fetch_or(&region->sent[w], mask, __ATOMIC_RELAXED);

        again += popcount(mask & old);
    }
    return again;
}

uint64_t shmig_region_set_bytes(ShmigRegion *region, uint64_t offset,
                                uint64_t length)
{
    uint64_t first = offset >> region->granule_shift;
    uint64_t last;

    if (length == 0 || offset >= region->length_bytes) {
        return 0;
    }
    length = MIN(length, region->length_bytes - offset);
    last = (offset + length - 1) >> region->granule_shift;
    return shmig_region_set(region, first, last - first + 1);
}

/* Words of a merge that are not 0. */
typedef struct MergeBatch {
    uint64_t words[MERGE_WORDS];
    unsigned n;
    uint64_t bits; /* in all of them */
} MergeBatch;

/* The next ones in [word, end); returns where to go on. */
static uint64_t find_batch(MergeBatch *batch, const uint64_t *pending,
                           const uint64_t *bits, uint64_t word, uint64_t end)
{
    batch->n = 0;
    batch->bits = 0;
    while (batch->n < MERGE_WORDS) {
        /* In a line that has some, there are often more. */
        if (word < end && bits[word] == 0) {
            word = shmig_bitmap_next(bits, word, end);
        }
        if (word >= end) {
            break;
        }
        __builtin_prefetch(&pending[word], 1);
        batch->bits += popcount(bits[word]);
        batch->words[batch->n++] = word++;
    }
    return word;
}

/* Sets the bits of a batch; returns how many were clear before. */
static uint64_t set_batch(ShmigRegion *region, const MergeBatch *batch,
                          uint64_t first_word, const uint64_t *bits,
                          ShmigMergeSeen *seen, void *opaque)
{
    uint64_t fresh = 0;

    count_add(region, batch->bits);
    for (unsigned i = 0; i < batch->n; i++) {
        uint64_t word = first_word + batch->words[i];
        uint64_t mask =
            bits[batch->words[i]] & word_mask(word, 0, region->n_granules);
        uint64_t old =
            __atomic_fetch_or(&region->pending[word], mask, __ATOMIC_RELEASE);

        fresh += popcount(mask & ~old);
        if (seen) {
            seen(opaque, word);
        }
    }
    count_sub(region, batch->bits - fresh);
    return fresh;
}

uint64_t shmig_region_merge_seen(ShmigRegion *region, uint64_t first_word,
                                 const uint64_t *bits, uint64_t n_words,
                                 ShmigMergeSeen *seen, void *opaque)
{
    uint64_t words = region_words(region);
    uint64_t word = 0, fresh = 0;
    MergeBatch batch;

    if (first_word >= words) {
        return 0;
    }
    n_words = MIN(n_words, words - first_word);
    for (;;) {
        word = find_batch(&batch, region->pending + first_word, bits, word,
                          n_words);
        if (batch.n == 0) {
            return fresh;
        }
        fresh += set_batch(region, &batch, first_word, bits, seen, opaque);
    }
}

uint64_t shmig_region_merge(ShmigRegion *region, uint64_t first_word,
                            const uint64_t *bits, uint64_t n_words)
{
    return shmig_region_merge_seen(region, first_word, bits, n_words, NULL,
                                   NULL);
}

uint64_t shmig_region_find(const ShmigRegion *region, uint64_t from,
                           uint64_t end, uint64_t max, uint64_t *first)
{
    uint64_t w, bit, run, bits = 0;

    end = MIN(end, region->n_granules);
    if (from >= end || max == 0) {
        return 0;
    }

    /* A word may change between two loads: look at each one once. */
    w = from / WORD_BITS;
    bits = load(&region->pending[w]) & word_mask(w, from, end);
    while (bits == 0) {
        w = shmig_bitmap_next(region->pending, w + 1,
                              (end - 1) / WORD_BITS + 1);
        if (w * WORD_BITS >= end) {
            return 0;
        }
        bits = load(&region->pending[w]) & word_mask(w, from, end);
    }

    bit = __builtin_ctzll(bits);
    *first = w * WORD_BITS + bit;
    bits = ~(bits >> bit);
    run = bits ? __builtin_ctzll(bits) : WORD_BITS;
    max = MIN(max, end - *first);
    while (run < max && (*first + run) % WORD_BITS == 0) {
        w++;
        bits = ~(load(&region->pending[w]) & word_mask(w, from, end));
        run += bits ? __builtin_ctzll(bits) : WORD_BITS;
        if (bits) {
            break;
        }
    }
    return MIN(run, max);
}

uint64_t shmig_region_clear(ShmigRegion *region, uint64_t first, uint64_t n)
{
    uint64_t end = cut(region, first, n);
    uint64_t gone = 0;

    for (uint64_t w = first / WORD_BITS; first < end && w * WORD_BITS < end;
         w++) {
        uint64_t mask = word_mask(w, first, end);
        uint64_t old =
            __atomic_fetch_and(&region->pending[w], ~mask, __ATOMIC_ACQ_REL);

        gone += popcount(mask & old);
    }
    count_sub(region, gone);
    return gone;
}

bool shmig_region_any(const ShmigRegion *region, uint64_t first, uint64_t n)
{
    uint64_t found;

    return shmig_region_find(region, first, cut(region, first, n), 1, &found) !=
           0;
}

bool shmig_region_all(const ShmigRegion *region, uint64_t first, uint64_t n)
{
    uint64_t end = cut(region, first, n);

    if (end - first != n) {
        return false;
    }
    for (uint64_t w = first / WORD_BITS; first < end && w * WORD_BITS < end;
         w++) {
        uint64_t mask = word_mask(w, first, end);

        if ((load(&region->pending[w]) & mask) != mask) {
            return false;
        }
    }
    return true;
}

/* The last granule's missing bytes do not count. */
uint64_t shmig_region_pending_bytes(const ShmigRegion *region)
{
    uint64_t last = region->n_granules - 1;
    uint64_t bytes = load(&region->pending_granules) << region->granule_shift;
    uint64_t beyond =
        (region->n_granules << region->granule_shift) - region->length_bytes;

    if (beyond && bytes && shmig_region_any(region, last, 1)) {
        bytes -= beyond;
    }
    return MIN(bytes, region->length_bytes);
}
