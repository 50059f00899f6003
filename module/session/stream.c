/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's migration stream inside the session. */
#include "shmig/session/stream.h"
#include "shmig/base/container.h"
#include "shmig/wire/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Give credit in lots of this size, or when all is delivered. */
#define CREDIT_LOT (SHMIG_STREAM_WINDOW / 4)

struct ShmigStream {
    ShmigRing *ring;
    int fd;

    /* From QEMU to the peer. */
    ShmigOp in_op;
    bool in_busy;
    bool in_eof, in_eof_sent;
    uint32_t in_bytes; /* held in @in, not yet taken */
    uint64_t credit;   /* bytes the peer still takes */
    uint8_t in[SHMIG_MAX_STREAM_BODY];

    /* From the peer to QEMU: a ring buffer. */
    ShmigOp out_op;
    bool out_busy;
    bool out_eof;  /* after what is in the buffer */
    bool out_dead; /* QEMU closed its end: bytes are dropped */
    uint32_t out_start, out_bytes;
    uint32_t due; /* credit not yet given back */
    uint8_t out[SHMIG_STREAM_WINDOW];
};

static void in_more(ShmigStream *stream)
{
    struct io_uring_sqe *sqe;
    uint32_t max = MIN(sizeof(stream->in), stream->credit);

    if (stream->in_busy || stream->in_bytes || stream->in_eof || !max) {
        return;
    }
    sqe = shmig_ring_sqe(stream->ring);
    io_uring_prep_recv(sqe, stream->fd, stream->in, max, 0);
    shmig_ring_tie(stream->ring, sqe, &stream->in_op);
    stream->in_busy = true;
}

static void in_done(ShmigOp *op, int res)
{
    ShmigStream *stream = SHMIG_CONTAINER_OF(op, ShmigStream, in_op);

    stream->in_busy = false;
    if (res > 0) {
        stream->in_bytes = res;
        stream->credit -= res;
    } else if (res == -EINTR || res == -EAGAIN) {
        in_more(stream);
    } else {
        stream->in_eof = true;
    }
}

uint32_t shmig_stream_peek(ShmigStream *stream, const uint8_t **bytes,
                           bool *eof)
{
    *bytes = stream->in;
    *eof = stream->in_eof && !stream->in_bytes && !stream->in_eof_sent;
    return stream->in_bytes;
}

void shmig_stream_next(ShmigStream *stream)
{
    stream->in_eof_sent = stream->in_eof && !stream->in_bytes;
    stream->in_bytes = 0;
    in_more(stream);
}

bool shmig_stream_ended(const ShmigStream *stream)
{
    return stream->in_eof_sent;
}

static void out_more(ShmigStream *stream)
{
    struct io_uring_sqe *sqe;
    uint32_t n =
        MIN(stream->out_bytes, SHMIG_STREAM_WINDOW - stream->out_start);

    if (stream->out_busy) {
        return;
    }
    if (!n) {
        if (stream->out_eof) {
            shutdown(stream->fd, SHUT_WR);
        }
        return;
    }
    sqe = shmig_ring_sqe(stream->ring);
    io_uring_prep_send(sqe, stream->fd, stream->out + stream->out_start, n,
                       MSG_NOSIGNAL);
    shmig_ring_tie(stream->ring, sqe, &stream->out_op);
    stream->out_busy = true;
}

static void out_taken(ShmigStream *stream, uint32_t n)
{
    stream->out_start = (stream->out_start + n) % SHMIG_STREAM_WINDOW;
    stream->out_bytes -= n;
    stream->due += n;
}

static void out_done(ShmigOp *op, int res)
{
    ShmigStream *stream = SHMIG_CONTAINER_OF(op, ShmigStream, out_op);

    stream->out_busy = false;
    if (res > 0) {
        out_taken(stream, res);
    } else if (res != -EINTR && res != -EAGAIN) {
        stream->out_dead = true;
        out_taken(stream, stream->out_bytes);
    }
    out_more(stream);
}

uint32_t shmig_stream_credit_due(ShmigStream *stream)
{
    uint32_t due = stream->due;

    if (!due || (due < CREDIT_LOT && stream->out_bytes)) {
        return 0;
    }
    stream->due = 0;
    return due;
}

static void out_append(ShmigStream *stream, const uint8_t *bytes, uint32_t n)
{
    uint32_t end =
        (stream->out_start + stream->out_bytes) % SHMIG_STREAM_WINDOW;
    uint32_t straight = MIN(n, SHMIG_STREAM_WINDOW - end);

    memcpy(stream->out + end, bytes, straight);
    memcpy(stream->out, bytes + straight, n - straight);
    stream->out_bytes += n;
}

int shmig_stream_received(ShmigStream *stream, const uint8_t *bytes,
                          uint32_t length, bool eof, const char **why)
{
    if (stream->out_eof) {
        *why = "stream bytes after the stream's end";
        return -EPROTO;
    }
    if (length > SHMIG_STREAM_WINDOW - stream->out_bytes - stream->due) {
        *why = "more stream bytes than there was credit for";
        return -EPROTO;
    }
    out_append(stream, bytes, length);
    stream->out_eof = eof;
    if (stream->out_dead) {
        out_taken(stream, stream->out_bytes);
    }
    out_more(stream);
    return 0;
}

int shmig_stream_credited(ShmigStream *stream, uint64_t bytes, const char **why)
{
    if (bytes > SHMIG_STREAM_WINDOW - stream->credit) {
        *why = "more stream credit than was used";
        return -EPROTO;
    }
    stream->credit += bytes;
    in_more(stream);
    return 0;
}

void shmig_stream_peer_gone(ShmigStream *stream)
{
    stream->out_eof = true;
    shutdown(stream->fd, SHUT_RD);
    out_more(stream);
}

void shmig_stream_start(ShmigStream *stream)
{
    in_more(stream);
}

void shmig_stream_shutdown(ShmigStream *stream)
{
    shutdown(stream->fd, SHUT_RDWR);
}

ShmigStream *shmig_stream_new(ShmigRing *ring, int fd)
{
    ShmigStream *stream = g_new0(ShmigStream, 1);

    stream->ring = ring;
    stream->fd = fd;
    stream->credit = SHMIG_STREAM_WINDOW;
    stream->in_op.done = in_done;
    stream->out_op.done = out_done;
    return stream;
}

void shmig_stream_free(ShmigStream *stream)
{
    if (stream) {
        close(stream->fd);
        g_free(stream);
    }
}
