/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding the RAM a channel has to send.
 *
 * The order that makes it correct, page by page: the tracker is re-armed,
 * the pending bit is cleared, the bytes are read (here for zeroes, later by
 * the kernel when it sends them from guest memory).  Whatever the guest
 * writes after the first step is found by a later harvest.
 */
#include "shmig/ram/send.h"
#include "shmig/base/zero.h"

#define PAGE ((uint64_t)1 << SHMIG_RAM_GRANULE_SHIFT)

void shmig_ram_walk_init(ShmigRamWalk *walk, unsigned channel,
                         unsigned channels)
{
    *walk = (ShmigRamWalk){ .channel = channel, .channels = channels };
}

static bool mine(const ShmigRamWalk *walk, const ShmigRegion *region)
{
    return shmig_stripe_channel(region->id, walk->stripe, walk->channels) ==
           walk->channel;
}

/* To the channel's next stripe, in this block or a later one. */
static void walk_on(ShmigRamWalk *walk, const ShmigRamBlock *blocks,
                    uint32_t n_blocks)
{
    walk->stripe++;
    for (;;) {
        const ShmigRegion *region = blocks[walk->block].region;

        while (walk->stripe < region->n_stripes) {
            if (mine(walk, region)) {
                return;
            }
            walk->stripe++;
        }
        walk->stripe = 0;
        walk->block = (walk->block + 1) % n_blocks;
        if (mine(walk, blocks[walk->block].region)) {
            return;
        }
    }
}

/* Adds the pages [first, first + n), whose pending bits are cleared. */
static void add_run(ShmigRamBlock *block, uint64_t first, uint64_t n,
                    ShmigBatch *batch)
{
    ShmigRegion *region = block->region;
    uint64_t offset = first * PAGE;
    uint64_t end = MIN(offset + n * PAGE, region->length_bytes);

    while (offset < end) {
        const uint8_t *at = block->host + offset;
        size_t zero = shmig_zero_prefix(at, end - offset, PAGE);
        size_t bytes = zero ? zero : shmig_data_prefix(at, end - offset, PAGE);

        if (!bytes) {
            /* The guest zeroed the page between the two looks at it. */
            bytes = MIN(PAGE, end - offset);
        }
        if (shmig_batch_full(batch)) {
            shmig_region_set_bytes(region, offset, end - offset);
            return;
        }
        shmig_batch_add(batch, region->id, offset, bytes, zero ? NULL : at);
        shmig_count(zero ? &block->stats.zero_bytes
                         : &block->stats.data_bytes, bytes);
        offset += bytes;
    }
}

/* Adds what is pending in the walk's stripe; 1 if the stripe is done. */
static int fill_stripe(ShmigRamWalk *walk, ShmigRamBlock *block,
                       ShmigTracker *tracker, uint32_t max_payload,
                       ShmigBatch *batch)
{
    ShmigRegion *region = block->region;
    uint64_t at = walk->stripe * shmig_stripe_granules(region);
    uint64_t end = MIN(at + shmig_stripe_granules(region),
                       region->n_granules);

    for (;;) {
        uint64_t room = (max_payload - MIN(batch->payload, max_payload)) /
                        PAGE;
        uint64_t first, n;

        n = shmig_region_find(region, at, end, MAX(room, 1), &first);
        if (!n) {
            return 1;
        }
        if (!room || shmig_batch_full(batch)) {
            return 0;
        }
        if (tracker) {
            int ret = tracker->ops->clear(tracker, region, first, n);

            if (ret < 0) {
                return ret;
            }
        }
        shmig_region_clear(region, first, n);
        add_run(block, first, n, batch);
        at = first + n;
    }
}

static uint64_t all_stripes(const ShmigRamBlock *blocks, uint32_t n_blocks)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < n_blocks; i++) {
        n += blocks[i].region->n_stripes;
    }
    return n;
}

int shmig_ram_fill(ShmigRamWalk *walk, ShmigRamBlock *blocks,
                   uint32_t n_blocks, ShmigTracker *tracker,
                   uint32_t max_payload, ShmigBatch *batch)
{
    uint64_t left;

    shmig_batch_reset(batch);
    if (!n_blocks) {
        return 0;
    }
    left = all_stripes(blocks, n_blocks) / walk->channels + n_blocks + 1;
    if (!mine(walk, blocks[walk->block].region)) {
        walk_on(walk, blocks, n_blocks);
    }
    while (left--) {
        ShmigRamBlock *block = &blocks[walk->block];

        if (__atomic_load_n(&block->region->pending_granules,
                            __ATOMIC_RELAXED)) {
            int ret = fill_stripe(walk, block, tracker, max_payload, batch);

            if (ret <= 0) {
                return ret;
            }
        } else {
            /* Nothing in the whole block: on to its last own stripe. */
            walk->stripe = block->region->n_stripes - 1;
        }
        walk_on(walk, blocks, n_blocks);
    }
    return 0;
}

