/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter driver "shmig-mirror".
 *
 * A guest write goes through these steps, in the coroutine that brought it,
 * in whatever thread that runs:
 *
 *   copy     the payload, because the guest may change it while it is being
 *            written: both ends shall hold the same bytes
 *   begin    wait until no write in flight overlaps, so that the order in
 *            which writes are reported is the order on the disk
 *   write    to the child, from the copy
 *   report   to the mirror, which never blocks
 *   end      let overlapping writes go on
 *   hold     sleep if the mirror asked for it
 *
 * A write that began before there was a mirror has no copy; if there is one
 * when it ends, the range is reported as a discard, which means "read it
 * again later".  The same happens where no memory is left for a copy.
 *
 * A write that is held back is still in flight for whoever drains the node,
 * so a drain lets it go at once, and holds back no other until it ends.
 */
#include "qemu/osdep.h"

#include "qapi/error.h"
#include "qemu/lockable.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "block/block_int.h"
#include "block/reqlist.h"

#include "mirror-filter.h"
#include "trace.h"

/* A write that is held back; lives on the stack of its coroutine. */
typedef struct HeldWrite {
    struct FilterState *state;
    Coroutine *co;
    QEMUTimer timer;
    bool waiting; /* in state->held; who clears it wakes @co */
    QLIST_ENTRY(HeldWrite) next;
} HeldWrite;

typedef struct FilterState {
    ShmigMirror *mirror; /* atomic */

    CoMutex writes_lock;
    BlockReqList writes; /* in flight on the child */

    QemuMutex held_lock;
    QLIST_HEAD(, HeldWrite) held;
    bool draining;

    /* Main thread. */
    Error *blocker;
    GPtrArray *frozen; /* of BdrvChild */
} FilterState;

/* QEMU's own macro needs the complete type. */
static ShmigMirror *current_mirror(FilterState *s)
{
    return __atomic_load_n(&s->mirror, __ATOMIC_ACQUIRE);
}

static void coroutine_fn write_begin(FilterState *s, BlockReq *write,
                                     int64_t offset, int64_t bytes)
{
    QEMU_LOCK_GUARD(&s->writes_lock);
    reqlist_wait_all(&s->writes, offset, bytes, &s->writes_lock);
    reqlist_init_req(&s->writes, write, offset, bytes);
}

static void coroutine_fn write_end(FilterState *s, BlockReq *write)
{
    QEMU_LOCK_GUARD(&s->writes_lock);
    reqlist_remove_req(write);
}

/* In the AioContext of the coroutine, like the coroutine's own use of the
 * timer: so the two never race. */
static void held_timeout(void *opaque)
{
    HeldWrite *held = opaque;
    bool mine;

    qemu_mutex_lock(&held->state->held_lock);
    mine = held->waiting;
    if (mine) {
        held->waiting = false;
        QLIST_REMOVE(held, next);
    }
    qemu_mutex_unlock(&held->state->held_lock);
    if (mine) {
        aio_co_wake(held->co);
    }
}

static bool add_held(FilterState *s, HeldWrite *held)
{
    QEMU_LOCK_GUARD(&s->held_lock);
    if (s->draining) {
        return false;
    }
    held->waiting = true;
    QLIST_INSERT_HEAD(&s->held, held, next);
    return true;
}

static void coroutine_fn hold_back(BlockDriverState *bs, int64_t offset,
                                   int64_t ns)
{
    FilterState *s = bs->opaque;
    HeldWrite held = { .state = s, .co = qemu_coroutine_self() };

    if (!add_held(s, &held)) {
        return;
    }
    trace_shmig_write_held(bs, offset, ns);
    /* A drain in another thread may already have scheduled us: we run again
     * after the yield at the earliest. */
    aio_timer_init(qemu_get_current_aio_context(), &held.timer,
                   QEMU_CLOCK_REALTIME, SCALE_NS, held_timeout, &held);
    timer_mod(&held.timer, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + ns);
    qemu_coroutine_yield();
    timer_del(&held.timer);
}

static void filter_drain_begin(BlockDriverState *bs)
{
    FilterState *s = bs->opaque;
    HeldWrite *held;

    QEMU_LOCK_GUARD(&s->held_lock);
    s->draining = true;
    while ((held = QLIST_FIRST(&s->held))) {
        held->waiting = false;
        QLIST_REMOVE(held, next);
        /* By a bottom half, never right here: this may be its own thread. */
        aio_co_schedule(qemu_coroutine_get_aio_context(held->co), held->co);
    }
}

static void filter_drain_end(BlockDriverState *bs)
{
    FilterState *s = bs->opaque;

    QEMU_LOCK_GUARD(&s->held_lock);
    s->draining = false;
}

static int coroutine_fn GRAPH_RDLOCK filter_co_preadv(BlockDriverState *bs,
                                                      int64_t offset,
                                                      int64_t bytes,
                                                      QEMUIOVector *qiov,
                                                      BdrvRequestFlags flags)
{
    return bdrv_co_preadv(bs->backing, offset, bytes, qiov, flags);
}

/* Writes the copy @bounce if there is one, else what @qiov holds. */
static int coroutine_fn GRAPH_RDLOCK write_child(BlockDriverState *bs,
                                                 int64_t offset, int64_t bytes,
                                                 void *bounce,
                                                 QEMUIOVector *qiov,
                                                 BdrvRequestFlags flags)
{
    QEMUIOVector copy;

    if (!bounce) {
        return bdrv_co_pwritev(bs->backing, offset, bytes, qiov, flags);
    }
    qemu_iovec_init_buf(&copy, bounce, bytes);
    return bdrv_co_pwritev(bs->backing, offset, bytes, &copy,
                           flags & ~BDRV_REQ_REGISTERED_BUF);
}

static int coroutine_fn GRAPH_RDLOCK filter_co_pwritev(BlockDriverState *bs,
                                                       int64_t offset,
                                                       int64_t bytes,
                                                       QEMUIOVector *qiov,
                                                       BdrvRequestFlags flags)
{
    FilterState *s = bs->opaque;
    ShmigMirror *mirror = current_mirror(s);
    void *bounce = NULL;
    BlockReq write;
    int64_t delay_ns = 0;
    int ret;

    if (!bytes || (flags & BDRV_REQ_WRITE_UNCHANGED)) {
        return bdrv_co_pwritev(bs->backing, offset, bytes, qiov, flags);
    }
    if (mirror) {
        bounce = qemu_try_blockalign(bs->backing->bs, bytes);
        if (bounce) {
            qemu_iovec_to_buf(qiov, 0, bounce, bytes);
        }
    }
    write_begin(s, &write, offset, bytes);
    ret = write_child(bs, offset, bytes, bounce, qiov, flags);
    mirror = current_mirror(s);
    if (mirror && bounce) {
        delay_ns = shmig_mirror_written(mirror, offset, bytes, bounce, ret);
    } else if (mirror) {
        shmig_mirror_discarded(mirror, offset, bytes);
    }
    write_end(s, &write);
    qemu_vfree(bounce);
    if (delay_ns > 0) {
        hold_back(bs, offset, delay_ns);
    }
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK filter_co_pwrite_zeroes(
    BlockDriverState *bs, int64_t offset, int64_t bytes, BdrvRequestFlags flags)
{
    FilterState *s = bs->opaque;
    ShmigMirror *mirror;
    BlockReq write;
    int64_t delay_ns = 0;
    int ret;

    if (!bytes || (flags & BDRV_REQ_WRITE_UNCHANGED)) {
        return bdrv_co_pwrite_zeroes(bs->backing, offset, bytes, flags);
    }
    write_begin(s, &write, offset, bytes);
    ret = bdrv_co_pwrite_zeroes(bs->backing, offset, bytes, flags);
    mirror = current_mirror(s);
    if (mirror) {
        delay_ns = shmig_mirror_zeroed(mirror, offset, bytes, ret);
    }
    write_end(s, &write);
    if (delay_ns > 0) {
        hold_back(bs, offset, delay_ns);
    }
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK filter_co_pdiscard(BlockDriverState *bs,
                                                        int64_t offset,
                                                        int64_t bytes)
{
    FilterState *s = bs->opaque;
    ShmigMirror *mirror;
    BlockReq write;
    int ret;

    if (!bytes) {
        return bdrv_co_pdiscard(bs->backing, offset, bytes);
    }
    write_begin(s, &write, offset, bytes);
    ret = bdrv_co_pdiscard(bs->backing, offset, bytes);
    mirror = current_mirror(s);
    if (mirror) {
        /* Whatever @ret: a part of the range may have changed. */
        shmig_mirror_discarded(mirror, offset, bytes);
    }
    write_end(s, &write);
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK filter_co_flush(BlockDriverState *bs)
{
    /* There is no child yet while the node is being inserted. */
    return bs->backing ? bdrv_co_flush(bs->backing->bs) : 0;
}

/* The image would change without a write.  Without this, the block layer would
 * have the filter closed and opened again, which it cannot be. */
static int filter_snapshot_goto(BlockDriverState *bs, const char *id)
{
    return -EBUSY;
}

static void filter_refresh_limits(BlockDriverState *bs, Error **errp)
{
    /* The mirror's unit: the block layer reads and merges what is around a
     * smaller write before we see it. */
    bs->bl.request_alignment = BDRV_SECTOR_SIZE;
}

static void GRAPH_RDLOCK filter_child_perm(BlockDriverState *bs, BdrvChild *c,
                                           BdrvChildRole role,
                                           BlockReopenQueue *reopen_queue,
                                           uint64_t perm, uint64_t shared,
                                           uint64_t *nperm, uint64_t *nshared)
{
    bdrv_default_perms(bs, c, role, reopen_queue, perm, shared, nperm, nshared);
    /* A write that does not come through us would be lost.  While there are
     * no users yet, or no longer, they are the child's own and may write;
     * on an inactive node nobody writes, and others may own the image. */
    if (!QLIST_EMPTY(&bs->parents) && !bdrv_is_inactive(bs)) {
        *nshared &= ~(BLK_PERM_WRITE | BLK_PERM_RESIZE);
    }
}

static int filter_open(BlockDriverState *bs, QDict *options, int flags,
                       Error **errp)
{
    FilterState *s = bs->opaque;

    qemu_co_mutex_init(&s->writes_lock);
    QLIST_INIT(&s->writes);
    qemu_mutex_init(&s->held_lock);
    QLIST_INIT(&s->held);
    error_setg(&s->blocker, "it is being migrated");
    s->frozen = g_ptr_array_new();
    return 0;
}

static void filter_close(BlockDriverState *bs)
{
    FilterState *s = bs->opaque;

    qemu_mutex_destroy(&s->held_lock);
    error_free(s->blocker);
    g_ptr_array_unref(s->frozen);
}

static BlockDriver shmig_filter_driver = {
    .format_name = "shmig-mirror",
    .instance_size = sizeof(FilterState),
    .is_filter = true,
    .filtered_child_is_backing = true,

    .bdrv_open = filter_open,
    .bdrv_close = filter_close,
    .bdrv_child_perm = filter_child_perm,
    .bdrv_refresh_limits = filter_refresh_limits,
    .bdrv_snapshot_goto = filter_snapshot_goto,
    .bdrv_drain_begin = filter_drain_begin,
    .bdrv_drain_end = filter_drain_end,

    .bdrv_co_preadv = filter_co_preadv,
    .bdrv_co_pwritev = filter_co_pwritev,
    .bdrv_co_pwrite_zeroes = filter_co_pwrite_zeroes,
    .bdrv_co_pdiscard = filter_co_pdiscard,
    .bdrv_co_flush = filter_co_flush,
};

static void copy_properties(BlockDriverState *filter, BlockDriverState *bs)
{
    filter->implicit = true;
    filter->never_freeze = true; /* it must always be possible to drop it */
    filter->total_sectors = bs->total_sectors;
    filter->supported_write_flags |=
        BDRV_REQ_WRITE_UNCHANGED | (BDRV_REQ_FUA & bs->supported_write_flags);
    filter->supported_zero_flags =
        BDRV_REQ_WRITE_UNCHANGED |
        ((BDRV_REQ_FUA | BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK) &
         bs->supported_zero_flags);
}

static void GRAPH_RDLOCK freeze_link(FilterState *s, BdrvChild *link);

/*
 * blockdev-reopen knows no blockers, and could put other nodes in place of
 * those that hold the disk's bytes: they would change without a write.  It
 * does respect frozen links.
 */
static void GRAPH_RDLOCK freeze_links(FilterState *s, BlockDriverState *bs)
{
    freeze_link(s, bs->file);
    freeze_link(s, bs->backing);
}

static void GRAPH_RDLOCK freeze_link(FilterState *s, BdrvChild *link)
{
    if (!link) {
        return;
    }
    /* Disks may share an image below; who froze a link lets go of it. */
    if (!link->frozen && !link->bs->never_freeze) {
        link->frozen = true;
        g_ptr_array_add(s->frozen, link);
    }
    freeze_links(s, link->bs);
}

static void let_go_of_links(FilterState *s)
{
    for (unsigned i = 0; i < s->frozen->len; i++) {
        BdrvChild *link = g_ptr_array_index(s->frozen, i);

        link->frozen = false;
    }
    g_ptr_array_set_size(s->frozen, 0);
}

BlockDriverState *shmig_filter_insert(BlockDriverState *bs, Error **errp)
{
    BlockDriverState *filter;
    FilterState *s;
    int ret;

    /* Whether a discard is carried out is the child's decision. */
    filter = bdrv_new_open_driver(&shmig_filter_driver, NULL,
                                  BDRV_O_RDWR | BDRV_O_UNMAP, errp);
    if (!filter) {
        return NULL;
    }
    copy_properties(filter, bs);

    bdrv_drained_begin(bs);
    ret = bdrv_append(filter, bs, errp);
    if (ret >= 0) {
        bdrv_graph_rdlock_main_loop();
        bdrv_refresh_limits(filter, NULL, NULL);
        bdrv_graph_rdunlock_main_loop();
    }
    bdrv_drained_end(bs);
    if (ret < 0) {
        bdrv_unref(filter);
        return NULL;
    }
    s = filter->opaque;
    bdrv_graph_rdlock_main_loop();
    freeze_links(s, bs);
    bdrv_graph_rdunlock_main_loop();
    bdrv_op_block_all(bs, s->blocker);
    bdrv_op_block_all(filter, s->blocker);
    return filter;
}

void shmig_filter_set_mirror(BlockDriverState *filter, ShmigMirror *mirror)
{
    FilterState *s = filter->opaque;

    __atomic_store_n(&s->mirror, mirror, __ATOMIC_RELEASE);
}

void shmig_filter_drop(BlockDriverState *filter)
{
    FilterState *s = filter->opaque;
    BlockDriverState *bs;

    bdrv_graph_rdlock_main_loop();
    bs = bdrv_filter_bs(filter);
    bdrv_graph_rdunlock_main_loop();

    shmig_filter_set_mirror(filter, NULL);
    let_go_of_links(s);
    bdrv_op_unblock_all(bs, s->blocker);
    bdrv_op_unblock_all(filter, s->blocker);
    bdrv_drop_filter(filter, &error_abort);
    bdrv_unref(filter);
}
