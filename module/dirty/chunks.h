/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which parts of the RAM regions have to be armed anew before their bytes
 * are read.
 *
 * A source of dirty bits that reports a page once and then lets it be
 * written unseen must be told when to watch it again.  Telling it page by
 * page is dear, telling it for a whole region stalls the guest: a region is
 * cut into chunks, and a chunk is "stale" when pages of it were reported
 * since it was armed last.
 *
 * Staleness saves work, it guards nothing: what keeps a write from being
 * lost is stated where a tracker arms a chunk.
 */
#ifndef SHMIG_DIRTY_CHUNKS_H
#define SHMIG_DIRTY_CHUNKS_H

#include <pthread.h>

#include <glib.h>
#include "shmig/dirty/region.h"

/*
 * The size if no other is set.  Arming 64 MiB holds up the guest's page faults
 * for some 0.2 ms; 1 GiB for 2.6 ms.
 */
#define SHMIG_CHUNK_BYTES (64u << 20)
#define SHMIG_CHUNK_PAGES (SHMIG_CHUNK_BYTES >> SHMIG_RAM_GRANULE_SHIFT)

/* One region's chunks. */
typedef struct ShmigChunks {
    /* Constant. */
    ShmigRegion *region;
    uint64_t chunk_pages; /* a multiple of 64 */
    uint64_t n_chunks;

    /*
     * Held while a chunk is armed and while bits of the region move from
     * the source to the pending bitmap.  No lock of this library is taken
     * inside it; a source may take its own.  (Not a GMutex:
     * the thread sanitizer does not see those.)
     */
    pthread_mutex_t lock;

    uint8_t *stale; /* one a chunk; atomic, written under the lock */
} ShmigChunks;

typedef struct ShmigChunkTable {
    ShmigChunks *regions;
    unsigned n_regions;
} ShmigChunkTable;

/* None stale.  The regions outlive the table. */
void shmig_chunks_init(ShmigChunkTable *table, ShmigRegion *const *regions,
                       unsigned n_regions);
void shmig_chunks_destroy(ShmigChunkTable *table);

/* Chunks of another size, a multiple of 64.  Before the table is used. */
void shmig_chunks_set_pages(ShmigChunkTable *table, uint64_t chunk_pages);

/* NULL if @region is not in the table.  Any thread. */
ShmigChunks *shmig_chunks_find(const ShmigChunkTable *table,
                               const ShmigRegion *region);

/* Makes all chunks of a region stale, or none.  Caller holds the lock. */
void shmig_chunks_set_all(ShmigChunks *chunks, bool stale);

/*
 * shmig_region_merge() that also makes the chunks of all given bits stale.
 * Caller holds the lock.
 */
uint64_t shmig_chunks_merge(ShmigChunks *chunks, uint64_t first_word,
                            const uint64_t *bits, uint64_t n_words);

/* Arms [first, first + n), inside one chunk.  0 or -errno. */
typedef int ShmigChunkArm(void *opaque, ShmigChunks *chunks, uint64_t first,
                          uint64_t n);

/*
 * Calls @arm for each stale chunk that [first, first + n) touches, with the
 * lock held; costs one load a chunk if none is stale.  Any thread.
 * 0, or the first error; that chunk stays stale.
 */
int shmig_chunks_arm(ShmigChunks *chunks, uint64_t first, uint64_t n,
                     ShmigChunkArm *arm, void *opaque);

#endif
