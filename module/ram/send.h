/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding the RAM a channel has to send, straight from guest memory. */
#ifndef SHMIG_RAM_SEND_H
#define SHMIG_RAM_SEND_H

#include "shmig/dirty/tracker.h"
#include "shmig/io/batch.h"

/* One RAM block on the source. */
typedef struct ShmigRamBlock {
    ShmigRegion *region;
    uint8_t *host;
    ShmigRegionStats stats;
} ShmigRamBlock;

/* Where one channel is in its walk over its stripes of all blocks. */
typedef struct ShmigRamWalk {
    unsigned channel, channels;
    uint32_t block;
    uint64_t stripe;
} ShmigRamWalk;

void shmig_ram_walk_init(ShmigRamWalk *walk, unsigned channel,
                         unsigned channels);

/*
 * Fills the empty @batch with pending pages of the channel's stripes, up to
 * about @max_payload bytes, going round all @n_blocks at most once; their
 * pending bits are cleared.  @tracker re-arms pages before they are read;
 * NULL: the guest is stopped for good.  Returns 0 (an empty batch: nothing
 * is pending) or -errno of the tracker.
 */
int shmig_ram_fill(ShmigRamWalk *walk, ShmigRamBlock *blocks, uint32_t n_blocks,
                   ShmigTracker *tracker, uint32_t max_payload,
                   ShmigBatch *batch);

#endif
