/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What disk.c and disk-verify.c share. */
#ifndef GUEST_DISK_INTERNAL_H
#define GUEST_DISK_INTERNAL_H

#include <stdbool.h>

#include "latency.h"
#include "rate.h"
#include "state.h"
#include "virtio-blk.h"

typedef struct Disk {
    VirtioBlk *blk;
    GuestDiskState *state;
    uint32_t *expect; /* one GUEST_EXPECT_* for each sector of the region */
    uint32_t *write_buffer[GUEST_MAX_SLOTS];
    uint32_t *read_buffer[GUEST_MAX_SLOTS];
    uint64_t submitted_ns[GUEST_MAX_SLOTS];
    /* Overlapped another while in flight: which came last is not known. */
    bool contended[GUEST_MAX_SLOTS];
    uint32_t number;
    uint32_t busy; /* slots in flight */
    uint32_t next_sector;
    uint32_t random;
    uint32_t issued; /* requests, for "one in so many" */
    Rate rate;
    /* Statistics. */
    uint32_t done[GUEST_OP_READ + 1];
    uint32_t errors;
    uint32_t bad_reads;
    Latency write_latency;
} Disk;

extern Disk disks[GUEST_MAX_DISKS];

/* Starts a request on sectors of the region in a free slot. */
void disk_submit(Disk *disk, uint32_t slot, uint32_t op, uint32_t sector,
                 uint32_t sectors);

/* Takes what has finished.  Returns the requests still in flight. */
uint32_t disk_collect(Disk *disk, uint64_t now_ns);

/*
 * Compares `sectors` sectors read from the region's `sector` on with what is
 * expected.  Returns the number of bad ones and, in *first, the first.
 */
uint32_t disk_check(const Disk *disk, const uint32_t *data, uint32_t sector,
                    uint32_t sectors, uint32_t *first);

/* Prints what was found in a bad sector. */
void disk_print_bad(const Disk *disk, const uint32_t *w, uint32_t sector,
                    uint32_t count);

#endif
