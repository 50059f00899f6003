/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty tracking in QEMU: the best tracker there is for this guest.
 *
 * Built per target, as are the headers it needs.
 */
#ifndef SHMIG_QEMU_TRACKER_H
#define SHMIG_QEMU_TRACKER_H

#include "ram-blocks.h"

/* Tracks the blocks of @ram, which outlive it.  Main thread, BQL. */
ShmigTracker *shmig_tracker_new(const ShmigRamBlocks *ram, ShmigSource *source);

/*
 * Whether calc-dirty-rate is measuring, in seconds at most: it takes bits out
 * of the log, and arms pages, for itself.  Tracking must not start.  BQL.
 */
bool shmig_tracker_is_lent(void);

/* A page that was written: an index into the blocks, and one into its pages. */
typedef struct ShmigLatePage {
    unsigned block;
    uint64_t page;
} ShmigLatePage;

/*
 * The guest is stopped: takes what QEMU itself has written since the last
 * harvest, as ShmigLatePages, out of QEMU's log.  BQL.
 */
void shmig_tracker_take_late(const ShmigRamBlocks *ram, GArray *pages);

/*
 * KVM's own bitmaps or dirty rings, with @extra for all the rest; @extra itself
 * if KVM cannot be asked.  The regions are those of @ram.
 */
ShmigTracker *shmig_tracker_kvm_new(const ShmigRamBlocks *ram,
                                    ShmigRegion *const *regions,
                                    ShmigTracker *extra);

/*
 * Has the slots belong to the newest such tracker, if there is one: QEMU does
 * not find in its own log what is written to them any more.  BQL.
 */
void shmig_tracker_kvm_claim(void);

#endif
