/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ShmigDisk over a BlockBackend: any format, any protocol.
 *
 * It has two owners: the session it is given to, which ends with
 * ops->free(), and the one who made it, who ends with close().
 */
#ifndef SHMIG_QEMU_DISK_BLOCK_H
#define SHMIG_QEMU_DISK_BLOCK_H

#include "block/aio.h"
#include "system/block-backend.h"
#include "shmig/disk/disk.h"

/*
 * Takes over @blk and carries requests out in @ctx, the context of an
 * IOThread that lives until close() returned.  Main thread, BQL.
 */
ShmigDisk *shmig_disk_block_new(BlockBackend *blk, AioContext *ctx,
                                uint64_t size_bytes);

/*
 * Waits for the requests that are being carried out, ends all others with
 * -ECANCELED, now and later, and drops the BlockBackend.  Once.  Main thread,
 * BQL, no coroutine, no graph lock.
 */
void shmig_disk_block_close(ShmigDisk *disk);

#endif
