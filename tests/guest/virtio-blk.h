/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtio block device by the legacy I/O-port transport, polled.
 *
 * Requests live in numbered slots; the caller owns the numbers and the
 * buffers.  First CPU only.
 */
#ifndef GUEST_VIRTIO_BLK_H
#define GUEST_VIRTIO_BLK_H

#include <stdint.h>
#include <stdbool.h>

#include "guest-protocol.h"

#define VIRTIO_BLK_STATUS_OK 0
#define VIRTIO_BLK_STATUS_PENDING 0xff

typedef struct VirtioBlk VirtioBlk;

/*
 * Sets up the first device at or after *devfn and advances *devfn past it.
 * NULL when there is no more; *error is set when one is there but unusable.
 */
VirtioBlk *virtio_blk_probe(uint32_t *devfn, const char **error);

/* The size in sectors, as far as 32 bits count. */
uint32_t virtio_blk_sectors(const VirtioBlk *blk);

uint32_t virtio_blk_devfn(const VirtioBlk *blk);

/* Whether the device does GUEST_OP_*. */
bool virtio_blk_can(const VirtioBlk *blk, uint32_t op);

/* Starts a request; `data` is for GUEST_OP_READ and GUEST_OP_WRITE. */
void virtio_blk_submit(VirtioBlk *blk, uint32_t slot, uint32_t op, uint32_t lba,
                       uint32_t sectors, void *data);

/* The slot of a finished request and its status; false if there is none. */
bool virtio_blk_poll(VirtioBlk *blk, uint32_t *slot, uint32_t *status);

#endif
