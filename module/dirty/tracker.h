/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract of a dirty tracker: who finds out which pages of the RAM
 * regions were written.
 *
 * No write is ever missed: a write that happened before harvest() was called
 * has its bit in the region's pending bitmap when harvest() returns, unless
 * the page was re-armed by clear() and then read after the write.
 */
#ifndef SHMIG_DIRTY_TRACKER_H
#define SHMIG_DIRTY_TRACKER_H

#include <glib.h>
#include "shmig/dirty/region.h"

typedef struct ShmigTracker ShmigTracker;

typedef struct ShmigTrackerOps {
    const char *name; /* "generic", "kvm-bitmap", "kvm-ring" */

    /*
     * Begins tracking; from its return on every write is seen.  The caller
     * marks everything pending afterwards.  Control thread.
     */
    bool (*start)(ShmigTracker *tracker, GError **errp);

    /*
     * Merges what was written since into the regions' pending bitmaps.
     * @last: the guest is stopped for good, nothing may be left out.
     * Returns the number of pages that became pending, or -errno.
     * Control thread; may run while channels call clear().
     */
    int64_t (*harvest)(ShmigTracker *tracker, bool last);

    /*
     * Arms [first, first + n) of @region anew.  Called by a channel before
     * it clears the pending bits and reads the bytes, for pages whose
     * pending bits are set.  May do more pages than asked for, and may make
     * pages pending again that a channel has just taken.
     * Any channel thread.  0 or -errno.
     */
    int (*clear)(ShmigTracker *tracker, ShmigRegion *region, uint64_t first,
                 uint64_t n);

    /* Ends tracking; nobody calls clear() any more.  Control thread. */
    void (*stop)(ShmigTracker *tracker);

    void (*free)(ShmigTracker *tracker);
} ShmigTrackerOps;

struct ShmigTracker {
    const ShmigTrackerOps *ops;
};

#endif
