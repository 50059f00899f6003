/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The generic tracker: for whoever knows by himself what was written.
 *
 * Writers that can call shmig_generic_mark() after each write need nothing
 * else.  A log that is kept elsewhere (QEMU's own dirty bitmap) is read
 * through the ops table.
 */
#ifndef SHMIG_DIRTY_GENERIC_H
#define SHMIG_DIRTY_GENERIC_H

#include "shmig/dirty/tracker.h"

/* Takes what collect() found; valid only inside that call. */
typedef struct ShmigCollector ShmigCollector;

/* Any slot may be NULL. */
typedef struct ShmigGenericOps {
    /* The log is on from its return on.  Control thread. */
    bool (*start)(void *opaque, GError **errp);

    /*
     * Brings what happened before the call into the log.  No lock is held.
     * 0 or -errno.  Control thread.
     */
    int (*sync)(void *opaque, bool last);

    /*
     * Takes the pages of @region that were written out of the log and gives
     * them to @collector.  0 or -errno; what was given counts either way.
     * Control thread; the region's lock is held, so a lock that a thread
     * holds which waits for a channel must not be taken.
     */
    int (*collect)(void *opaque, ShmigRegion *region,
                   ShmigCollector *collector);

    /*
     * Watches [first, first + n) again.  Only pages that are in the log, or
     * that collect() gave since they were armed last, may be concerned.
     * Until a page is armed again, each sync() puts it into the log.
     * 0 or -errno.  Any channel thread; the region's lock is held.
     * NULL if taking a page out of the log is enough to watch it again.
     */
    int (*arm)(void *opaque, ShmigRegion *region, uint64_t first, uint64_t n);

    void (*stop)(void *opaque);
    void (*free)(void *opaque);
} ShmigGenericOps;

/*
 * @ops may be NULL.  The regions outlive the tracker.  start() begins with
 * a first harvest, so that what is in the log then can be armed.
 */
ShmigTracker *shmig_generic_new(const ShmigGenericOps *ops, void *opaque,
                                ShmigRegion *const *regions,
                                unsigned n_regions);

/* [first, first + n) of @region was written.  Any thread, at any time. */
void shmig_generic_mark(ShmigTracker *tracker, ShmigRegion *region,
                        uint64_t first, uint64_t n);

/* As shmig_region_merge(); and for a range of pages. */
void shmig_collect_words(ShmigCollector *collector, uint64_t first_word,
                         const uint64_t *bits, uint64_t n_words);
void shmig_collect_pages(ShmigCollector *collector, uint64_t first, uint64_t n);

#endif
