/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of one migration.  Each is written with relaxed atomics by any
 * thread and may be read at any time; they only grow. */
#ifndef SHMIG_STATS_STATS_H
#define SHMIG_STATS_STATS_H

#include <stdint.h>

/* Per region, all in bytes of the guest's view. */
typedef struct ShmigRegionStats {
    uint64_t data_bytes;     /* sent as payload by bulk copy */
    uint64_t zero_bytes;     /* sent as zero records by bulk copy */
    uint64_t mirrored_bytes; /* sent inline as the guest wrote them */
    uint64_t resent_bytes;   /* of data and zero: sent before already */
    uint64_t delayed_ns;     /* guest writes were held back, in total */
} ShmigRegionStats;

/* Per session. */
typedef struct ShmigStats {
    uint64_t wire_bytes;   /* put on all connections, framing included */
    uint64_t stream_bytes; /* of these: device state and return path */
    uint64_t frames;
    uint64_t harvests;    /* dirty harvests of RAM */
    uint64_t dirty_pages; /* that harvests found */
    uint64_t clear_calls;
} ShmigStats;

static inline void shmig_count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline uint64_t shmig_counted(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
