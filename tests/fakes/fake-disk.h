/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk in memory that misbehaves on demand.
 *
 * It is the most hostile disk the contract of shmig/disk/disk.h allows: reads
 * and status requests see what was there when they were submitted, writes and
 * zeroes take effect when they complete, a read's buffer holds rubbish until
 * then.  It aborts on callers that break the contract: ranges or buffers that
 * are not aligned or do not fit, overlapping writes in flight, a request or a
 * buffer that is used while in flight.
 *
 * All functions: any thread.
 */
#ifndef FAKE_DISK_H
#define FAKE_DISK_H

#include "shmig/disk/disk.h"

typedef struct FakeDisk FakeDisk;

#define FAKE_DISK_CMDS (SHMIG_DISK_FLUSH + 1)

typedef enum FakeDiskMode {
    FAKE_DISK_PROMPT, /* completes when its ring runs next, in order */
    FAKE_DISK_HELD,   /* completes when the test releases it */
    FAKE_DISK_THREAD, /* completed by another thread, newest first */
} FakeDiskMode;

/*
 * Starts as one hole, in mode PROMPT.  The test's own reference, beside that
 * of whoever gets fake_disk_base(): contents and counts can be looked at
 * after shmig_disk_free().
 */
FakeDisk *fake_disk_new(uint64_t size_bytes);
void fake_disk_unref(FakeDisk *fake);

/* What the code under test gets.  It, or else the test, frees it, once. */
ShmigDisk *fake_disk_base(FakeDisk *fake);

/* For requests from now on; what was held is released. */
void fake_disk_set_mode(FakeDisk *fake, FakeDiskMode mode);

/* Waits until at least @n requests are held. */
void fake_disk_wait_held(FakeDisk *fake, unsigned n);
unsigned fake_disk_held(FakeDisk *fake);
/* Completes the held request at @index, 0 being the oldest. */
void fake_disk_release(FakeDisk *fake, unsigned index);
/* Completes all that are held, newest first. */
void fake_disk_release_all(FakeDisk *fake);

/*
 * The @nth request of that kind from now on (1 is the next one) fails with
 * @error, a positive errno, and does nothing.
 */
void fake_disk_fail(FakeDisk *fake, ShmigDiskCmd cmd, unsigned nth, int error);
/* All that touch the range do: a bad block. */
void fake_disk_fail_range(FakeDisk *fake, ShmigDiskCmd cmd, uint64_t offset,
                          uint64_t length, int error);

/*
 * Called by each submission before anything else, on its thread: a guest that
 * writes in the worst moment.  Before the disk is used.
 */
typedef void FakeDiskFunc(void *opaque, const ShmigDiskReq *req);
void fake_disk_on_submit(FakeDisk *fake, FakeDiskFunc *func, void *opaque);

/* The test's own access to the contents; counts as a write. */
void fake_disk_poke(FakeDisk *fake, uint64_t offset, uint64_t length,
                    const void *buf);
void fake_disk_poke_zero(FakeDisk *fake, uint64_t offset, uint64_t length);
void fake_disk_peek(FakeDisk *fake, uint64_t offset, uint64_t length,
                    void *buf);
/* Same size, same bytes. */
bool fake_disk_equal(FakeDisk *a, FakeDisk *b);

/* Requests submitted, and bytes of those that succeeded. */
unsigned fake_disk_calls(FakeDisk *fake, ShmigDiskCmd cmd);
uint64_t fake_disk_done_bytes(FakeDisk *fake, ShmigDiskCmd cmd);
unsigned fake_disk_max_in_flight(FakeDisk *fake);

/* Space taken, in blocks of 4096. */
uint64_t fake_disk_allocated_bytes(FakeDisk *fake);
/* Each sector of the range was written or zeroed. */
bool fake_disk_changed(FakeDisk *fake, uint64_t offset, uint64_t length);
/* What was written or zeroed of the range would survive a power cut. */
bool fake_disk_durable(FakeDisk *fake, uint64_t offset, uint64_t length);

#endif
