/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket.
 *
 * All bytes ever taken are laid out in one line; a sender's place is where
 * its bytes begin.  "Passed" is how far along the line time has come: it
 * grows by the rate and never goes beyond what was taken, so that nothing is
 * saved up while nobody sends, except the burst, which every place has ahead.
 */
#include "shmig/pace/bucket.h"

#include <glib.h>

#define NS_PER_S 1000000000ull

typedef unsigned __int128 Wide; /* bytes × nanoseconds */

static uint64_t passed(const ShmigBucket *b, int64_t now_ns)
{
    uint64_t left = b->taken - b->base;
    Wide more;

    /* Threads read the clock before they get the lock: never go back. */
    if (now_ns <= b->base_ns) {
        return b->base;
    }
    if (b->rate == 0) {
        return b->taken;
    }
    more = (Wide)((uint64_t)now_ns - b->base_ns) * b->rate / NS_PER_S;
    return b->base + (uint64_t)MIN(more, left);
}

/*
 * Starts to count from @now_ns.  What has passed is rounded down, by less
 * than a byte each time; it happens when the line is empty or the rate
 * changes, not for each take.
 */
static void rebase(ShmigBucket *b, int64_t now_ns)
{
    b->base = passed(b, now_ns);
    b->base_ns = MAX(b->base_ns, now_ns);
}

/* What is too early waits for a full nanosecond more, never less. */
static int64_t time_of(const ShmigBucket *b, int64_t now_ns, uint64_t place)
{
    Wide burst = (Wide)b->rate * SHMIG_BUCKET_BURST_NS / NS_PER_S;
    Wide open = passed(b, now_ns) + burst;
    Wide ns;

    if (b->rate == 0 || place <= open) {
        return 0;
    }
    ns = ((place - open) * NS_PER_S + b->rate - 1) / b->rate;
    return MIN(ns, INT64_MAX);
}

void shmig_bucket_init(ShmigBucket *bucket)
{
    *bucket = (ShmigBucket) { 0 };
    pthread_mutex_init(&bucket->lock, NULL);
}

void shmig_bucket_clear(ShmigBucket *bucket)
{
    pthread_mutex_destroy(&bucket->lock);
}

void shmig_bucket_set_rate(ShmigBucket *bucket, uint64_t bytes_per_s)
{
    pthread_mutex_lock(&bucket->lock);
    rebase(bucket, bucket->seen_ns);
    bucket->rate = bytes_per_s;
    pthread_mutex_unlock(&bucket->lock);
}

int64_t shmig_bucket_take_place(ShmigBucket *bucket, int64_t now_ns,
                                uint64_t bytes, uint64_t *place)
{
    int64_t wait_ns;

    pthread_mutex_lock(&bucket->lock);
    bucket->seen_ns = MAX(bucket->seen_ns, now_ns);
    if (passed(bucket, now_ns) == bucket->taken) {
        rebase(bucket, now_ns);
    }
    *place = bucket->taken;
    wait_ns = time_of(bucket, now_ns, *place);
    bucket->taken += bytes;
    pthread_mutex_unlock(&bucket->lock);
    return wait_ns;
}

int64_t shmig_bucket_take(ShmigBucket *bucket, int64_t now_ns, uint64_t bytes)
{
    uint64_t place;

    return shmig_bucket_take_place(bucket, now_ns, bytes, &place);
}

int64_t shmig_bucket_left(ShmigBucket *bucket, int64_t now_ns, uint64_t place)
{
    int64_t wait_ns;

    pthread_mutex_lock(&bucket->lock);
    bucket->seen_ns = MAX(bucket->seen_ns, now_ns);
    wait_ns = time_of(bucket, now_ns, place);
    pthread_mutex_unlock(&bucket->lock);
    return wait_ns;
}
