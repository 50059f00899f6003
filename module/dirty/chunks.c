/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which parts of the RAM regions have to be armed anew before a read. */
#include "shmig/dirty/chunks.h"

static void set_pages(ShmigChunks *chunks, uint64_t chunk_pages)
{
    g_free(chunks->stale);
    chunks->chunk_pages = chunk_pages;
    chunks->n_chunks = (chunks->region->n_granules - 1) / chunk_pages + 1;
    chunks->stale = g_new0(uint8_t, chunks->n_chunks);
}

void shmig_chunks_set_pages(ShmigChunkTable *table, uint64_t chunk_pages)
{
    g_assert(chunk_pages > 0 && chunk_pages % 64 == 0);
    for (unsigned i = 0; i < table->n_regions; i++) {
        set_pages(&table->regions[i], chunk_pages);
    }
}

void shmig_chunks_init(ShmigChunkTable *table, ShmigRegion *const *regions,
                       unsigned n_regions)
{
    table->regions = g_new0(ShmigChunks, n_regions);
    table->n_regions = n_regions;
    for (unsigned i = 0; i < n_regions; i++) {
        ShmigChunks *chunks = &table->regions[i];

        g_assert(regions[i]->kind == SHMIG_REGION_RAM);
        chunks->region = regions[i];
        set_pages(chunks, SHMIG_CHUNK_PAGES);
        pthread_mutex_init(&chunks->lock, NULL);
    }
}

void shmig_chunks_destroy(ShmigChunkTable *table)
{
    for (unsigned i = 0; i < table->n_regions; i++) {
        pthread_mutex_destroy(&table->regions[i].lock);
        g_free(table->regions[i].stale);
    }
    g_clear_pointer(&table->regions, g_free);
    table->n_regions = 0;
}

/* A machine has some twenty RAM blocks. */
ShmigChunks *shmig_chunks_find(const ShmigChunkTable *table,
                               const ShmigRegion *region)
{
    for (unsigned i = 0; i < table->n_regions; i++) {
        if (table->regions[i].region == region) {
            return &table->regions[i];
        }
    }
    return NULL;
}

static void set_stale(ShmigChunks *chunks, uint64_t i, bool stale)
{
    __atomic_store_n(&chunks->stale[i], stale, __ATOMIC_RELEASE);
}

void shmig_chunks_set_all(ShmigChunks *chunks, bool stale)
{
    for (uint64_t i = 0; i < chunks->n_chunks; i++) {
        set_stale(chunks, i, stale);
    }
}

static void make_stale(void *opaque, uint64_t word)
{
    ShmigChunks *chunks = opaque;

    set_stale(chunks, word / (chunks->chunk_pages / 64), true);
}

uint64_t shmig_chunks_merge(ShmigChunks *chunks, uint64_t first_word,
                            const uint64_t *bits, uint64_t n_words)
{
    return shmig_region_merge_seen(chunks->region, first_word, bits, n_words,
                                   make_stale, chunks);
}

static int arm_one(ShmigChunks *chunks, uint64_t i, ShmigChunkArm *arm,
                   void *opaque)
{
    uint64_t first = i * chunks->chunk_pages;
    uint64_t n = MIN(chunks->chunk_pages, chunks->region->n_granules - first);
    int ret = 0;

    pthread_mutex_lock(&chunks->lock);
    /* Another channel may have done it while we waited. */
    if (__atomic_load_n(&chunks->stale[i], __ATOMIC_RELAXED)) {
        ret = arm(opaque, chunks, first, n);
        if (ret == 0) {
            set_stale(chunks, i, false);
        }
    }
    pthread_mutex_unlock(&chunks->lock);
    return ret;
}

int shmig_chunks_arm(ShmigChunks *chunks, uint64_t first, uint64_t n,
                     ShmigChunkArm *arm, void *opaque)
{
    uint64_t i = first / chunks->chunk_pages;
    int ret = 0;

    if (n == 0 || first >= chunks->region->n_granules) {
        return 0;
    }
    n = MIN(n, chunks->region->n_granules - first);
    for (; ret == 0 && i <= (first + n - 1) / chunks->chunk_pages; i++) {
        /* Acquire: what arming did happened before our reads. */
        if (__atomic_load_n(&chunks->stale[i], __ATOMIC_ACQUIRE)) {
            ret = arm_one(chunks, i, arm, opaque);
        }
    }
    return ret;
}
