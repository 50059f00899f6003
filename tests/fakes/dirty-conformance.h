/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every dirty tracker must pass: while a guest writes, a shadow is
 * assembled page by page as a migration would (clear, then copy); when the
 * guest has halted and the last harvest is copied, the shadow equals the
 * guest's memory byte for byte.
 */
#ifndef DIRTY_CONFORMANCE_H
#define DIRTY_CONFORMANCE_H

#include "shmig/dirty/tracker.h"

typedef struct DirtyWorld {
    ShmigTracker *tracker;
    ShmigRegion *const *regions;
    uint8_t *const *bytes; /* of each region, rounded up to whole pages */
    unsigned n_regions;

    void (*run)(void *opaque);    /* the guest begins to write */
    bool (*enough)(void *opaque); /* it has written as much as it should */
    void (*halt)(void *opaque);   /* it writes no more from the return on */

    /* Something happens to the guest's slots.  May be NULL. */
    void (*churn)(void *opaque, unsigned pass);
    void *opaque;
} DirtyWorld;

/*
 * Harvests at least @passes times, until enough() is true, against
 * @channels copying threads.  Fails the test if anything is wrong.
 */
void dirty_conformance(const DirtyWorld *world, unsigned channels,
                       unsigned passes);

#endif
