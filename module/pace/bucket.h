/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket: max-bandwidth over all channels of a session.
 *
 * Senders take places in one line: a sender that takes n bytes is told how
 * long to wait until those before it have had their time.  The line moves at
 * the rate of the moment, so a new rate counts for those who already wait.
 * After a pause, what SHMIG_BUCKET_BURST_NS would have carried may go at
 * once, and no more.
 *
 * Any thread may call any function.  Times are of one monotonic clock, given
 * by the caller.
 */
#ifndef SHMIG_PACE_BUCKET_H
#define SHMIG_PACE_BUCKET_H

#include <pthread.h>
#include <stdint.h>

#define SHMIG_BUCKET_BURST_NS 50000000

typedef struct ShmigBucket {
    /* Not GMutex: the thread sanitizer cannot see what GLib does inside. */
    pthread_mutex_t lock;
    /* All under @lock. */
    uint64_t rate;  /* bytes per second; 0: unlimited */
    uint64_t taken; /* bytes, by all senders */
    uint64_t base;  /* bytes whose time had come at @base_ns */
    int64_t base_ns;
    int64_t seen_ns; /* the latest time that a sender brought */
} ShmigBucket;

/* Unlimited. */
void shmig_bucket_init(ShmigBucket *bucket);
void shmig_bucket_clear(ShmigBucket *bucket);

/*
 * 0 is unlimited.  Counts from the last time that a sender brought; senders
 * that wait should be woken, to ask left() again.
 */
void shmig_bucket_set_rate(ShmigBucket *bucket, uint64_t bytes_per_s);

/*
 * Takes @bytes, whatever the answer is: the nanoseconds to wait before they
 * are sent, 0 for none.
 */
int64_t shmig_bucket_take(ShmigBucket *bucket, int64_t now_ns, uint64_t bytes);

/* The same; *@place is for left(). */
int64_t shmig_bucket_take_place(ShmigBucket *bucket, int64_t now_ns,
                                uint64_t bytes, uint64_t *place);

/* The nanoseconds still to wait at @place, by today's rate; 0 for none. */
int64_t shmig_bucket_left(ShmigBucket *bucket, int64_t now_ns, uint64_t place);

#endif
