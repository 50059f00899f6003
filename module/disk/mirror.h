/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inline mirroring: what happens to a guest write on a disk under migration.
 *
 * The caller (QEMU's filter node) bounces the payload, serialises writes that
 * overlap while in flight, carries the write out on the source image, and
 * then tells the mirror, in that order, with the very bytes it wrote.
 * A mirror never blocks and never fails: what it cannot send now becomes
 * pending and is read again later.
 */
#ifndef SHMIG_DISK_MIRROR_H
#define SHMIG_DISK_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ShmigMirror ShmigMirror;

/*
 * The guest's write of @length bytes at @offset was carried out with result
 * @ret (0 or -errno).  @buf holds the payload and is copied if it is to
 * travel.  Any thread.
 *
 * Returns for how many nanoseconds the guest's write should be held back
 * before it is completed, so that the mirror keeps up: 0 unless the guest
 * writes faster than the link carries; bounded by SHMIG_MIRROR_MAX_DELAY_NS.
 * A caller that is being drained ignores it.
 *
 * The bound is what a guest has in flight over what the link carries, with
 * room: 32 writes of 1 MiB take 0.4 s at 1 Gbit/s.  No guest takes a second
 * for a disk that has failed.
 */
#define SHMIG_MIRROR_MAX_DELAY_NS 1000000000
int64_t shmig_mirror_written(ShmigMirror *mirror, uint64_t offset,
                             uint64_t length, const void *buf, int ret);

/* The same for a write of zeroes. */
int64_t shmig_mirror_zeroed(ShmigMirror *mirror, uint64_t offset,
                            uint64_t length, int ret);

/* The same for a discard: what the range holds now is found out later. */
void shmig_mirror_discarded(ShmigMirror *mirror, uint64_t offset,
                            uint64_t length);

#endif
