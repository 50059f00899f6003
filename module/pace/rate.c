/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast something grows, measured. */
#include "shmig/pace/rate.h"

#include <glib.h>

#define NS_PER_S 1000000000ull

typedef unsigned __int128 Wide; /* bytes × nanoseconds */

static uint64_t narrow(Wide value)
{
    return MIN(value, UINT64_MAX);
}

void shmig_rate_init(ShmigRate *rate, int64_t now_ns, uint64_t total_bytes)
{
    *rate = (ShmigRate) { .last_total = total_bytes, .last_ns = now_ns };
}

void shmig_rate_update(ShmigRate *rate, int64_t now_ns, uint64_t total_bytes,
                       bool busy)
{
    int64_t ns = now_ns - rate->last_ns;
    uint64_t bytes = total_bytes - rate->last_total;
    struct ShmigRateSlice *old;

    if (ns <= 0) {
        return;
    }
    rate->last_ns = now_ns;
    rate->last_total = total_bytes;
    if (!busy) {
        return;
    }
    rate->fill.bytes += bytes;
    rate->fill.ns += ns;
    if (rate->fill.ns < SHMIG_RATE_SLICE_NS) {
        return;
    }
    old = &rate->slices[rate->next];
    rate->bytes += rate->fill.bytes - old->bytes;
    rate->ns += rate->fill.ns - old->ns;
    *old = rate->fill;
    rate->fill = (struct ShmigRateSlice) { 0 };
    rate->next = (rate->next + 1) % SHMIG_RATE_SLICES;
}

uint64_t shmig_rate_get(const ShmigRate *rate)
{
    uint64_t bytes = rate->bytes + rate->fill.bytes;
    uint64_t ns = rate->ns + rate->fill.ns;

    return ns == 0 ? 0 : narrow((Wide)bytes * NS_PER_S / ns);
}

uint64_t shmig_rate_time_ns(uint64_t bytes, uint64_t bytes_per_s)
{
    if (bytes == 0) {
        return 0;
    }
    if (bytes_per_s == 0) {
        return UINT64_MAX;
    }
    return narrow(((Wide)bytes * NS_PER_S + bytes_per_s - 1) / bytes_per_s);
}

uint64_t shmig_rate_bytes(uint64_t ns, uint64_t bytes_per_s)
{
    return narrow((Wide)ns * bytes_per_s / NS_PER_S);
}

uint64_t shmig_rate_eta_ns(uint64_t pending_bytes, uint64_t bytes_per_s,
                           uint64_t dirty_bytes_per_s)
{
    if (pending_bytes == 0) {
        return 0;
    }
    if (dirty_bytes_per_s >= bytes_per_s) {
        return UINT64_MAX;
    }
    return shmig_rate_time_ns(pending_bytes, bytes_per_s - dirty_bytes_per_s);
}
