/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing disk records to the destination's images, for one channel.
 *
 * Requests of one channel that overlap are never in flight together, so the
 * last record for a byte is what the image holds in the end; other channels
 * never touch the same stripes.  Everything runs on the channel's thread.
 */
#ifndef SHMIG_DISK_APPLY_H
#define SHMIG_DISK_APPLY_H

#include "shmig/base/units.h"
#include "shmig/disk/buffers.h"
#include "shmig/disk/disk.h"
#include "shmig/disk/durable.h"
#include "shmig/io/conn.h"

typedef struct ShmigApply ShmigApply;

/* A payload, with each of its pieces at the start of a sector. */
#define SHMIG_APPLY_BUFFER_BYTES \
    (SHMIG_MAX_PAYLOAD + SHMIG_MAX_RECORDS * SHMIG_SECTOR_BYTES)

typedef struct ShmigApplyOps {
    /* There is room again after shmig_apply_place() said -EAGAIN. */
    void (*resume)(void *opaque);
    /* All frames given so far are applied (after shmig_apply_drain()). */
    void (*drained)(void *opaque);
    /* A request failed; the session is to end.  @err: -errno. */
    void (*failed)(void *opaque, uint32_t disk, ShmigDiskCmd cmd,
                   uint64_t offset, int err);
} ShmigApplyOps;

/*
 * @disks: by region id minus @first_region.  @buffers, of
 * SHMIG_APPLY_BUFFER_BYTES, and @durable are shared by all channels, and
 * outlive them; @n_frames is how many of the buffers this one may have.
 */
ShmigApply *shmig_apply_new(ShmigRing *ring, ShmigDisk **disks,
                            uint32_t n_disks, uint32_t first_region,
                            unsigned channel, unsigned channels,
                            unsigned n_frames, ShmigBuffers *buffers,
                            ShmigDurable *durable, const ShmigApplyOps *ops,
                            void *opaque);
/* Nothing may be in flight. */
void shmig_apply_free(ShmigApply *apply);

/*
 * A DATA frame of disk records (checked) is coming: fills @iov with where
 * its payload goes.  Returns the number of pieces, or -EAGAIN.
 */
int shmig_apply_place(ShmigApply *apply, const ShmigRecord *records, unsigned n,
                      struct iovec *iov);
/* The payload is in place: writes it. */
void shmig_apply_go(ShmigApply *apply);

/*
 * ops->drained() comes when everything given before is applied and durable.
 * No frame is placed until it is applied.  @final: it is the last drain of
 * this channel; where it wrote to a disk it waits for that of all others, so
 * that each disk is flushed once.
 */
void shmig_apply_drain(ShmigApply *apply, bool final);

/*
 * A good moment to make durable what was written so far, while other things
 * happen, so that the flush of the final drain is short.  Does nothing where
 * little was written.
 */
void shmig_apply_flush_soon(ShmigApply *apply);

/* The session is over: nothing more is begun.  May come again. */
void shmig_apply_stop(ShmigApply *apply);

/* Nothing is in flight. */
bool shmig_apply_quiet(const ShmigApply *apply);

/* Bytes of DATA records that are written, ever. */
uint64_t shmig_apply_written_bytes(const ShmigApply *apply);
/* Of no frame that came anything is left to be applied. */
bool shmig_apply_caught_up(const ShmigApply *apply);

#endif
