/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cursor rule, where guest writes and the bulk copy of one channel meet.
 *
 * A lane belongs to one channel and knows, under its lock, which ranges of
 * that channel's stripes are being copied right now, and which payloads of
 * guest writes wait to be sent inline.  For a write that was carried out:
 *   - granule pending: nothing to do, the bulk copy will read it;
 *   - granule being copied, or the queue full: it becomes pending;
 *   - else: the payload is queued.
 * "Being copied" lasts from before the pending bits are cleared until the
 * bulk frame is given to the connection; inline payloads that were queued
 * before a range was taken go out before that range's frame does.  So the
 * newest bytes of a granule are always the last ones on the connection.
 *
 * While more than half of the queue is taken, the guest's writes on the lane
 * are released one after the other, a little slower than the channel was
 * measured to send: however many are in flight at once, they do not outrun
 * it, as long as it can send them within SHMIG_MIRROR_MAX_DELAY_NS.
 */
#ifndef SHMIG_DISK_LANE_H
#define SHMIG_DISK_LANE_H

#include <glib.h>
#include <pthread.h>
#include "shmig/dirty/region.h"
#include "shmig/stats/stats.h"

#define SHMIG_LANE_RANGES 8

/* A guest write on its way; one allocation with its bytes. */
typedef struct ShmigInline {
    struct ShmigInline *next;
    ShmigRegionStats *stats;
    uint32_t region;
    uint64_t offset;
    uint64_t length;
    bool zero;
    uint8_t bytes[] __attribute__((aligned(16)));
} ShmigInline;

typedef struct ShmigLane {
    /* Constant. */
    uint64_t max_queued_bytes;
    void (*wake)(void *opaque); /* the channel has something to send */
    void *opaque;
    int64_t (*clock_ns)(void); /* monotonic; a test may put its own here */

    pthread_mutex_t lock;
    /* Under the lock. */
    bool closed; /* the session is over: nothing is queued any more */
    ShmigInline *head, *tail;
    uint64_t queued_bytes;
    uint64_t n_pushed, n_popped; /* payloads, ever */
    uint64_t bytes_per_s;        /* measured by the channel; 0 unknown */
    int64_t release_ns;          /* of the last write that was held back */
    struct {
        uint32_t region;
        uint64_t offset, length; /* length 0: unused */
        uint64_t own_bytes;      /* of them, without other channels' */
    } copying[SHMIG_LANE_RANGES];
} ShmigLane;

void shmig_lane_init(ShmigLane *lane, uint64_t max_queued_bytes,
                     void (*wake)(void *opaque), void *opaque);
void shmig_lane_destroy(ShmigLane *lane);

/*
 * Any thread: a guest write within one stripe was carried out.  @buf NULL:
 * zeroes.  Returns for how many ns the guest should be held back.
 */
int64_t shmig_lane_written(ShmigLane *lane, ShmigRegion *region,
                           ShmigRegionStats *stats, uint64_t offset,
                           uint64_t length, const uint8_t *buf);

/*
 * The channel: takes granules [first, first + n) of @region for bulk copy in
 * place @slot: clears their pending bits.  Returns the number of payloads
 * that have to be popped before the range's frame may go out.
 */
uint64_t shmig_lane_take(ShmigLane *lane, unsigned slot, ShmigRegion *region,
                         uint64_t first, uint64_t n);
/*
 * The same for granules behind those of @slot, which is then all of the bytes
 * from its first to its last granule; the mark is the new one.
 */
uint64_t shmig_lane_take_more(ShmigLane *lane, unsigned slot,
                              ShmigRegion *region, uint64_t first, uint64_t n);
/* The channel: the frame of @slot is given to the connection. */
void shmig_lane_release(ShmigLane *lane, unsigned slot);

/*
 * The channel: takes payloads of at most @max_bytes and @max_n in all from
 * the queue (at least one if there is one) as a list that the caller owns
 * and gives back with shmig_inline_free().
 */
ShmigInline *shmig_lane_pop(ShmigLane *lane, uint64_t max_bytes,
                            unsigned max_n);
void shmig_inline_free(ShmigInline *list);

uint64_t shmig_lane_popped(ShmigLane *lane);
/* Payloads that wait, and ranges that are taken and not yet on their way. */
uint64_t shmig_lane_queued_bytes(ShmigLane *lane);
/* What the channel sends if there always is something to send. */
void shmig_lane_set_rate(ShmigLane *lane, uint64_t bytes_per_s);

/* Drops what is queued and takes no more.  Any thread. */
void shmig_lane_close(ShmigLane *lane);

#endif
