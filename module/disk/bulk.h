/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bulk copy of disks on one channel of the source: reads pending ranges
 * of the channel's stripes into a few buffers and offers them as batches.
 *
 * Everything runs on the channel's thread.
 */
#ifndef SHMIG_DISK_BULK_H
#define SHMIG_DISK_BULK_H

#include "shmig/disk/disk.h"
#include "shmig/disk/lane.h"
#include "shmig/io/batch.h"

/* One disk on the source. */
typedef struct ShmigDiskSource {
    ShmigRegion *region;
    ShmigDisk *disk;
    ShmigRegionStats stats;
} ShmigDiskSource;

typedef struct ShmigBulk ShmigBulk;

/* @n_buffers, at most SHMIG_LANE_RANGES, of @buffer_bytes each: as many whole
 * granules as a frame may have. */
ShmigBulk *shmig_bulk_new(ShmigRing *ring, ShmigLane *lane,
                          ShmigDiskSource *disks, uint32_t n_disks,
                          unsigned channel, unsigned channels,
                          unsigned n_buffers, uint32_t buffer_bytes,
                          GError **errp);
/* Nothing may be in flight. */
void shmig_bulk_free(ShmigBulk *bulk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShmigBulk, shmig_bulk_free)

/*
 * Starts reads as long as there are free buffers and pending ranges, of at
 * most @max_bytes each, but at least a granule.
 */
void shmig_bulk_fill(ShmigBulk *bulk, uint32_t max_bytes);

/*
 * Fills @batch with the oldest range that is read and may go out now (see
 * lane.h) and releases it to the lane: @batch must be given to the
 * connection before anything else is.  False if there is none.  Its buffer
 * is in use until shmig_bulk_sent().
 */
bool shmig_bulk_next(ShmigBulk *bulk, ShmigBatch *batch);
void shmig_bulk_sent(ShmigBulk *bulk);

/* No read is in flight / no range is taken and none is pending. */
bool shmig_bulk_quiet(const ShmigBulk *bulk);
bool shmig_bulk_done(ShmigBulk *bulk);

/* The first read that failed: -errno, and which disk and where; or 0. */
int shmig_bulk_error(const ShmigBulk *bulk, uint32_t *disk, uint64_t *offset);

#endif
