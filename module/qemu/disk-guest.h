/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks a guest has, and what is kept for those that travel.  Shared by
 * the source's and the destination's half.  Main thread, BQL.
 */
#ifndef SHMIG_QEMU_DISK_GUEST_H
#define SHMIG_QEMU_DISK_GUEST_H

#include "block/block.h"
#include "system/block-backend.h"
#include "system/iothread.h"

#include "disk.h"

typedef struct ShmigGuestDisk {
    char *id;             /* equal on both sides; what users call it */
    BlockBackend *guest;  /* the guest device's; a reference */
    BlockDriverState *bs; /* its root node; a reference; NULL: no medium */
    uint64_t size_bytes;
    bool writable; /* by the guest */

    /* Source, between insert and remove. */
    BlockDriverState *filter;
    /* Keeps the image's size, on the destination also the right to write,
     * while the direct path is used; else it belongs to @block. */
    BlockBackend *hold;
    ShmigDisk *block; /* through the block layer */
    const char *path; /* static; "" before */
} ShmigGuestDisk;

struct ShmigDiskSet {
    GPtrArray *disks; /* of ShmigGuestDisk, in the order of the offer */
    IOThread *io;     /* for disks that go through the block layer */
};

/* An empty array of ShmigGuestDisk that frees them, and skips NULL. */
GPtrArray *shmig_guest_disk_array(void);

/* All disks attached to a guest device, in no particular order. */
GPtrArray *shmig_guest_disks(Error **errp);

/* The disk of that id, or NULL. */
ShmigGuestDisk *shmig_guest_disk_find(const GPtrArray *disks, const char *id);

/* Whether a job or another operation keeps the disk busy; says which. */
bool shmig_guest_disk_busy(const ShmigGuestDisk *disk, Error **errp);

/* shmig_disk_identity() of its image. */
char *shmig_guest_disk_identity(const ShmigGuestDisk *disk);

/* An exact size for messages: "10 GiB", "1000448 bytes". */
char *shmig_guest_disk_size_text(uint64_t bytes);

/* Takes the disks over. */
ShmigDiskSet *shmig_disk_set_new(GPtrArray *disks);

/*
 * Makes a ShmigDisk for @disk out of @fd, or, if that is -1, of the block
 * layer; in both cases @hold belongs to @disk from now on.
 */
ShmigDisk *shmig_disk_set_open(ShmigDiskSet *set, ShmigGuestDisk *disk, int fd,
                               BlockBackend *hold, Error **errp);

/* Ends the requests of disks that go through the block layer, and gives up
 * their BlockBackend; with @all that of the other disks too. */
void shmig_disk_set_close(ShmigDiskSet *set, bool all);

#endif
