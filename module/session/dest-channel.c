/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one channel of the destination does with what it receives. */
#include "shmig/session/dest-internal.h"
#include "shmig/base/error.h"
#include "shmig/ram/receive.h"

#include <errno.h>
#include <string.h>

/* GO was sent: only then is there memory to receive into. */
static bool may_have_data(ShmigDestChannel *dc, const char **why)
{
    ShmigDest *dest = dc->dest;

    if (__atomic_load_n(&dest->go, __ATOMIC_ACQUIRE)) {
        if (dc->final) {
            *why = "data after the final drain";
            return false;
        }
        return true;
    }
    *why = "data before GO";
    return false;
}

static int on_data(void *opaque, const ShmigFrame *frame,
                   const ShmigRecord *records, struct iovec *iov,
                   const char **why)
{
    ShmigDestChannel *dc = opaque;
    ShmigDest *dest = dc->dest;
    int ret;

    if (!may_have_data(dc, why)) {
        return -EPROTO;
    }
    ret = shmig_records_check(records, frame->records, frame->payload,
                              dest->regions, dest->n_regions, dc->index,
                              dest->n_channels, why);
    if (ret < 0) {
        return ret;
    }
    dc->receiving_disk = dest->regions[records[0].region].disk;
    if (dc->receiving_disk) {
        return shmig_apply_place(dc->apply, records, frame->records, iov);
    }
    dc->n_records = frame->records;
    memcpy(dc->records, records, frame->records * sizeof(*records));
    return shmig_ram_place(records, frame->records, dest->hosts, iov);
}

static int on_payload(void *opaque, const char **why)
{
    ShmigDestChannel *dc = opaque;

    if (dc->receiving_disk) {
        shmig_apply_go(dc->apply);
    } else {
        /* The bulk of the disks is through: RAM comes last. */
        shmig_apply_flush_soon(dc->apply);
        shmig_ram_zero(dc->records, dc->n_records, dc->dest->hosts, dc->index,
                       dc->dest->n_channels, &dc->dest->over);
    }
    return 0;
}

static int on_drain(ShmigDestChannel *dc, const ShmigFrame *frame,
                    const char **why)
{
    if (!__atomic_load_n(&dc->dest->go, __ATOMIC_ACQUIRE)) {
        *why = "a drain before GO";
        return -EPROTO;
    }
    if (dc->draining || dc->final) {
        *why = "a drain before the last one was answered, or after the final";
        return -EPROTO;
    }
    dc->draining = true;
    dc->drain_value = frame->value;
    dc->drain_flags = frame->flags;
    dc->final = frame->flags & SHMIG_FRAME_FINAL;
    shmig_apply_drain(dc->apply, dc->final);
    return 0;
}

static void drained(void *opaque)
{
    ShmigDestChannel *dc = opaque;
    ShmigDest *dest = dc->dest;

    shmig_channel_control(dc->channel, SHMIG_FRAME_DRAINED, dc->drain_flags,
                          dc->drain_value);
    if (dc->final) {
        pthread_mutex_lock(&dest->lock);
        if (++dest->n_final == dest->n_channels &&
            dest->state == SHMIG_DEST_RUNNING) {
            shmig_dest_event(dest, SHMIG_DEST_EVENT_DRAINED);
        }
        pthread_mutex_unlock(&dest->lock);
    }
}

/*
 * Only when the answer is given to the connection may the next question come:
 * or a peer that asks without reading makes answers pile up.
 */
static void on_control_sent(void *opaque, uint8_t type)
{
    ShmigDestChannel *dc = opaque;

    if (type == SHMIG_FRAME_DRAINED) {
        dc->draining = false;
    }
}

static int on_commit(ShmigDestChannel *dc, const char **why)
{
    ShmigDest *dest = dc->dest;
    int ret = 0;

    pthread_mutex_lock(&dest->lock);
    if (dc->index == 0 && dest->state == SHMIG_DEST_LOADED) {
        shmig_dest_set_state(dest, SHMIG_DEST_OWNER);
        shmig_dest_event(dest, SHMIG_DEST_EVENT_COMMIT);
    } else if (dest->state != SHMIG_DEST_FAILED) {
        *why = dc->index ? "COMMIT on another channel than 0"
                         : "COMMIT before READY";
        ret = -EPROTO;
    }
    pthread_mutex_unlock(&dest->lock);
    return ret;
}

static int on_frame(void *opaque, const ShmigFrame *frame, const char **why)
{
    ShmigDestChannel *dc = opaque;

    switch (frame->type) {
    case SHMIG_FRAME_DRAIN:
        return on_drain(dc, frame, why);
    case SHMIG_FRAME_COMMIT:
        return on_commit(dc, why);
    case SHMIG_FRAME_OFFER:
        *why = "a second offer";
        return -EPROTO;
    default:
        *why = "a frame that only a destination sends";
        return -EPROTO;
    }
}

/*
 * Tells the source how far the disks are.  Not through the queue of control
 * frames: what is said must be the latest, and a source that does not read
 * must not make it pile up.
 */
static bool on_send(void *opaque, ShmigConn *conn, int64_t *wait_ns)
{
    ShmigDestChannel *dc = opaque;
    uint64_t bytes = shmig_apply_written_bytes(dc->apply);
    ShmigFrame frame = { .type = SHMIG_FRAME_APPLIED, .value = bytes };

    if (dc->final || bytes == dc->applied_said ||
        (bytes - dc->applied_said < SHMIG_APPLIED_STEP &&
         !shmig_apply_caught_up(dc->apply))) {
        return false;
    }
    dc->applied_said = bytes;
    shmig_conn_send(conn, &frame, NULL, NULL, 0);
    return true;
}

static void on_sent(void *opaque)
{
}

static bool on_quiet(void *opaque)
{
    ShmigDestChannel *dc = opaque;

    return shmig_apply_quiet(dc->apply);
}

static void on_over(void *opaque)
{
    ShmigDestChannel *dc = opaque;

    shmig_apply_stop(dc->apply);
}

/* From READY on COMMIT may be on its way, and then RUNNING. */
static bool is_patient(void *opaque)
{
    ShmigDestChannel *dc = opaque;
    ShmigDest *dest = dc->dest;
    bool patient;

    pthread_mutex_lock(&dest->lock);
    patient =
        dest->state == SHMIG_DEST_LOADED || dest->state == SHMIG_DEST_OWNER;
    pthread_mutex_unlock(&dest->lock);
    return patient;
}

static void on_failed(void *opaque, GError *error)
{
    ShmigDestChannel *dc = opaque;

    if (dc->index && dc->final && !dc->draining &&
        error->code == SHMIG_ERROR_LOST) {
        /*
         * It has nothing left to say.  Channel 0 decides what becomes of the
         * session: a COMMIT may be on it.
         */
        g_debug("after its final drain: %s", error->message);
        g_error_free(error);
    } else {
        shmig_dest_fail(dc->dest, error);
    }
}

static void resume(void *opaque)
{
    ShmigDestChannel *dc = opaque;

    shmig_channel_resume(dc->channel);
}

static void apply_failed(void *opaque, uint32_t disk, ShmigDiskCmd cmd,
                         uint64_t offset, int err)
{
    ShmigDestChannel *dc = opaque;
    ShmigOfferDisk *d = g_ptr_array_index(dc->dest->offer->disks, disk);
    const char *advice =
        err == -ENOSPC ? "; make room there and migrate again" : "";

    if (cmd == SHMIG_DISK_FLUSH) {
        shmig_dest_fail(dc->dest,
                        g_error_new(SHMIG_ERROR, SHMIG_ERROR_DISK,
                                    "disk \"%s\": flushing the destination "
                                    "failed: %s%s",
                                    d->id, g_strerror(-err), advice));
        return;
    }

    shmig_dest_fail(
        dc->dest,
        g_error_new(
            SHMIG_ERROR, SHMIG_ERROR_DISK,
            "disk \"%s\": writing the destination at offset %" G_GUINT64_FORMAT
            " failed: %s%s",
            d->id, offset, g_strerror(-err), advice));
}

const ShmigChannelOps shmig_dest_channel_ops = {
    .frame = on_frame,
    .data = on_data,
    .payload = on_payload,
    .send = on_send,
    .sent = on_sent,
    .is_patient = is_patient,
    .control_sent = on_control_sent,
    .quiet = on_quiet,
    .over = on_over,
    .failed = on_failed,
};

const ShmigApplyOps shmig_dest_apply_ops = {
    .resume = resume,
    .drained = drained,
    .failed = apply_failed,
};
