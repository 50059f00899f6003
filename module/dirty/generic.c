/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The generic tracker.
 *
 * Why no write is lost when pages have to be armed.  A page that is not
 * armed is reported again and again, so only arming a page can lose what was
 * written before.  Whoever arms a page must therefore make it pending
 * afterwards: its bytes are then read after it was armed.  We do not know
 * which pages arm() concerns, but each of them is either still in the log,
 * and a later collect() makes it pending, or was collected since it was
 * armed last: those are kept in "unarmed", and made pending again after
 * arm().  Most of them are pending already; the others are the few that a
 * channel took which had found the chunk armed just before the harvest that
 * made it stale.
 */
#include <errno.h>
#include <string.h>

#include "shmig/base/error.h"
#include "shmig/dirty/bitmap.h"
#include "shmig/dirty/chunks.h"
#include "shmig/dirty/generic.h"

typedef struct ShmigGeneric {
    ShmigTracker tracker;

    /* Constant. */
    const ShmigGenericOps *ops;
    void *opaque;

    ShmigChunkTable chunks;
    uint64_t **unarmed; /* a bitmap a region, under its lock; NULL: no arm() */

    uint64_t marked; /* atomic: became pending by mark() since a harvest */
} ShmigGeneric;

struct ShmigCollector {
    ShmigChunks *chunks;
    uint64_t *unarmed;
    uint64_t fresh;
};

static ShmigGeneric *from_tracker(ShmigTracker *tracker)
{
    return (ShmigGeneric *)tracker;
}

static uint64_t region_words(const ShmigRegion *region)
{
    return (region->n_granules - 1) / 64 + 1;
}

void shmig_collect_words(ShmigCollector *collector, uint64_t first_word,
                         const uint64_t *bits, uint64_t n_words)
{
    uint64_t words = region_words(collector->chunks->region);

    if (first_word >= words) {
        return;
    }
    n_words = MIN(n_words, words - first_word);
    if (!collector->unarmed) {
        collector->fresh += shmig_region_merge(collector->chunks->region,
                                               first_word, bits, n_words);
        return;
    }
    for (uint64_t i = 0; (i = shmig_bitmap_next(bits, i, n_words)) < n_words;
         i++) {
        collector->unarmed[first_word + i] |= bits[i];
    }
    collector->fresh +=
        shmig_chunks_merge(collector->chunks, first_word, bits, n_words);
}

void shmig_collect_pages(ShmigCollector *collector, uint64_t first, uint64_t n)
{
    uint64_t limit = collector->chunks->region->n_granules;

    n = first < limit ? MIN(n, limit - first) : 0;
    while (n) {
        uint64_t in_word = MIN(n, 64 - first % 64);
        uint64_t bits = (~UINT64_C(0) >> (64 - in_word)) << first % 64;

        shmig_collect_words(collector, first / 64, &bits, 1);
        first += in_word;
        n -= in_word;
    }
}

static int collect_region(ShmigGeneric *g, unsigned i, uint64_t *fresh)
{
    ShmigCollector collector = {
        .chunks = &g->chunks.regions[i],
        .unarmed = g->unarmed ? g->unarmed[i] : NULL,
    };
    int ret;

    pthread_mutex_lock(&collector.chunks->lock);
    ret = g->ops->collect(g->opaque, collector.chunks->region, &collector);
    pthread_mutex_unlock(&collector.chunks->lock);
    *fresh += collector.fresh;
    return ret;
}

/* Nothing is armed for a guest that does not run again. */
static void forget_stale(ShmigGeneric *g)
{
    for (unsigned i = 0; i < g->chunks.n_regions; i++) {
        pthread_mutex_lock(&g->chunks.regions[i].lock);
        shmig_chunks_set_all(&g->chunks.regions[i], false);
        pthread_mutex_unlock(&g->chunks.regions[i].lock);
    }
}

static int64_t generic_harvest(ShmigTracker *tracker, bool last)
{
    ShmigGeneric *g = from_tracker(tracker);
    uint64_t fresh = 0;
    int ret = 0;

    if (g->ops->sync) {
        ret = g->ops->sync(g->opaque, last);
    }
    for (unsigned i = 0; ret == 0 && g->ops->collect && i < g->chunks.n_regions;
         i++) {
        ret = collect_region(g, i, &fresh);
    }
    if (ret < 0) {
        return ret;
    }
    if (last) {
        forget_stale(g);
    }
    return fresh + __atomic_exchange_n(&g->marked, 0, __ATOMIC_RELAXED);
}

static bool generic_start(ShmigTracker *tracker, GError **errp)
{
    ShmigGeneric *g = from_tracker(tracker);
    int64_t ret;

    if (g->ops->start && !g->ops->start(g->opaque, errp)) {
        return false;
    }
    ret = generic_harvest(tracker, false);
    if (ret < 0) {
        if (g->ops->stop) {
            g->ops->stop(g->opaque);
        }
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM,
                    "dirty log: cannot be read: %s", g_strerror(-ret));
        return false;
    }
    return true;
}

static int arm_chunk(void *opaque, ShmigChunks *chunks, uint64_t first,
                     uint64_t n)
{
    ShmigGeneric *g = opaque;
    uint64_t word = first / 64;
    uint64_t n_words = (n - 1) / 64 + 1;
    uint64_t *unarmed = g->unarmed[chunks - g->chunks.regions] + word;
    int ret = g->ops->arm(g->opaque, chunks->region, first, n);

    /* Even if it failed: some pages may be armed. */
    shmig_region_merge(chunks->region, word, unarmed, n_words);
    if (ret == 0) {
        memset(unarmed, 0, n_words * sizeof(*unarmed));
    }
    return ret;
}

static int generic_clear(ShmigTracker *tracker, ShmigRegion *region,
                         uint64_t first, uint64_t n)
{
    ShmigGeneric *g = from_tracker(tracker);
    ShmigChunks *chunks;

    if (!g->unarmed) {
        return 0;
    }
    chunks = shmig_chunks_find(&g->chunks, region);
    return chunks ? shmig_chunks_arm(chunks, first, n, arm_chunk, g) : -EINVAL;
}

static void generic_stop(ShmigTracker *tracker)
{
    ShmigGeneric *g = from_tracker(tracker);

    if (g->ops->stop) {
        g->ops->stop(g->opaque);
    }
}

static void generic_free(ShmigTracker *tracker)
{
    ShmigGeneric *g = from_tracker(tracker);

    if (g->ops->free) {
        g->ops->free(g->opaque);
    }
    for (unsigned i = 0; g->unarmed && i < g->chunks.n_regions; i++) {
        shmig_bitmap_free(g->unarmed[i],
                          region_words(g->chunks.regions[i].region));
    }
    g_free(g->unarmed);
    shmig_chunks_destroy(&g->chunks);
    g_free(g);
}

static const ShmigTrackerOps generic_tracker_ops = {
    .name = "generic",
    .start = generic_start,
    .harvest = generic_harvest,
    .clear = generic_clear,
    .stop = generic_stop,
    .free = generic_free,
};

ShmigTracker *shmig_generic_new(const ShmigGenericOps *ops, void *opaque,
                                ShmigRegion *const *regions, unsigned n_regions)
{
    static const ShmigGenericOps no_ops;
    ShmigGeneric *g = g_new0(ShmigGeneric, 1);

    g->tracker.ops = &generic_tracker_ops;
    g->ops = ops ? ops : &no_ops;
    g->opaque = opaque;
    shmig_chunks_init(&g->chunks, regions, n_regions);
    if (g->ops->arm) {
        g->unarmed = g_new0(uint64_t *, n_regions);
        for (unsigned i = 0; i < n_regions; i++) {
            g->unarmed[i] = shmig_bitmap_new(region_words(regions[i]));
        }
    }
    return &g->tracker;
}

void shmig_generic_mark(ShmigTracker *tracker, ShmigRegion *region,
                        uint64_t first, uint64_t n)
{
    uint64_t fresh = shmig_region_set(region, first, n);

    g_assert(tracker->ops == &generic_tracker_ops);
    if (fresh) {
        __atomic_fetch_add(&from_tracker(tracker)->marked, fresh,
                           __ATOMIC_RELAXED);
    }
}
