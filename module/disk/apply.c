/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing disk records to the destination's images, for one channel.
 *
 * A frame's payload is received into a buffer; its records become pieces
 * (one write or one zero each, neighbours joined).  The pieces of the oldest
 * frame are started in order, up to the first that overlaps one in flight;
 * frames are started one after the other.
 */
#include "shmig/disk/apply.h"
#include "shmig/base/container.h"
#include "shmig/base/range.h"
#include "shmig/base/units.h"
#include "shmig/dirty/region.h"

#include <errno.h>
#include <string.h>

#define MAX_IN_FLIGHT 64
/*
 * Bytes of a disk that are not worth a flush in the background, and those
 * that are at any time: a flush costs about what a few writes cost, and the
 * last one, which the guest waits for, costs what was left to it.
 */
#define FLUSH_LOT (1u << 20)
#define FLUSH_MUST (128u << 20)

/* A zeroed range costs the flush a piece of metadata, however long it is. */
#define FLUSH_ZERO 4096

typedef enum DrainState {
    DRAIN_NONE,
    DRAIN_APPLY, /* waits for what came before; nothing else is placed */
    DRAIN_FLUSH, /* that is applied: waits until it is durable */
} DrainState;

typedef struct Frame Frame;

typedef struct Piece {
    ShmigDiskReq req;
    ShmigApply *apply;
    Frame *frame;
    uint32_t disk;
    bool busy;
} Piece;

struct Frame {
    bool used;
    uint8_t *buffer; /* or NULL: it has none */
    ShmigRecord records[SHMIG_MAX_RECORDS];
    uint32_t at[SHMIG_MAX_RECORDS]; /* in the buffer, of DATA records */
    unsigned n_records;
    unsigned next;        /* record to start */
    uint64_t next_offset; /* within a ZERO record that spans stripes */
    unsigned busy;        /* pieces in flight */
};

struct ShmigApply {
    ShmigRing *ring;
    const ShmigApplyOps *ops;
    void *opaque;
    ShmigDisk **disks;
    uint64_t written_bytes;
    ShmigBuffersUser buffers;
    ShmigDurable *durable;
    ShmigDurableUser user;
    uint64_t *marks;   /* of each disk's last change by this channel */
    uint64_t *targets; /* marks that the drain waits for */
    uint32_t n_disks, first_region;
    unsigned channel, channels;

    Frame *frames; /* a ring buffer of the last frames that came */
    unsigned n_frames;
    unsigned head;  /* the oldest that is not started as a whole */
    unsigned tail;  /* where the next goes */
    Frame *placing; /* between place and go */
    bool starved;   /* place said -EAGAIN */

    Piece pieces[MAX_IN_FLIGHT];
    unsigned in_flight;
    bool stopped; /* after a failure, or the session's end */
    bool starting;

    DrainState drain;
    bool final;
};

static void start(ShmigApply *apply);

static void fail(ShmigApply *apply, const Piece *piece, int err)
{
    if (!apply->stopped) {
        apply->stopped = true;
        apply->ops->failed(apply->opaque, piece->disk, piece->req.cmd,
                           piece->req.offset, err);
    }
}

/* Nobody writes from the buffer of @frame any more, nor will. */
static void give_buffer(ShmigApply *apply, Frame *frame)
{
    if (frame->buffer && !frame->used && !frame->busy) {
        shmig_buffers_give(apply->buffers.buffers,
                           g_steal_pointer(&frame->buffer));
    }
}

static void piece_done(ShmigOp *op, int res)
{
    Piece *piece = SHMIG_CONTAINER_OF(op, Piece, req.op);
    ShmigApply *apply = piece->apply;

    piece->busy = false;
    apply->in_flight--;
    if (!piece->frame) {
        shmig_durable_flushed(apply->durable, piece->disk, res >= 0);
    } else {
        piece->frame->busy--;
        give_buffer(apply, piece->frame);
        apply->marks[piece->disk] = shmig_durable_changed(
            apply->durable, piece->disk,
            piece->req.cmd == SHMIG_DISK_ZERO ? FLUSH_ZERO : piece->req.length);
    }
    if (res < 0) {
        fail(apply, piece, res);
    } else if (piece->req.cmd == SHMIG_DISK_WRITE) {
        apply->written_bytes += piece->req.length;
    }
    start(apply);
}

static Piece *free_piece(ShmigApply *apply)
{
    for (unsigned i = 0; i < MAX_IN_FLIGHT; i++) {
        if (!apply->pieces[i].busy) {
            return &apply->pieces[i];
        }
    }
    return NULL;
}

static bool overlaps(const ShmigApply *apply, uint32_t disk, uint64_t offset,
                     uint64_t length)
{
    for (unsigned i = 0; i < MAX_IN_FLIGHT; i++) {
        const Piece *p = &apply->pieces[i];

        if (p->busy && p->disk == disk &&
            shmig_ranges_overlap(offset, length, p->req.offset,
                                 p->req.length)) {
            return true;
        }
    }
    return false;
}

/* Starts one request; false if it has to wait. */
static bool start_piece(ShmigApply *apply, Frame *frame, uint32_t disk,
                        ShmigDiskCmd cmd, uint64_t offset, uint64_t length,
                        void *buf)
{
    Piece *piece = free_piece(apply);

    if (!piece || (length && overlaps(apply, disk, offset, length))) {
        return false;
    }
    piece->busy = true;
    piece->frame = frame;
    piece->disk = disk;
    piece->req.cmd = cmd;
    piece->req.offset = offset;
    piece->req.length = length;
    piece->req.buf = buf;
    apply->in_flight++;
    if (frame) {
        frame->busy++;
    }
    shmig_disk_submit(apply->disks[disk], apply->ring, &piece->req);
    return true;
}

/* Joins DATA records that follow each other on disk and in the buffer. */
static bool start_data(ShmigApply *apply, Frame *frame)
{
    const ShmigRecord *first = &frame->records[frame->next];
    uint32_t at = frame->at[frame->next];
    uint64_t length = first->length;
    unsigned i = frame->next + 1;

    while (i < frame->n_records &&
           frame->records[i].kind == SHMIG_RECORD_DATA &&
           frame->records[i].region == first->region &&
           frame->records[i].offset == first->offset + length &&
           frame->at[i] == at + length) {
        length += frame->records[i].length;
        i++;
    }
    if (!start_piece(apply, frame, first->region - apply->first_region,
                     SHMIG_DISK_WRITE, first->offset, length,
                     frame->buffer + at)) {
        return false;
    }
    frame->next = i;
    return true;
}

/* One stripe of a ZERO record; those of other channels are passed over. */
static bool start_zero(ShmigApply *apply, Frame *frame)
{
    const ShmigRecord *record = &frame->records[frame->next];
    uint64_t end = record->offset + record->length;
    uint64_t at = MAX(record->offset, frame->next_offset);
    uint64_t stripe = at / SHMIG_STRIPE_BYTES;
    uint64_t stop = MIN((stripe + 1) * SHMIG_STRIPE_BYTES, end);

    if (shmig_stripe_channel(record->region, stripe, apply->channels) ==
            apply->channel &&
        !start_piece(apply, frame, record->region - apply->first_region,
                     SHMIG_DISK_ZERO, at, stop - at, NULL)) {
        return false;
    }
    frame->next_offset = stop;
    if (stop == end) {
        frame->next_offset = 0;
        frame->next++;
    }
    return true;
}

static bool start_frame(ShmigApply *apply, Frame *frame)
{
    while (frame->next < frame->n_records) {
        bool ok = frame->records[frame->next].kind == SHMIG_RECORD_DATA
                      ? start_data(apply, frame)
                      : start_zero(apply, frame);

        if (!ok) {
            return false;
        }
    }
    return true;
}

/* There is room: the caller has looked. */
static void start_flush(ShmigApply *apply, uint32_t disk)
{
    start_piece(apply, NULL, disk, SHMIG_DISK_FLUSH, 0, 0, NULL);
}

static void flush_above(ShmigApply *apply, uint64_t bytes)
{
    for (uint32_t i = 0; i < apply->n_disks && free_piece(apply); i++) {
        if (shmig_durable_begin(apply->durable, i, bytes)) {
            start_flush(apply, i);
        }
    }
}

void shmig_apply_flush_soon(ShmigApply *apply)
{
    if (apply->drain == DRAIN_NONE && !apply->stopped) {
        flush_above(apply, FLUSH_LOT);
    }
}

/* Whether the disks are durable up to the targets; sees to it if not. */
static bool make_durable(ShmigApply *apply)
{
    bool done = true;

    for (uint32_t i = 0; i < apply->n_disks; i++) {
        if (!free_piece(apply)) {
            return false; /* one that completes brings us here again */
        }
        switch (shmig_durable_need(&apply->user, i, apply->targets[i])) {
        case SHMIG_DURABLE_DONE:
            break;
        case SHMIG_DURABLE_START:
            start_flush(apply, i);
            done = false;
            break;
        case SHMIG_DURABLE_WAIT:
            done = false;
            break;
        }
    }
    return done;
}

static bool has_changed(const ShmigApply *apply)
{
    for (uint32_t i = 0; i < apply->n_disks; i++) {
        if (apply->marks[i]) {
            return true;
        }
    }
    return false;
}

/*
 * The guest waits for a final drain: so it is the last channel that has each
 * disk flushed, once for all of them.
 */
static void drain_step(ShmigApply *apply)
{
    if (apply->drain == DRAIN_APPLY && !apply->in_flight) {
        for (uint32_t i = 0; i < apply->n_disks; i++) {
            apply->targets[i] = apply->marks[i];
        }
        apply->drain = DRAIN_FLUSH;
        if (apply->final) {
            shmig_durable_finish(&apply->user);
        }
    }
    if (apply->drain != DRAIN_FLUSH ||
        (apply->final && has_changed(apply) &&
         !shmig_durable_finished(&apply->user)) ||
        !make_durable(apply)) {
        return;
    }
    apply->drain = DRAIN_NONE;
    apply->ops->drained(apply->opaque);
}

/* The next frame may come when the buffer it will get is free. */
static void reuse_frames(ShmigApply *apply)
{
    const Frame *next = &apply->frames[apply->tail];

    if (apply->starved && !next->used && !next->busy &&
        apply->drain != DRAIN_APPLY) {
        apply->starved = false;
        apply->ops->resume(apply->opaque);
    }
}

/* ops->resume() may bring the next frame and so come back here. */
static void start(ShmigApply *apply)
{
    if (apply->starting) {
        return;
    }
    apply->starting = true;
    while (!apply->stopped && apply->frames[apply->head].used &&
           start_frame(apply, &apply->frames[apply->head])) {
        apply->frames[apply->head].used = false;
        give_buffer(apply, &apply->frames[apply->head]);
        apply->head = (apply->head + 1) % apply->n_frames;
    }
    apply->starting = false;
    if (!apply->stopped) {
        if (apply->drain == DRAIN_NONE) {
            flush_above(apply, FLUSH_MUST);
        }
        if (apply->drain == DRAIN_FLUSH || !apply->frames[apply->head].used) {
            drain_step(apply);
        }
        reuse_frames(apply);
    }
}

/* Where the run of DATA records from @i on ends, that are one write. */
static unsigned run_end(const Frame *frame, unsigned i, uint64_t *bytes)
{
    const ShmigRecord *first = &frame->records[i];

    *bytes = 0;
    while (i < frame->n_records &&
           frame->records[i].kind == SHMIG_RECORD_DATA &&
           frame->records[i].region == first->region &&
           frame->records[i].offset == first->offset + *bytes) {
        *bytes += frame->records[i].length;
        i++;
    }
    return i;
}

/*
 * Lays out the runs that are whole pages, or those that are not.  The first
 * come first, so that all of them are aligned as O_DIRECT wants them, and
 * nothing is wasted between.
 */
static uint32_t layout_runs(Frame *frame, bool pages, uint32_t at)
{
    unsigned i = 0;

    while (i < frame->n_records) {
        uint64_t bytes;
        unsigned end = run_end(frame, i, &bytes);

        if (i == end) {
            i++; /* no data */
        } else if (pages == (bytes % SHMIG_PAGE_BYTES == 0)) {
            for (; i < end; i++) {
                frame->at[i] = at;
                at += frame->records[i].length;
            }
            at = (at + SHMIG_SECTOR_BYTES - 1) / SHMIG_SECTOR_BYTES *
                 SHMIG_SECTOR_BYTES;
        }
        i = MAX(i, end);
    }
    return at;
}

/* Pieces of the payload, in the order of the records. */
static unsigned layout(Frame *frame, struct iovec *iov)
{
    unsigned n_iov = 0;

    layout_runs(frame, false, layout_runs(frame, true, 0));
    for (unsigned i = 0; i < frame->n_records; i++) {
        if (frame->records[i].kind == SHMIG_RECORD_DATA) {
            iov[n_iov].iov_base = frame->buffer + frame->at[i];
            iov[n_iov].iov_len = frame->records[i].length;
            n_iov++;
        }
    }
    return n_iov;
}

static bool has_data(const ShmigRecord *records, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (records[i].kind == SHMIG_RECORD_DATA) {
            return true;
        }
    }
    return false;
}

int shmig_apply_place(ShmigApply *apply, const ShmigRecord *records, unsigned n,
                      struct iovec *iov)
{
    Frame *frame = &apply->frames[apply->tail];

    if (frame->used || frame->busy || apply->drain == DRAIN_APPLY) {
        apply->starved = true;
        return -EAGAIN;
    }
    if (has_data(records, n)) {
        frame->buffer = shmig_buffers_take(&apply->buffers);
        if (!frame->buffer) {
            apply->starved = true;
            return -EAGAIN;
        }
    }
    memcpy(frame->records, records, n * sizeof(*records));
    frame->n_records = n;
    frame->next = 0;
    frame->next_offset = 0;
    apply->placing = frame;
    return layout(frame, iov);
}

void shmig_apply_go(ShmigApply *apply)
{
    apply->placing->used = true;
    apply->placing = NULL;
    apply->tail = (apply->tail + 1) % apply->n_frames;
    start(apply);
}

void shmig_apply_drain(ShmigApply *apply, bool final)
{
    apply->drain = DRAIN_APPLY;
    apply->final = final;
    start(apply);
}

void shmig_apply_stop(ShmigApply *apply)
{
    apply->stopped = true;
}

bool shmig_apply_quiet(const ShmigApply *apply)
{
    return apply->in_flight == 0;
}

uint64_t shmig_apply_written_bytes(const ShmigApply *apply)
{
    return apply->written_bytes;
}

bool shmig_apply_caught_up(const ShmigApply *apply)
{
    if (apply->placing) {
        return false;
    }
    for (unsigned i = 0; i < apply->n_frames; i++) {
        if (apply->frames[i].used || apply->frames[i].busy) {
            return false;
        }
    }
    return true;
}

static void look(void *opaque)
{
    start(opaque);
}

ShmigApply *shmig_apply_new(ShmigRing *ring, ShmigDisk **disks,
                            uint32_t n_disks, uint32_t first_region,
                            unsigned channel, unsigned channels,
                            unsigned n_frames, ShmigBuffers *buffers,
                            ShmigDurable *durable, const ShmigApplyOps *ops,
                            void *opaque)
{
    ShmigApply *apply = g_new0(ShmigApply, 1);

    apply->ring = ring;
    apply->disks = disks;
    apply->n_disks = n_disks;
    apply->first_region = first_region;
    apply->channel = channel;
    apply->channels = channels;
    apply->ops = ops;
    apply->opaque = opaque;
    apply->marks = g_new0(uint64_t, n_disks);
    apply->targets = g_new0(uint64_t, n_disks);
    apply->durable = durable;
    apply->user.ring = ring;
    apply->user.look = look;
    apply->user.opaque = apply;
    shmig_durable_join(durable, &apply->user);
    apply->n_frames = n_frames;
    apply->frames = g_new0(Frame, n_frames);
    apply->buffers.ring = ring;
    apply->buffers.look = look;
    apply->buffers.opaque = apply;
    shmig_buffers_join(buffers, &apply->buffers);
    for (unsigned i = 0; i < MAX_IN_FLIGHT; i++) {
        apply->pieces[i].apply = apply;
        apply->pieces[i].req.op.done = piece_done;
    }
    return apply;
}

void shmig_apply_free(ShmigApply *apply)
{
    if (apply) {
        for (unsigned i = 0; i < apply->n_frames; i++) {
            if (apply->frames[i].buffer) {
                shmig_buffers_give(apply->buffers.buffers,
                                   apply->frames[i].buffer);
            }
        }
        shmig_buffers_leave(&apply->buffers);
        shmig_durable_leave(&apply->user);
        g_free(apply->frames);
        g_free(apply->marks);
        g_free(apply->targets);
        g_free(apply);
    }
}
