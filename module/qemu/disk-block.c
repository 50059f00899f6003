/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk requests through QEMU's block layer.
 *
 * A channel's thread submits, a coroutine in the IOThread's AioContext
 * carries out, and the result is posted to the channel's ring.  The IOThread
 * is our own, so that copying depends neither on the main loop nor on the
 * BQL, and the guest's own I/O threads have their time for the guest.
 *
 * The block layer drains a node before it changes the graph around it, and
 * for vm_stop.  While it does, requests wait in a list: without that a drain
 * would never end, as channels always have more to submit.
 */
#include "qemu/osdep.h"

#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "block/aio-wait.h"

#include "disk-block.h"

typedef struct BlockDisk {
    ShmigDisk disk;
    AioContext *ctx;
    BlockBackend *blk; /* main thread, and requests in flight */
    unsigned refs;     /* atomic */

    QemuMutex lock;
    GQueue waiting; /* of ShmigDiskReq, while quiesced */
    unsigned in_flight;
    bool quiesced;
    bool closed;
} BlockDisk;

static void block_disk_unref(BlockDisk *d)
{
    if (qatomic_fetch_dec(&d->refs) > 1) {
        return;
    }
    g_assert(!d->in_flight && g_queue_is_empty(&d->waiting));
    qemu_mutex_destroy(&d->lock);
    g_free(d);
}

static int coroutine_fn do_status(BlockDisk *d, ShmigDiskReq *req)
{
    int64_t pnum, map;
    BlockDriverState *file;
    int ret;

    ret = blk_co_block_status_above(d->blk, NULL, req->offset, req->length,
                                    &pnum, &map, &file);
    if (ret < 0) {
        return ret;
    }
    req->extent_zero = ret & BDRV_BLOCK_ZERO;
    /* An image may end within a sector; the block layer reads what is
     * missing as zero, but that is not worth an extent of its own. */
    if (req->extent_zero && pnum >= BDRV_SECTOR_SIZE) {
        pnum = QEMU_ALIGN_DOWN(pnum, BDRV_SECTOR_SIZE);
    } else {
        req->extent_zero = false;
        pnum = QEMU_ALIGN_UP(MAX(pnum, 1), BDRV_SECTOR_SIZE);
    }
    req->extent_bytes = MIN(pnum, req->length);
    return 0;
}

/* What reads as zero already stays as it is: a hole stays a hole. */
static int coroutine_fn do_zero(BlockDisk *d, ShmigDiskReq *req)
{
    int64_t offset = req->offset, end = req->offset + req->length;

    while (offset < end) {
        int64_t pnum, map;
        BlockDriverState *file;
        int ret;

        ret = blk_co_block_status_above(d->blk, NULL, offset, end - offset,
                                        &pnum, &map, &file);
        if (ret < 0 || pnum <= 0) {
            ret = 0;
            pnum = end - offset;
        }
        if (!(ret & BDRV_BLOCK_ZERO)) {
            ret =
                blk_co_pwrite_zeroes(d->blk, offset, pnum, BDRV_REQ_MAY_UNMAP);
            if (ret < 0) {
                return ret;
            }
        }
        offset += pnum;
    }
    return 0;
}

static int coroutine_fn carry_out(BlockDisk *d, ShmigDiskReq *req)
{
    switch (req->cmd) {
    case SHMIG_DISK_STATUS:
        return do_status(d, req);
    case SHMIG_DISK_READ:
        return blk_co_pread(d->blk, req->offset, req->length, req->buf, 0);
    case SHMIG_DISK_WRITE:
        return blk_co_pwrite(d->blk, req->offset, req->length, req->buf, 0);
    case SHMIG_DISK_ZERO:
        return do_zero(d, req);
    case SHMIG_DISK_FLUSH:
        return blk_co_flush(d->blk);
    }
    g_assert_not_reached();
}

static void coroutine_fn request_co(void *opaque)
{
    ShmigDiskReq *req = opaque;
    BlockDisk *d = container_of(req->disk, BlockDisk, disk);
    int ret = carry_out(d, req);

    /* The session may free @req and its reference to @d from here on; ours
     * lasts until nothing is in flight. */
    shmig_ring_post(req->ring, &req->op, MIN(ret, 0));
    qemu_mutex_lock(&d->lock);
    d->in_flight--;
    qemu_mutex_unlock(&d->lock);
    aio_wait_kick();
}

static void request_bh(void *opaque)
{
    qemu_coroutine_enter(qemu_coroutine_create(request_co, opaque));
}

/* Called with the lock held. */
static void start_request(BlockDisk *d, ShmigDiskReq *req)
{
    d->in_flight++;
    aio_bh_schedule_oneshot(d->ctx, request_bh, req);
}

static void block_disk_submit(ShmigDisk *disk, ShmigRing *ring,
                              ShmigDiskReq *req)
{
    BlockDisk *d = container_of(disk, BlockDisk, disk);

    QEMU_LOCK_GUARD(&d->lock);
    if (d->closed) {
        shmig_ring_post(ring, &req->op, -ECANCELED);
    } else if (d->quiesced) {
        g_queue_push_tail(&d->waiting, req);
    } else {
        start_request(d, req);
    }
}

static void block_disk_free(ShmigDisk *disk)
{
    block_disk_unref(container_of(disk, BlockDisk, disk));
}

static const ShmigDiskOps block_disk_ops = {
    .name = "block-layer",
    .submit = block_disk_submit,
    .free = block_disk_free,
};

static void drained_begin(void *opaque)
{
    BlockDisk *d = opaque;

    QEMU_LOCK_GUARD(&d->lock);
    d->quiesced = true;
}

static bool drained_poll(void *opaque)
{
    BlockDisk *d = opaque;

    QEMU_LOCK_GUARD(&d->lock);
    return d->in_flight > 0;
}

static void drained_end(void *opaque)
{
    BlockDisk *d = opaque;
    ShmigDiskReq *req;

    QEMU_LOCK_GUARD(&d->lock);
    d->quiesced = false;
    while ((req = g_queue_pop_head(&d->waiting))) {
        start_request(d, req);
    }
}

static const BlockDevOps block_disk_dev_ops = {
    .drained_begin = drained_begin,
    .drained_poll = drained_poll,
    .drained_end = drained_end,
};

ShmigDisk *shmig_disk_block_new(BlockBackend *blk, AioContext *ctx,
                                uint64_t size_bytes)
{
    BlockDisk *d = g_new0(BlockDisk, 1);

    d->disk.ops = &block_disk_ops;
    d->disk.size_bytes = size_bytes;
    d->ctx = ctx;
    d->blk = blk;
    d->refs = 2;
    qemu_mutex_init(&d->lock);
    g_queue_init(&d->waiting);

    /* Requests that are parked here must not be parked once more there. */
    blk_set_disable_request_queuing(blk, true);
    blk_set_dev_ops(blk, &block_disk_dev_ops, d);
    return &d->disk;
}

void shmig_disk_block_close(ShmigDisk *disk)
{
    BlockDisk *d = container_of(disk, BlockDisk, disk);
    ShmigDiskReq *req;

    qemu_mutex_lock(&d->lock);
    d->closed = true;
    while ((req = g_queue_pop_head(&d->waiting))) {
        shmig_ring_post(req->ring, &req->op, -ECANCELED);
    }
    qemu_mutex_unlock(&d->lock);
    AIO_WAIT_WHILE_UNLOCKED(NULL, drained_poll(d));
    blk_set_dev_ops(d->blk, NULL, NULL);
    blk_unref(d->blk);
    block_disk_unref(d);
}
