/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one channel of the source sends, in this order: payloads of guest
 * writes, disk ranges that are read, RAM; and at the end, when nothing can
 * become pending any more, the final drain.
 *
 * Inline payloads go first so that the queue stays short; but once they are
 * INLINE_RUN bytes ahead, the copy of disk and RAM has its turn: the queue of a
 * guest that writes all the time is never empty.  Over time the copy gets one
 * byte for each COPY_SHARE of them, however long its frames are.
 *
 * Where the destination's disks are behind, RAM comes before both: it would
 * wait behind their data for disks that it does not need.
 *
 * max-bandwidth bounds all of it up to the switch-over, which is not held
 * back.  Then the queue fills, and the lane holds the guest's writes back.
 */
#include "shmig/session/source-internal.h"
#include "shmig/base/clock.h"
#include "shmig/base/error.h"
#include "shmig/base/range.h"

#include <errno.h>

#define INLINE_RUN (4u << 20)
#define COPY_SHARE 4
/*
 * What a frame counts at least: zeroes have no payload.  Those of a guest are
 * up to 512 writes in a frame, those of the copy cost next to nothing.
 */
#define INLINE_FRAME (64u << 10)
#define COPY_FRAME 4096u
/* A longer payload goes alone, so that a frame is never longer than one. */
#define INLINE_FRAME_MAX (SHMIG_MAX_PAYLOAD / 2)
/*
 * With a bandwidth limit a frame is about this part of a second; a single
 * guest write and a disk range that was read before the limit came are not
 * cut.
 */
#define LIMITED_FRAMES_PER_S 20
#define MIN_FRAME (64u << 10) /* a granule of a disk */
/*
 * When the destination has not applied more than this of a channel's disk
 * payload, its disks are behind and RAM goes first.  With the frame that goes
 * beyond it, it should fit into the destination's buffers for the channel
 * (memory.c: 24 of 1 MiB over all, at most 6 each): what is more waits in the
 * connection, and the RAM behind it too.  It does with up to 12 channels; with
 * more, a buffer for each frame is what is missing.  For the usual 4 channels
 * it is twice what a destination applies before it says so, and the disks of a
 * connection with 50 ms of latency get 80 MiB/s a channel while there is RAM
 * to send; without, nothing waits.
 */
#define BEHIND_ALL (16u << 20)
#define BEHIND_MAX (4u << 20)

static void signal_waiters(ShmigSource *src)
{
    pthread_mutex_lock(&src->lock);
    pthread_cond_broadcast(&src->cond);
    pthread_mutex_unlock(&src->lock);
}

static void on_go(ShmigSource *src)
{
    for (unsigned i = 0; i < src->n_channels; i++) {
        shmig_channel_wake(src->channels[i].channel);
    }
}

/* What the destination may say now; with the lock held. */
static bool is_expected(ShmigSourceChannel *sc, const ShmigFrame *frame)
{
    ShmigSource *src = sc->src;
    bool first = sc == &src->channels[0];

    switch (frame->type) {
    case SHMIG_FRAME_GO:
        return first && !src->go;
    case SHMIG_FRAME_DRAINED:
        return sc->drain_answered < sc->drain_asked &&
               frame->value == sc->drain_asked &&
               !(frame->flags & SHMIG_FRAME_FINAL) == !sc->final_given;
    case SHMIG_FRAME_READY:
        return first && !src->ready && sc->final_answered;
    case SHMIG_FRAME_RUNNING:
        return first && !src->running && src->committed;
    default:
        return false;
    }
}

static int on_applied(ShmigSourceChannel *sc, uint64_t value, const char **why)
{
    /* A value below the last one wraps around to a length beyond all. */
    if (sc->final_answered ||
        !shmig_range_ok(sc->disk_applied, value - sc->disk_applied,
                        sc->disk_sent)) {
        *why = "APPLIED of no more than before, or of more than was sent";
        return -EPROTO;
    }
    sc->disk_applied = value;
    return 0;
}

static int on_frame(void *opaque, const ShmigFrame *frame, const char **why)
{
    ShmigSourceChannel *sc = opaque;
    ShmigSource *src = sc->src;
    bool expected;

    if (frame->type == SHMIG_FRAME_APPLIED) {
        return on_applied(sc, frame->value, why);
    }
    pthread_mutex_lock(&src->lock);
    expected = is_expected(sc, frame);
    if (expected && frame->type == SHMIG_FRAME_GO) {
        __atomic_store_n(&src->go, 1, __ATOMIC_RELEASE);
    } else if (expected && frame->type == SHMIG_FRAME_DRAINED) {
        sc->drain_answered = sc->drain_asked;
        sc->final_answered = sc->final_given;
        src->n_drained += sc->final_given;
    } else if (expected && frame->type == SHMIG_FRAME_READY) {
        src->ready = true;
    } else if (expected && frame->type == SHMIG_FRAME_RUNNING) {
        src->running = true;
    }
    pthread_cond_broadcast(&src->cond);
    pthread_mutex_unlock(&src->lock);
    if (!expected) {
        *why = "a frame that a destination does not send, or not now";
        return -EPROTO;
    }
    if (frame->type == SHMIG_FRAME_GO) {
        on_go(src);
    }
    return 0;
}

/*
 * The rate that guest writes are held back to if they outrun it.  Only frames
 * with a payload that came right after another one say something about it: a
 * channel that had nothing to send, or zeroes, was not at its limit.
 */
static void measure(ShmigSourceChannel *sc, uint32_t bytes)
{
    sc->sent_bytes += bytes;
    shmig_rate_update(&sc->rate, shmig_now_ns(), sc->sent_bytes,
                      !sc->idle && bytes);
    sc->idle = false;
    shmig_lane_set_rate(&sc->lane, shmig_rate_get(&sc->rate));
}

static void charge(ShmigSourceChannel *sc, uint32_t bytes)
{
    sc->sending_bytes = bytes;
    shmig_bucket_take_place(&sc->src->bucket, shmig_now_ns(), bytes,
                            &sc->place);
}

static uint32_t frame_limit(ShmigSourceChannel *sc)
{
    uint64_t rate = __atomic_load_n(&sc->src->bandwidth, __ATOMIC_RELAXED);

    return rate ? CLAMP(rate / LIMITED_FRAMES_PER_S, MIN_FRAME,
                        SHMIG_MAX_PAYLOAD)
                : SHMIG_MAX_PAYLOAD;
}

static bool send_inline(ShmigSourceChannel *sc, ShmigConn *conn)
{
    ShmigInline *list = shmig_lane_pop(
        &sc->lane, MIN(INLINE_FRAME_MAX, frame_limit(sc)), SHMIG_MAX_RECORDS);

    if (!list) {
        return false;
    }
    shmig_batch_reset(&sc->batch);
    for (ShmigInline *item = list; item; item = item->next) {
        shmig_batch_add(&sc->batch, item->region, item->offset, item->length,
                        item->zero ? NULL : item->bytes);
        shmig_count(&item->stats->mirrored_bytes, item->length);
    }
    sc->sending_inline = list;
    sc->inline_ahead = MIN(
        sc->inline_ahead + MAX(sc->batch.payload, INLINE_FRAME), INLINE_RUN);
    sc->disk_sent += sc->batch.payload;
    charge(sc, sc->batch.payload);
    shmig_conn_send_data(conn, sc->batch.records, sc->batch.n_records,
                         sc->batch.iov, sc->batch.n_iov);
    return true;
}

static void fail_disk(ShmigSourceChannel *sc)
{
    uint32_t disk = 0;
    uint64_t offset = 0;
    int err = shmig_bulk_error(sc->bulk, &disk, &offset);
    ShmigOfferDisk *d = g_ptr_array_index(sc->src->offer->disks, disk);

    shmig_source_fail(
        sc->src,
        g_error_new(
            SHMIG_ERROR, SHMIG_ERROR_DISK,
            "disk \"%s\": reading the source at offset %" G_GUINT64_FORMAT
            " failed: %s",
            d->id, offset, g_strerror(-err)));
}

static bool send_bulk(ShmigSourceChannel *sc, ShmigConn *conn)
{
    if (!shmig_bulk_next(sc->bulk, &sc->batch)) {
        return false;
    }
    sc->sending_bulk = true;
    sc->disk_sent += sc->batch.payload;
    charge(sc, sc->batch.payload);
    shmig_conn_send_data(conn, sc->batch.records, sc->batch.n_records,
                         sc->batch.iov, sc->batch.n_iov);
    return true;
}

/* As shmig_ram_fill(); the session's end stops the tracker under us. */
static int fill_ram(ShmigSourceChannel *sc, bool last)
{
    ShmigSource *src = sc->src;
    int ret = 0;

    shmig_batch_reset(&sc->batch);
    pthread_rwlock_rdlock(&src->tracking_lock);
    if (__atomic_load_n(&src->tracking, __ATOMIC_ACQUIRE)) {
        ret = shmig_ram_fill(&sc->walk, src->ram, src->n_ram,
                             last ? NULL : src->tracker, frame_limit(sc),
                             &sc->batch);
    }
    pthread_rwlock_unlock(&src->tracking_lock);
    return ret;
}

static bool send_ram(ShmigSourceChannel *sc, ShmigConn *conn, bool last)
{
    ShmigSource *src = sc->src;
    int ret;

    if (!__atomic_load_n(&src->ram_started, __ATOMIC_ACQUIRE)) {
        return false;
    }
    ret = fill_ram(sc, last);
    if (ret < 0) {
        shmig_source_fail(
            src, g_error_new(SHMIG_ERROR, SHMIG_ERROR_RAM,
                             "re-arming the dirty tracking of RAM failed: %s",
                             g_strerror(-ret)));
        return false;
    }
    if (!sc->batch.n_records) {
        return false;
    }
    charge(sc, sc->batch.payload);
    shmig_conn_send_data(conn, sc->batch.records, sc->batch.n_records,
                         sc->batch.iov, sc->batch.n_iov);
    return true;
}

/*
 * Whether every channel knows that the guest is stopped: only then no
 * tracker->clear() is running that could make a page pending again.
 */
static bool all_finishing(ShmigSourceChannel *sc)
{
    ShmigSource *src = sc->src;

    if (!__atomic_load_n(&src->finishing, __ATOMIC_ACQUIRE)) {
        return false;
    }
    if (!sc->seen_finishing) {
        sc->seen_finishing = true;
        if (__atomic_add_fetch(&src->n_seen_finishing, 1, __ATOMIC_ACQ_REL) ==
            src->n_channels) {
            for (unsigned i = 0; i < src->n_channels; i++) {
                shmig_channel_wake(src->channels[i].channel);
            }
        }
    }
    return __atomic_load_n(&src->n_seen_finishing, __ATOMIC_ACQUIRE) ==
           src->n_channels;
}

/* At most one DRAIN may be unanswered: its answer brings us here again. */
static void drain_for_good(ShmigSourceChannel *sc)
{
    ShmigSource *src = sc->src;
    uint64_t number = 0;

    pthread_mutex_lock(&src->lock);
    if (sc->drain_asked == sc->drain_answered) {
        number = sc->drain_asked = src->barrier + 1;
        sc->final_given = true;
    }
    pthread_mutex_unlock(&src->lock);
    if (number) {
        shmig_channel_control(sc->channel, SHMIG_FRAME_DRAIN, SHMIG_FRAME_FINAL,
                              number);
    }
}

static bool disks_are_behind(const ShmigSourceChannel *sc)
{
    return sc->disk_sent - sc->disk_applied >
           MIN(BEHIND_ALL / sc->src->n_channels, BEHIND_MAX);
}

/* A frame of disk ranges or RAM. */
static bool send_copy(ShmigSourceChannel *sc, ShmigConn *conn)
{
    uint64_t bytes;

    if (!send_bulk(sc, conn) && !send_ram(sc, conn, sc->seen_finishing)) {
        return false;
    }
    bytes = MAX(sc->batch.payload, COPY_FRAME);
    sc->inline_ahead -= MIN(sc->inline_ahead, COPY_SHARE * bytes);
    return true;
}

static bool send_next(ShmigSourceChannel *sc, ShmigConn *conn)
{
    if (disks_are_behind(sc) && send_ram(sc, conn, sc->seen_finishing)) {
        return true;
    }
    if (sc->inline_ahead >= INLINE_RUN && send_copy(sc, conn)) {
        return true;
    }
    return send_inline(sc, conn) || send_copy(sc, conn);
}

static bool on_send(void *opaque, ShmigConn *conn, int64_t *wait_ns)
{
    ShmigSourceChannel *sc = opaque;
    ShmigSource *src = sc->src;
    bool last = all_finishing(sc);
    uint32_t disk;
    uint64_t offset;
    int64_t late;

    if (!__atomic_load_n(&src->go, __ATOMIC_ACQUIRE) || sc->final_given) {
        return false;
    }
    shmig_bulk_fill(sc->bulk, frame_limit(sc));
    if (shmig_bulk_error(sc->bulk, &disk, &offset)) {
        fail_disk(sc);
        return false;
    }
    /* The switch-over itself is not held back. */
    late = sc->seen_finishing
               ? 0
               : shmig_bucket_left(&src->bucket, shmig_now_ns(), sc->place);
    if (late > 0) {
        *wait_ns = late;
        return false;
    }
    if (send_next(sc, conn)) {
        return true;
    }
    sc->idle = true;
    if (last && shmig_bulk_done(sc->bulk)) {
        drain_for_good(sc);
    }
    signal_waiters(src);
    return false;
}

static void on_sent(void *opaque)
{
    ShmigSourceChannel *sc = opaque;
    uint64_t below;

    measure(sc, sc->sending_bytes);
    sc->sending_bytes = 0;
    shmig_inline_free(g_steal_pointer(&sc->sending_inline));
    if (sc->sending_bulk) {
        sc->sending_bulk = false;
        shmig_bulk_sent(sc->bulk);
    }
    below = __atomic_load_n(&sc->src->wait_below, __ATOMIC_RELAXED);
    if (below && shmig_source_pending_sum(sc->src) < below) {
        signal_waiters(sc->src);
    }
}

static void on_control_sent(void *opaque, uint8_t type)
{
    ShmigSourceChannel *sc = opaque;
    ShmigSource *src = sc->src;

    if (type == SHMIG_FRAME_DRAIN && sc->final_given) {
        pthread_mutex_lock(&src->lock);
        src->n_final++;
        pthread_cond_broadcast(&src->cond);
        pthread_mutex_unlock(&src->lock);
    }
}

static bool on_quiet(void *opaque)
{
    ShmigSourceChannel *sc = opaque;

    return shmig_bulk_quiet(sc->bulk);
}

/*
 * A channel that has drained for good has nothing left to say, and after
 * RUNNING none has: the destination closes them as it likes.
 */
static bool may_close(ShmigSourceChannel *sc)
{
    ShmigSource *src = sc->src;
    bool may;

    pthread_mutex_lock(&src->lock);
    may = src->running || (sc != &src->channels[0] && sc->final_answered);
    pthread_mutex_unlock(&src->lock);
    return may;
}

static bool is_committed(const ShmigSourceChannel *sc)
{
    ShmigSource *src = sc->src;
    bool committed;

    pthread_mutex_lock(&src->lock);
    committed = src->committed;
    pthread_mutex_unlock(&src->lock);
    return committed;
}

/*
 * A stream that QEMU closes before it gives the guest away is one it gives
 * up, and it says why in a moment: the destination is to hear that first.
 */
static bool may_end_stream(void *opaque)
{
    return is_committed(opaque);
}

/*
 * Once COMMIT is on its way the guest is the destination's.  An ERROR that came
 * there before it, on another channel, would leave the guest to nobody.
 */
static bool may_say_fault(void *opaque)
{
    ShmigSourceChannel *sc = opaque;

    return sc == &sc->src->channels[0] || !is_committed(sc);
}

static void on_failed(void *opaque, GError *error)
{
    ShmigSourceChannel *sc = opaque;

    if (error->code == SHMIG_ERROR_LOST && may_close(sc)) {
        g_error_free(error);
    } else {
        shmig_source_fail(sc->src, error);
    }
}

const ShmigChannelOps shmig_source_channel_ops = {
    .frame = on_frame,
    .send = on_send,
    .sent = on_sent,
    .may_end_stream = may_end_stream,
    .may_say_fault = may_say_fault,
    .control_sent = on_control_sent,
    .quiet = on_quiet,
    .failed = on_failed,
};

static void wake_lane(void *opaque)
{
    ShmigSourceChannel *sc = opaque;

    if (__atomic_load_n(&sc->src->started, __ATOMIC_ACQUIRE)) {
        shmig_channel_wake(sc->channel);
    }
}

void shmig_source_channel_init(ShmigSourceChannel *sc, ShmigSource *src,
                               unsigned index)
{
    sc->src = src;
    sc->idle = true;
    shmig_rate_init(&sc->rate, shmig_now_ns(), 0);
    shmig_ram_walk_init(&sc->walk, index, src->n_channels);
    shmig_lane_init(&sc->lane, SHMIG_SOURCE_QUEUE_BYTES / src->n_channels,
                    wake_lane, sc);
}

void shmig_source_channel_destroy(ShmigSourceChannel *sc)
{
    shmig_inline_free(sc->sending_inline);
    shmig_bulk_free(sc->bulk);
    shmig_lane_destroy(&sc->lane);
    shmig_channel_free(sc->channel);
}
