/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cursor rule, where guest writes and bulk copy meet. */
#include "shmig/disk/lane.h"
#include "shmig/base/clock.h"
#include "shmig/base/range.h"
#include "shmig/disk/mirror.h"
#include "shmig/wire/limits.h"

#include <string.h>

/*
 * Of the channel's rate, what writes are held back to.  Inline payloads get
 * at least 4/5 of it (source-channel.c); with less than that coming in, the
 * queue becomes shorter.
 */
#define HELD_PART 0.75

void shmig_lane_init(ShmigLane *lane, uint64_t max_queued_bytes,
                     void (*wake)(void *opaque), void *opaque)
{
    memset(lane, 0, sizeof(*lane));
    pthread_mutex_init(&lane->lock, NULL);
    lane->max_queued_bytes = max_queued_bytes;
    lane->wake = wake;
    lane->opaque = opaque;
    lane->clock_ns = shmig_now_ns;
}

void shmig_inline_free(ShmigInline *list)
{
    while (list) {
        ShmigInline *next = list->next;

        g_free(list);
        list = next;
    }
}

void shmig_lane_destroy(ShmigLane *lane)
{
    shmig_inline_free(lane->head);
    pthread_mutex_destroy(&lane->lock);
}

static bool is_copying(const ShmigLane *lane, uint32_t region, uint64_t offset,
                       uint64_t length)
{
    for (unsigned i = 0; i < SHMIG_LANE_RANGES; i++) {
        if (lane->copying[i].length && lane->copying[i].region == region &&
            shmig_ranges_overlap(offset, length, lane->copying[i].offset,
                                 lane->copying[i].length)) {
            return true;
        }
    }
    return false;
}

/* Memory that a payload takes; what bounds the queue. */
static uint64_t item_bytes(const ShmigInline *item)
{
    return sizeof(*item) + (item->zero ? 0 : item->length);
}

static ShmigInline *make_item(ShmigRegion *region, ShmigRegionStats *stats,
                              uint64_t offset, uint64_t length,
                              const uint8_t *buf)
{
    ShmigInline *item = g_malloc(sizeof(*item) + (buf ? length : 0));

    item->next = NULL;
    item->stats = stats;
    item->region = region->id;
    item->offset = offset;
    item->length = length;
    item->zero = !buf;
    if (buf) {
        memcpy(item->bytes, buf, length);
    }
    return item;
}

/* A stripe is more than a frame may carry; zeroes carry nothing. */
static ShmigInline *make_run(ShmigRegion *region, ShmigRegionStats *stats,
                             uint64_t offset, uint64_t length,
                             const uint8_t *buf)
{
    ShmigInline *list = NULL, **next = &list;

    while (length) {
        uint64_t part = buf ? MIN(length, SHMIG_MAX_PAYLOAD) : length;

        *next = make_item(region, stats, offset, part, buf);
        next = &(*next)->next;
        offset += part;
        length -= part;
        buf = buf ? buf + part : NULL;
    }
    return list;
}

/* Takes @list; returns the bytes that it adds to the queue. */
static uint64_t push(ShmigLane *lane, ShmigInline *list)
{
    uint64_t before = lane->queued_bytes;

    if (lane->tail) {
        lane->tail->next = list;
    } else {
        lane->head = list;
    }
    for (; list; list = list->next) {
        lane->queued_bytes += item_bytes(list);
        lane->n_pushed++;
        lane->tail = list;
    }
    return lane->queued_bytes - before;
}

/* Whether there is no room for a payload of @length bytes. */
static bool is_full(const ShmigLane *lane, uint64_t length)
{
    return lane->queued_bytes + sizeof(ShmigInline) + length >
           lane->max_queued_bytes;
}

/*
 * Pieces a granule at a time and joins neighbours that are to be sent, so
 * that an aligned write stays one payload.  Of a write that is longer than
 * the room in the queue the beginning is queued: one that left a short queue
 * empty each time would not be held back.  Returns what it costs to send:
 * bytes queued, and those of granules that became pending.
 */
static uint64_t sort_out(ShmigLane *lane, ShmigRegion *region,
                         ShmigRegionStats *stats, uint64_t offset,
                         uint64_t length, const uint8_t *buf)
{
    uint64_t granule_bytes = (uint64_t)1 << region->granule_shift;
    uint64_t at = offset, end = offset + length, run = offset;
    uint64_t cost = 0;

    while (at < end) {
        uint64_t granule = at >> region->granule_shift;
        uint64_t stop = MIN((granule + 1) * granule_bytes, end);
        bool send = false;

        if (shmig_region_any(region, granule, 1)) {
            /*
             * The bulk copy will read it.  A plain load is enough for that,
             * other than where memory is written (region.c): the kernel has
             * carried the write out, and the read comes after the bit is
             * cleared.
             */
        } else if (is_full(lane, stop - run) ||
                   is_copying(lane, region->id, at, stop - at)) {
            cost += shmig_region_set(region, granule, 1) * granule_bytes;
        } else {
            send = true;
        }
        if (!send || stop == end) {
            uint64_t run_end = send ? stop : at;

            if (run < run_end) {
                cost += push(lane, make_run(region, stats, run, run_end - run,
                                            buf ? buf + (run - offset) : NULL));
            }
            run = stop;
        }
        at = stop;
    }
    return cost;
}

/* Whether all of a write may be queued as it is. */
static bool is_free(const ShmigLane *lane, const ShmigRegion *region,
                    uint64_t offset, uint64_t length)
{
    uint64_t first = offset >> region->granule_shift;
    uint64_t last = (offset + length - 1) >> region->granule_shift;

    return !is_full(lane, length) &&
           !shmig_region_any(region, first, last - first + 1) &&
           !is_copying(lane, region->id, offset, length);
}

/*
 * For how long a write is held back that costs @bytes to send and found
 * @queued_bytes in the queue: until those before it are released, and then for
 * its own share.
 */
static int64_t hold_back_ns(ShmigLane *lane, uint64_t queued_bytes,
                            uint64_t bytes)
{
    uint64_t half = lane->max_queued_bytes / 2;
    int64_t now, before, delay;

    if (lane->queued_bytes <= half || !lane->bytes_per_s) {
        return 0;
    }
    /* Of the write that gets over the half, what is over it. */
    bytes -= MIN(bytes, half - MIN(half, queued_bytes));
    now = lane->clock_ns();
    before = MAX(lane->release_ns - now, 0);
    delay = MIN(before + bytes * 1e9 / (lane->bytes_per_s * HELD_PART),
                SHMIG_MIRROR_MAX_DELAY_NS);
    lane->release_ns = now + delay;
    return delay;
}

int64_t shmig_lane_written(ShmigLane *lane, ShmigRegion *region,
                           ShmigRegionStats *stats, uint64_t offset,
                           uint64_t length, const uint8_t *buf)
{
    uint64_t first = offset >> region->granule_shift;
    uint64_t last = (offset + length - 1) >> region->granule_shift;
    ShmigInline *list = NULL;
    uint64_t queued_bytes, cost;
    int64_t delay = 0;

    /*
     * Without the lock: the write is complete, so a bulk copy that clears
     * the bits after this look reads the new bytes.  That a plain load will
     * do, where region.c says it does not for memory, is the kernel's work:
     * a disk that has completed a write gives those bytes to every read.
     */
    if (shmig_region_all(region, first, last - first + 1)) {
        return 0;
    }
    /*
     * The channel and other writers need the lock: the copy is made before
     * it is taken, for what it will be good for unless something changes.
     */
    if (!shmig_region_any(region, first, last - first + 1)) {
        list = make_run(region, stats, offset, length, buf);
    }
    pthread_mutex_lock(&lane->lock);
    queued_bytes = lane->queued_bytes;
    if (lane->closed) {
        shmig_region_set_bytes(region, offset, length);
    } else {
        cost = list && is_free(lane, region, offset, length)
                   ? push(lane, g_steal_pointer(&list))
                   : sort_out(lane, region, stats, offset, length, buf);
        delay = hold_back_ns(lane, queued_bytes, cost);
    }
    pthread_mutex_unlock(&lane->lock);
    shmig_inline_free(list);
    if (delay) {
        shmig_count(&stats->delayed_ns, delay);
    }
    lane->wake(lane->opaque);
    return delay;
}

uint64_t shmig_lane_take(ShmigLane *lane, unsigned slot, ShmigRegion *region,
                         uint64_t first, uint64_t n)
{
    uint64_t mark;

    g_assert(slot < SHMIG_LANE_RANGES && !lane->copying[slot].length);
    pthread_mutex_lock(&lane->lock);
    lane->copying[slot].region = region->id;
    lane->copying[slot].offset = first << region->granule_shift;
    lane->copying[slot].length = n << region->granule_shift;
    lane->copying[slot].own_bytes = lane->copying[slot].length;
    shmig_region_clear(region, first, n);
    mark = lane->n_pushed;
    pthread_mutex_unlock(&lane->lock);
    return mark;
}

uint64_t shmig_lane_take_more(ShmigLane *lane, unsigned slot,
                              ShmigRegion *region, uint64_t first, uint64_t n)
{
    uint64_t end = (first + n) << region->granule_shift;
    uint64_t mark;

    pthread_mutex_lock(&lane->lock);
    g_assert(lane->copying[slot].region == region->id &&
             lane->copying[slot].offset + lane->copying[slot].length <=
                 first << region->granule_shift);
    lane->copying[slot].length = end - lane->copying[slot].offset;
    lane->copying[slot].own_bytes += n << region->granule_shift;
    shmig_region_clear(region, first, n);
    mark = lane->n_pushed;
    pthread_mutex_unlock(&lane->lock);
    return mark;
}

void shmig_lane_release(ShmigLane *lane, unsigned slot)
{
    pthread_mutex_lock(&lane->lock);
    lane->copying[slot].length = 0;
    pthread_mutex_unlock(&lane->lock);
}

ShmigInline *shmig_lane_pop(ShmigLane *lane, uint64_t max_bytes, unsigned max_n)
{
    ShmigInline *list, *item, *last = NULL;
    uint64_t bytes = 0;

    pthread_mutex_lock(&lane->lock);
    list = lane->head;
    for (item = list; item && max_n; item = item->next, max_n--) {
        uint64_t payload = item->zero ? 0 : item->length;

        if (last && payload > max_bytes) {
            break;
        }
        max_bytes -= MIN(payload, max_bytes);
        bytes += item_bytes(item);
        lane->n_popped++;
        last = item;
    }
    if (last) {
        last->next = NULL;
        lane->head = item;
        lane->tail = item ? lane->tail : NULL;
        lane->queued_bytes -= bytes;
    }
    pthread_mutex_unlock(&lane->lock);
    return list;
}

uint64_t shmig_lane_popped(ShmigLane *lane)
{
    uint64_t n;

    pthread_mutex_lock(&lane->lock);
    n = lane->n_popped;
    pthread_mutex_unlock(&lane->lock);
    return n;
}

uint64_t shmig_lane_queued_bytes(ShmigLane *lane)
{
    uint64_t n;

    pthread_mutex_lock(&lane->lock);
    n = lane->queued_bytes;
    for (unsigned i = 0; i < SHMIG_LANE_RANGES; i++) {
        n += lane->copying[i].length ? lane->copying[i].own_bytes : 0;
    }
    pthread_mutex_unlock(&lane->lock);
    return n;
}

void shmig_lane_set_rate(ShmigLane *lane, uint64_t bytes_per_s)
{
    pthread_mutex_lock(&lane->lock);
    lane->bytes_per_s = bytes_per_s;
    pthread_mutex_unlock(&lane->lock);
}

void shmig_lane_close(ShmigLane *lane)
{
    ShmigInline *list;

    pthread_mutex_lock(&lane->lock);
    lane->closed = true;
    list = lane->head;
    lane->head = lane->tail = NULL;
    lane->queued_bytes = 0;
    pthread_mutex_unlock(&lane->lock);
    shmig_inline_free(list);
}
