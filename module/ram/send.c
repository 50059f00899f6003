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

void shmig_ram_walk_init(ShmigRamWalk *walk, unsigned channel,
                         unsigned channels)
{
    *walk = (ShmigRamWalk) { .channel = channel, .channels = channels };
}

static void count_resent(ShmigRamBlock *block, uint64_t first, uint64_t n)
{
    uint64_t again = shmig_region_mark_sent(block->region, first, n);

    if (again) {
        shmig_count(&block->stats.resent_bytes,
                    again * SHMIG_RAM_GRANULE_BYTES);
    }
}

/* Adds the pages [first, first + n), whose pending bits are cleared. */
static void add_run(ShmigRamBlock *block, uint64_t first, uint64_t n,
                    ShmigBatch *batch)
{
    ShmigRegion *region = block->region;
    uint64_t offset = first * SHMIG_RAM_GRANULE_BYTES;
    uint64_t end =
        MIN(offset + n * SHMIG_RAM_GRANULE_BYTES, region->length_bytes);

    while (offset < end) {
        const uint8_t *at = block->host + offset;
        size_t zero =
            shmig_zero_prefix(at, end - offset, SHMIG_RAM_GRANULE_BYTES);
        size_t bytes =
            zero ? zero
                 : shmig_data_prefix(at, end - offset, SHMIG_RAM_GRANULE_BYTES);

        if (!bytes) {
            /* The guest zeroed the page between the two looks at it. */
            bytes = MIN(SHMIG_RAM_GRANULE_BYTES, end - offset);
        }
        if (shmig_batch_full(batch)) {
            shmig_region_set_bytes(region, offset, end - offset);
            count_resent(block, first,
                         offset / SHMIG_RAM_GRANULE_BYTES - first);
            return;
        }
        shmig_batch_add(batch, region->id, offset, bytes, zero ? NULL : at);
        shmig_count(zero ? &block->stats.zero_bytes : &block->stats.data_bytes,
                    bytes);
        offset += bytes;
    }
    count_resent(block, first, n);
}

/* Adds what is pending in the walk's stripe; 1 if the stripe is done. */
static int fill_stripe(ShmigRamWalk *walk, ShmigRamBlock *block,
                       ShmigTracker *tracker, uint32_t max_payload,
                       ShmigBatch *batch)
{
    ShmigRegion *region = block->region;
    uint64_t at = walk->stripe * shmig_stripe_granules(region);
    uint64_t end = MIN(at + shmig_stripe_granules(region), region->n_granules);

    for (;;) {
        uint64_t room = (max_payload - MIN(batch->payload, max_payload)) /
                        SHMIG_RAM_GRANULE_BYTES;
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

/*
 * The next of the channel's stripes, from @stripe on, that may have something
 * pending.  Looks for the next pending page of any channel: what is clean is
 * skipped by whole words, not stripe by stripe.
 */
static uint64_t next_stripe(const ShmigRamWalk *walk, const ShmigRegion *region,
                            uint64_t stripe)
{
    uint64_t first;

    if (!shmig_region_find(region, stripe * shmig_stripe_granules(region),
                           region->n_granules, 1, &first)) {
        return region->n_stripes;
    }
    return shmig_stripe_from(region->id, shmig_stripe_of(region, first),
                             walk->channel, walk->channels);
}

/* From the walk's stripe to before @end; 1 if all of it is done. */
static int fill_block(ShmigRamWalk *walk, ShmigRamBlock *block, uint64_t end,
                      ShmigTracker *tracker, uint32_t max_payload,
                      ShmigBatch *batch)
{
    ShmigRegion *region = block->region;

    while (__atomic_load_n(&region->pending_granules, __ATOMIC_RELAXED)) {
        int ret;

        walk->stripe = next_stripe(walk, region, walk->stripe);
        if (walk->stripe >= MIN(end, region->n_stripes)) {
            break;
        }
        ret = fill_stripe(walk, block, tracker, max_payload, batch);
        if (ret <= 0) {
            return ret;
        }
        walk->stripe++;
    }
    return 1;
}

int shmig_ram_fill(ShmigRamWalk *walk, ShmigRamBlock *blocks, uint32_t n_blocks,
                   ShmigTracker *tracker, uint32_t max_payload,
                   ShmigBatch *batch)
{
    uint64_t from = walk->stripe;

    shmig_batch_reset(batch);
    /*
     * Once round, the first block in two parts, and never farther: a page
     * that became pending again meanwhile must not be in one frame twice,
     * where the receiver would not know which is newer.
     */
    for (uint32_t i = 0; n_blocks && i <= n_blocks; i++) {
        int ret = fill_block(walk, &blocks[walk->block],
                             i == n_blocks ? from : UINT64_MAX, tracker,
                             max_payload, batch);

        if (ret <= 0) {
            return ret;
        }
        if (i < n_blocks) {
            walk->stripe = 0;
            walk->block = (walk->block + 1) % n_blocks;
        }
    }
    return 0;
}
