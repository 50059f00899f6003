/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast something grows, measured: bytes on the wire, pages dirtied.
 *
 * A sliding window over the last second in which there was something to do:
 * time in which the link had nothing to carry says nothing about the link.
 * One thread at a time; times are of one monotonic clock, given by the
 * caller.
 */
#ifndef SHMIG_PACE_RATE_H
#define SHMIG_PACE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define SHMIG_RATE_SLICES 20
#define SHMIG_RATE_SLICE_NS 50000000 /* so the window is about 1 s */

typedef struct ShmigRate {
    /* Ring of full slices, and the one being filled. */
    struct ShmigRateSlice {
        uint64_t bytes;
        uint64_t ns;
    } slices[SHMIG_RATE_SLICES], fill;
    unsigned next; /* slice to be replaced */

    /* Sums over @slices. */
    uint64_t bytes;
    uint64_t ns;

    /* What update() was told last. */
    uint64_t last_total;
    int64_t last_ns;
} ShmigRate;

/* @total_bytes: what the counter says now. */
void shmig_rate_init(ShmigRate *rate, int64_t now_ns, uint64_t total_bytes);

/*
 * The counter, which only grows, says @total_bytes now.  @busy: since the
 * last update there was always something to do; otherwise this time and what
 * happened in it do not count.
 */
void shmig_rate_update(ShmigRate *rate, int64_t now_ns, uint64_t total_bytes,
                       bool busy);

/* Bytes per second; 0 if nothing is known yet. */
uint64_t shmig_rate_get(const ShmigRate *rate);

/*
 * How long it takes until nothing is pending at @bytes_per_s, while
 * @dirty_bytes_per_s become pending again.  UINT64_MAX: never, at this rate.
 */
uint64_t shmig_rate_eta_ns(uint64_t pending_bytes, uint64_t bytes_per_s,
                           uint64_t dirty_bytes_per_s);

/* How long @bytes take at @bytes_per_s, rounded up; UINT64_MAX: forever. */
uint64_t shmig_rate_time_ns(uint64_t bytes, uint64_t bytes_per_s);

/* How many bytes go in @ns at @bytes_per_s, rounded down. */
uint64_t shmig_rate_bytes(uint64_t ns, uint64_t bytes_per_s);

#endif
