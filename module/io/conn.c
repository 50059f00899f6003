/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A framed connection on a ring.
 *
 * Receiving: HEADER → BODY → (DATA only) PLACE → PAYLOAD → HEADER.  Headers
 * and bodies are taken out of a read-ahead buffer, so that small frames cost
 * one system call for many; what the buffer already holds of a payload is
 * copied, the rest is received into place.
 *
 * What breaks the protocol leads to DISCARD, where what comes is thrown away:
 * closing at once, with bytes unread, would take from the peer what it is told.
 *
 * While a payload waits for room nothing is received, and a poll watches for
 * the peer's end.  What the peer sent before it is skipped then, but for the
 * ERROR that says why: with a payload lost, nothing else of it may count.
 *
 * Ending: the first error or end of file marks the connection dead and shuts
 * the socket down, which completes what is in flight; closed() is called
 * when nothing is.
 */
#include "shmig/io/conn.h"
#include "shmig/base/container.h"
#include "shmig/io/socket.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Small against a full DATA frame, so that little of it is copied. */
#define READ_AHEAD (16u << 10)
#define RX_BYTES (READ_AHEAD + SHMIG_FRAME_BYTES + SHMIG_MAX_STREAM_BODY)
#define TX_BYTES (SHMIG_FRAME_BYTES + SHMIG_MAX_STREAM_BODY)

G_STATIC_ASSERT(SHMIG_MAX_RECORDS *SHMIG_RECORD_BYTES <= SHMIG_MAX_STREAM_BODY);

typedef enum RxState {
    RX_HEADER,
    RX_BODY,
    RX_PLACE, /* records are known, there is no room for the payload */
    RX_PAYLOAD,
    RX_SKIP,    /* a payload that the peer's end left without a place */
    RX_DISCARD, /* until the connection ends */
} RxState;

struct ShmigConn {
    ShmigRing *ring;
    const ShmigConnOps *ops;
    void *opaque;
    ShmigStats *stats;
    bool count_rx;
    int fd;

    bool dead;
    bool closed;
    int err;

    ShmigOp rx_op;
    bool rx_busy;
    bool parsing;
    RxState rx_state;
    uint32_t rx_sequence;
    ShmigFrame rx_frame;
    size_t rx_start, rx_end; /* what rx_buf holds */
    uint8_t *rx_buf;
    ShmigRecord *records;
    struct iovec rx_iov[SHMIG_CONN_MAX_IOV];
    unsigned rx_iov_at, rx_iov_n;
    struct msghdr rx_msg;

    /* Armed when a payload first waits for room, and left so: one event. */
    ShmigOp watch_op;
    bool watched, watch_busy;
    bool peer_ended;
    bool skipping; /* all frames but ERROR */
    uint32_t rx_skip;

    ShmigOp tx_op;
    bool tx_busy;
    uint32_t tx_sequence;
    uint8_t *tx_buf;
    struct iovec tx_iov[SHMIG_CONN_MAX_IOV + 1];
    unsigned tx_iov_at, tx_iov_n;
    struct msghdr tx_msg;
};

static void rx_parse(ShmigConn *conn);

/* Drops the first @bytes of iov[*at..n). */
static void iov_advance(struct iovec *iov, unsigned *at, unsigned n,
                        size_t bytes)
{
    while (*at < n && bytes >= iov[*at].iov_len) {
        bytes -= iov[*at].iov_len;
        (*at)++;
    }
    if (*at < n) {
        iov[*at].iov_base = (uint8_t *)iov[*at].iov_base + bytes;
        iov[*at].iov_len -= bytes;
    }
}

static void maybe_closed(ShmigConn *conn)
{
    if (conn->dead && !conn->closed && !conn->rx_busy && !conn->tx_busy &&
        !conn->watch_busy && !conn->parsing) {
        conn->closed = true;
        conn->ops->closed(conn->opaque, conn->err);
    }
}

static void die(ShmigConn *conn, int err)
{
    if (!conn->dead) {
        conn->dead = true;
        conn->err = err;
        shutdown(conn->fd, SHUT_RDWR);
    }
}

void shmig_conn_close(ShmigConn *conn, int err)
{
    die(conn, err);
    maybe_closed(conn);
}

void shmig_conn_shutdown(ShmigConn *conn)
{
    shutdown(conn->fd, SHUT_RDWR);
}

/* Receives at least one more byte, aiming at @need in the buffer. */
static void rx_more(ShmigConn *conn, size_t need)
{
    size_t have = conn->rx_end - conn->rx_start;
    struct io_uring_sqe *sqe;
    size_t want = MAX(READ_AHEAD, need) - have;

    if (conn->rx_start && conn->rx_end + want > RX_BYTES) {
        memmove(conn->rx_buf, conn->rx_buf + conn->rx_start, have);
        conn->rx_start = 0;
        conn->rx_end = have;
    }
    sqe = shmig_ring_sqe(conn->ring);
    io_uring_prep_recv(sqe, conn->fd, conn->rx_buf + conn->rx_end, want, 0);
    shmig_ring_tie(conn->ring, sqe, &conn->rx_op);
    conn->rx_busy = true;
}

static void rx_payload_more(ShmigConn *conn)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(conn->ring);

    conn->rx_msg.msg_iov = conn->rx_iov + conn->rx_iov_at;
    conn->rx_msg.msg_iovlen = conn->rx_iov_n - conn->rx_iov_at;
    io_uring_prep_recvmsg(sqe, conn->fd, &conn->rx_msg, MSG_WAITALL);
    shmig_ring_tie(conn->ring, sqe, &conn->rx_op);
    conn->rx_busy = true;
}

static void rx_done(ShmigOp *op, int res)
{
    ShmigConn *conn = SHMIG_CONTAINER_OF(op, ShmigConn, rx_op);

    conn->rx_busy = false;
    if (res == -EINTR || res == -EAGAIN) {
        res = conn->dead ? -ECONNRESET : res;
    } else if (res <= 0) {
        die(conn, res);
    } else {
        if (conn->count_rx) {
            shmig_count(&conn->stats->wire_bytes, res);
        }
        if (conn->rx_state == RX_PAYLOAD) {
            iov_advance(conn->rx_iov, &conn->rx_iov_at, conn->rx_iov_n, res);
        } else {
            conn->rx_end += res;
        }
    }
    rx_parse(conn);
}

static size_t rx_have(const ShmigConn *conn)
{
    return conn->rx_end - conn->rx_start;
}

/* Returns 1 to go on, 0 to wait for bytes, or -errno. */
static int parse_header(ShmigConn *conn, const char **why)
{
    int ret;

    if (rx_have(conn) < SHMIG_FRAME_BYTES) {
        rx_more(conn, SHMIG_FRAME_BYTES);
        return 0;
    }
    ret = shmig_frame_decode(conn->rx_buf + conn->rx_start, conn->rx_sequence,
                             &conn->rx_frame, why);
    if (ret < 0) {
        return ret;
    }
    if (conn->rx_frame.body > SHMIG_MAX_STREAM_BODY) {
        *why = "an offer or answer after the handshake";
        return -EPROTO;
    }
    conn->rx_sequence++;
    conn->rx_start += SHMIG_FRAME_BYTES;
    conn->rx_state = RX_BODY;
    return 1;
}

static int parse_records(ShmigConn *conn, const uint8_t *body, const char **why)
{
    for (uint32_t i = 0; i < conn->rx_frame.records; i++) {
        int ret = shmig_record_decode(body + i * SHMIG_RECORD_BYTES,
                                      &conn->records[i], why);

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* Throws the payload of the frame away. */
static void skip(ShmigConn *conn)
{
    conn->rx_skip = conn->rx_frame.payload;
    conn->rx_state = RX_SKIP;
}

static int parse_skip(ShmigConn *conn)
{
    size_t n = MIN(conn->rx_skip, rx_have(conn));

    conn->rx_start += n;
    conn->rx_skip -= n;
    if (conn->rx_skip) {
        rx_more(conn, 1);
        return 0;
    }
    conn->rx_state = RX_HEADER;
    return 1;
}

static int parse_body(ShmigConn *conn, const char **why)
{
    const ShmigFrame *frame = &conn->rx_frame;
    const uint8_t *body;
    int ret;

    if (rx_have(conn) < frame->body) {
        rx_more(conn, frame->body);
        return 0;
    }
    body = conn->rx_buf + conn->rx_start;
    conn->rx_start += frame->body;
    if (conn->skipping && frame->type != SHMIG_FRAME_ERROR) {
        skip(conn);
        return 1;
    }
    if (frame->type == SHMIG_FRAME_DATA) {
        ret = parse_records(conn, body, why);
        conn->rx_state = RX_PLACE;
    } else {
        ret = conn->ops->frame(conn->opaque, frame, body, why);
        conn->rx_state = RX_HEADER;
    }
    return ret < 0 ? ret : 1;
}

/* Moves what the buffer holds of the payload into place. */
static void take_buffered(ShmigConn *conn)
{
    while (conn->rx_iov_at < conn->rx_iov_n && rx_have(conn)) {
        struct iovec *iov = &conn->rx_iov[conn->rx_iov_at];
        size_t n = MIN(iov->iov_len, rx_have(conn));

        memcpy(iov->iov_base, conn->rx_buf + conn->rx_start, n);
        conn->rx_start += n;
        iov_advance(conn->rx_iov, &conn->rx_iov_at, conn->rx_iov_n, n);
    }
}

static void watch_done(ShmigOp *op, int res)
{
    ShmigConn *conn = SHMIG_CONTAINER_OF(op, ShmigConn, watch_op);

    conn->watch_busy = false;
    conn->peer_ended = res > 0;
    rx_parse(conn);
}

/* All that the peer sent before its end has come by then. */
static void watch_peer(ShmigConn *conn)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(conn->ring);

    io_uring_prep_poll_add(sqe, conn->fd, POLLRDHUP);
    shmig_ring_tie(conn->ring, sqe, &conn->watch_op);
    conn->watched = conn->watch_busy = true;
}

static int wait_for_room(ShmigConn *conn)
{
    if (conn->peer_ended) {
        conn->skipping = true;
        skip(conn);
        return 1;
    }
    if (!conn->watched) {
        watch_peer(conn);
    }
    return 0;
}

static int parse_place(ShmigConn *conn, const char **why)
{
    int n = conn->ops->data(conn->opaque, &conn->rx_frame, conn->records,
                            conn->rx_iov, why);

    if (n == -EAGAIN) {
        return wait_for_room(conn);
    }
    if (n < 0) {
        return n;
    }
    conn->rx_iov_at = 0;
    conn->rx_iov_n = n;
    take_buffered(conn);
    conn->rx_state = RX_PAYLOAD;
    return 1;
}

static int parse_payload(ShmigConn *conn, const char **why)
{
    int ret;

    if (conn->rx_iov_at < conn->rx_iov_n) {
        rx_payload_more(conn);
        return 0;
    }
    conn->rx_state = RX_HEADER;
    ret = conn->ops->payload(conn->opaque, why);
    return ret < 0 ? ret : 1;
}

static int discard(ShmigConn *conn)
{
    conn->rx_start = conn->rx_end = 0;
    rx_more(conn, 1);
    return 0;
}

static int parse_step(ShmigConn *conn, const char **why)
{
    switch (conn->rx_state) {
    case RX_HEADER:
        return parse_header(conn, why);
    case RX_BODY:
        return parse_body(conn, why);
    case RX_PLACE:
        return parse_place(conn, why);
    case RX_PAYLOAD:
        return parse_payload(conn, why);
    case RX_SKIP:
        return parse_skip(conn);
    case RX_DISCARD:
        return discard(conn);
    }
    g_assert_not_reached();
}

static void rx_parse(ShmigConn *conn)
{
    const char *why = NULL;
    int ret = 1;

    /* A callback may end the connection, or resume it from within. */
    if (conn->parsing) {
        return;
    }
    conn->parsing = true;
    while (ret > 0 && !conn->dead && !conn->rx_busy) {
        if (conn->rx_start == conn->rx_end) {
            conn->rx_start = conn->rx_end = 0;
        }
        ret = parse_step(conn, &why);
        if (ret == -EPROTO) {
            conn->rx_state = RX_DISCARD;
            conn->ops->broken(conn->opaque, why);
            ret = 1;
        }
    }
    conn->parsing = false;
    if (ret < 0) {
        die(conn, ret);
    }
    maybe_closed(conn);
}

void shmig_conn_start(ShmigConn *conn)
{
    rx_parse(conn);
}

void shmig_conn_resume(ShmigConn *conn)
{
    if (conn->rx_state == RX_PLACE && !conn->rx_busy) {
        rx_parse(conn);
    }
}

bool shmig_conn_ready(const ShmigConn *conn)
{
    return !conn->tx_busy && !conn->dead;
}

static void tx_submit(ShmigConn *conn)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(conn->ring);

    conn->tx_msg.msg_iov = conn->tx_iov + conn->tx_iov_at;
    conn->tx_msg.msg_iovlen = conn->tx_iov_n - conn->tx_iov_at;
    io_uring_prep_sendmsg(sqe, conn->fd, &conn->tx_msg,
                          MSG_NOSIGNAL | MSG_WAITALL);
    shmig_ring_tie(conn->ring, sqe, &conn->tx_op);
    conn->tx_busy = true;
}

static void tx_done(ShmigOp *op, int res)
{
    ShmigConn *conn = SHMIG_CONTAINER_OF(op, ShmigConn, tx_op);

    conn->tx_busy = false;
    if (res < 0 && res != -EINTR && res != -EAGAIN) {
        die(conn, res);
    }
    if (!conn->dead) {
        if (res > 0) {
            shmig_count(&conn->stats->wire_bytes, conn->count_rx ? 0 : res);
            iov_advance(conn->tx_iov, &conn->tx_iov_at, conn->tx_iov_n, res);
        }
        if (conn->tx_iov_at < conn->tx_iov_n) {
            tx_submit(conn);
        } else {
            conn->ops->sent(conn->opaque);
        }
    }
    maybe_closed(conn);
}

void shmig_conn_send(ShmigConn *conn, ShmigFrame *frame, const void *body,
                     const struct iovec *iov, unsigned n_iov)
{
    g_assert(shmig_conn_ready(conn) && n_iov <= SHMIG_CONN_MAX_IOV);
    g_assert(frame->body <= SHMIG_MAX_STREAM_BODY);
    frame->sequence = conn->tx_sequence++;
    shmig_frame_encode(frame, conn->tx_buf);
    if (body) {
        memcpy(conn->tx_buf + SHMIG_FRAME_BYTES, body, frame->body);
    }
    conn->tx_iov[0].iov_base = conn->tx_buf;
    conn->tx_iov[0].iov_len = SHMIG_FRAME_BYTES + frame->body;
    if (n_iov) {
        memcpy(conn->tx_iov + 1, iov, n_iov * sizeof(*iov));
    }
    conn->tx_iov_at = 0;
    conn->tx_iov_n = n_iov + 1;
    shmig_count(&conn->stats->frames, 1);
    tx_submit(conn);
}

void shmig_conn_send_data(ShmigConn *conn, const ShmigRecord *records,
                          unsigned n, const struct iovec *iov, unsigned n_iov)
{
    ShmigFrame frame = {
        .type = SHMIG_FRAME_DATA,
        .records = n,
        .body = n * SHMIG_RECORD_BYTES,
    };

    g_assert(n <= SHMIG_MAX_RECORDS);
    for (unsigned i = 0; i < n; i++) {
        shmig_record_encode(&records[i], conn->tx_buf + SHMIG_FRAME_BYTES +
                                             i * SHMIG_RECORD_BYTES);
        if (records[i].kind == SHMIG_RECORD_DATA) {
            frame.payload += records[i].length;
        }
    }
    g_assert(frame.payload <= SHMIG_MAX_PAYLOAD);
    shmig_conn_send(conn, &frame, NULL, iov, n_iov);
}

ShmigConn *shmig_conn_new(ShmigRing *ring, int fd, uint32_t tx_sequence,
                          uint32_t rx_sequence, const ShmigConnOps *ops,
                          void *opaque, ShmigStats *stats, bool count_rx)
{
    ShmigConn *conn = g_new0(ShmigConn, 1);

    shmig_socket_prepare(fd);
    conn->ring = ring;
    conn->fd = fd;
    conn->tx_sequence = tx_sequence;
    conn->rx_sequence = rx_sequence;
    conn->ops = ops;
    conn->opaque = opaque;
    conn->stats = stats;
    conn->count_rx = count_rx;
    conn->rx_op.done = rx_done;
    conn->tx_op.done = tx_done;
    conn->watch_op.done = watch_done;
    conn->rx_buf = g_malloc(RX_BYTES);
    conn->tx_buf = g_malloc(TX_BYTES);
    conn->records = g_new(ShmigRecord, SHMIG_MAX_RECORDS);
    return conn;
}

void shmig_conn_free(ShmigConn *conn)
{
    if (conn) {
        close(conn->fd);
        g_free(conn->rx_buf);
        g_free(conn->tx_buf);
        g_free(conn->records);
        g_free(conn);
    }
}
