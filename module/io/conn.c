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
 * With TLS, what is received goes into its buffer and is decrypted from there
 * into the very same places; what is sent is encrypted into another, and goes
 * out in pieces of that size.  Without, nothing is copied.
 *
 * Ending: the first error or end of file marks the connection dead and shuts
 * the socket down, which completes what is in flight; closed() is called
 * when nothing is.
 */
#include "shmig/io/conn.h"
#include "shmig/base/container.h"
#include "shmig/io/iov.h"
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
    ShmigTls *tls; /* or NULL */

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
    bool tx_ended; /* nothing more is sent */
    uint32_t tx_sequence;
    uint8_t *tx_buf;
    struct iovec tx_iov[SHMIG_CONN_MAX_IOV + 1];
    unsigned tx_iov_at, tx_iov_n;
    struct msghdr tx_msg;
};

static void rx_parse(ShmigConn *conn);

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

static void rx_submit_tls(ShmigConn *conn)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(conn->ring);
    size_t bytes;
    void *p = shmig_tls_space(conn->tls, &bytes);

    io_uring_prep_recv(sqe, conn->fd, p, bytes, 0);
    shmig_ring_tie(conn->ring, sqe, &conn->rx_op);
    conn->rx_busy = true;
}

/*
 * How many of up to @bytes there are at once; if none, more is received, or
 * it is the end.
 */
static size_t rx_decrypt(ShmigConn *conn, void *to, size_t bytes)
{
    ssize_t n = conn->tls->ops->decrypt(conn->tls, to, bytes);

    if (n == -EAGAIN) {
        rx_submit_tls(conn);
    } else if (n <= 0) {
        die(conn, n);
    }
    return MAX(n, 0);
}

/*
 * Receives at least one more byte, aiming at @need in the buffer: 1 if it is
 * there, 0 if it is waited for.
 */
static int rx_more(ShmigConn *conn, size_t need)
{
    size_t have = conn->rx_end - conn->rx_start;
    struct io_uring_sqe *sqe;
    size_t want = MAX(READ_AHEAD, need) - have;

    if (conn->rx_start && conn->rx_end + want > RX_BYTES) {
        memmove(conn->rx_buf, conn->rx_buf + conn->rx_start, have);
        conn->rx_start = 0;
        conn->rx_end = have;
    }
    if (conn->tls) {
        size_t n = rx_decrypt(conn, conn->rx_buf + conn->rx_end, want);

        conn->rx_end += n;
        return n > 0;
    }
    sqe = shmig_ring_sqe(conn->ring);
    io_uring_prep_recv(sqe, conn->fd, conn->rx_buf + conn->rx_end, want, 0);
    shmig_ring_tie(conn->ring, sqe, &conn->rx_op);
    conn->rx_busy = true;
    return 0;
}

static int rx_payload_more(ShmigConn *conn)
{
    struct io_uring_sqe *sqe;

    if (conn->tls) {
        struct iovec *iov = &conn->rx_iov[conn->rx_iov_at];
        size_t n = rx_decrypt(conn, iov->iov_base, iov->iov_len);

        shmig_iov_advance(conn->rx_iov, &conn->rx_iov_at, conn->rx_iov_n, n);
        return n > 0;
    }
    sqe = shmig_ring_sqe(conn->ring);
    conn->rx_msg.msg_iov = conn->rx_iov + conn->rx_iov_at;
    conn->rx_msg.msg_iovlen = conn->rx_iov_n - conn->rx_iov_at;
    io_uring_prep_recvmsg(sqe, conn->fd, &conn->rx_msg, MSG_WAITALL);
    shmig_ring_tie(conn->ring, sqe, &conn->rx_op);
    conn->rx_busy = true;
    return 0;
}

/* What was received counts where it went. */
static void rx_took(ShmigConn *conn, int res)
{
    if (conn->count_rx) {
        shmig_count(&conn->stats->wire_bytes, res);
    }
    if (conn->tls) {
        shmig_tls_received(conn->tls, res);
    } else if (conn->rx_state == RX_PAYLOAD) {
        shmig_iov_advance(conn->rx_iov, &conn->rx_iov_at, conn->rx_iov_n, res);
    } else {
        conn->rx_end += res;
    }
}

static void rx_done(ShmigOp *op, int res)
{
    ShmigConn *conn = SHMIG_CONTAINER_OF(op, ShmigConn, rx_op);

    conn->rx_busy = false;
    if (res == -EINTR || res == -EAGAIN) {
        res = conn->dead ? -ECONNRESET : res;
    } else if (res <= 0) {
        /* The end without TLS's own can be anybody's doing. */
        die(conn, res == 0 && conn->tls ? -ECONNRESET : res);
    } else {
        rx_took(conn, res);
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
        return rx_more(conn, SHMIG_FRAME_BYTES);
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
        return rx_more(conn, 1);
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
        return rx_more(conn, frame->body);
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
        shmig_iov_advance(conn->rx_iov, &conn->rx_iov_at, conn->rx_iov_n, n);
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
        return rx_payload_more(conn);
    }
    conn->rx_state = RX_HEADER;
    ret = conn->ops->payload(conn->opaque, why);
    return ret < 0 ? ret : 1;
}

static int discard(ShmigConn *conn)
{
    conn->rx_start = conn->rx_end = 0;
    return rx_more(conn, 1);
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

/* Encrypts what has room, and sends it. */
static void tx_submit_tls(ShmigConn *conn)
{
    int err = shmig_tls_encrypt(conn->tls, conn->tx_iov, &conn->tx_iov_at,
                                conn->tx_iov_n);
    struct io_uring_sqe *sqe;
    const void *p;
    size_t bytes;

    if (err < 0) {
        die(conn, err); /* what is being received ends, and says so */
        return;
    }
    p = shmig_tls_unsent(conn->tls, &bytes);
    sqe = shmig_ring_sqe(conn->ring);
    io_uring_prep_send(sqe, conn->fd, p, bytes, MSG_NOSIGNAL | MSG_WAITALL);
    shmig_ring_tie(conn->ring, sqe, &conn->tx_op);
    conn->tx_busy = true;
}

static void tx_submit(ShmigConn *conn)
{
    struct io_uring_sqe *sqe;

    if (conn->tls) {
        tx_submit_tls(conn);
        return;
    }
    sqe = shmig_ring_sqe(conn->ring);
    conn->tx_msg.msg_iov = conn->tx_iov + conn->tx_iov_at;
    conn->tx_msg.msg_iovlen = conn->tx_iov_n - conn->tx_iov_at;
    io_uring_prep_sendmsg(sqe, conn->fd, &conn->tx_msg,
                          MSG_NOSIGNAL | MSG_WAITALL);
    shmig_ring_tie(conn->ring, sqe, &conn->tx_op);
    conn->tx_busy = true;
}

static bool tx_has_more(const ShmigConn *conn)
{
    size_t unsent = 0;

    if (conn->tls) {
        shmig_tls_unsent(conn->tls, &unsent);
    }
    return unsent || conn->tx_iov_at < conn->tx_iov_n;
}

static void tx_took(ShmigConn *conn, int res)
{
    shmig_count(&conn->stats->wire_bytes, conn->count_rx ? 0 : res);
    if (conn->tls) {
        shmig_tls_sent(conn->tls, res);
    } else {
        shmig_iov_advance(conn->tx_iov, &conn->tx_iov_at, conn->tx_iov_n, res);
    }
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
            tx_took(conn, res);
        }
        if (tx_has_more(conn)) {
            tx_submit(conn);
        } else if (conn->tx_ended) {
            shutdown(conn->fd, SHUT_WR);
        } else {
            conn->ops->sent(conn->opaque);
        }
    }
    maybe_closed(conn);
}

void shmig_conn_end(ShmigConn *conn)
{
    if (conn->tx_ended) {
        return;
    }
    g_assert(shmig_conn_ready(conn));
    conn->tx_ended = true;
    if (conn->tls && conn->tls->ops->bye(conn->tls) == 0) {
        tx_submit(conn);
    } else {
        shutdown(conn->fd, SHUT_WR);
    }
}

void shmig_conn_send(ShmigConn *conn, ShmigFrame *frame, const void *body,
                     const struct iovec *iov, unsigned n_iov)
{
    g_assert(shmig_conn_ready(conn) && !conn->tx_ended);
    g_assert(n_iov <= SHMIG_CONN_MAX_IOV);
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

ShmigConn *shmig_conn_new(ShmigRing *ring, ShmigLink link, uint32_t tx_sequence,
                          uint32_t rx_sequence, const ShmigConnOps *ops,
                          void *opaque, ShmigStats *stats, bool count_rx)
{
    ShmigConn *conn = g_new0(ShmigConn, 1);

    shmig_socket_prepare(link.fd);
    conn->ring = ring;
    conn->fd = link.fd;
    conn->tls = link.tls;
    if (conn->tls) {
        shmig_tls_settle(conn->tls, count_rx);
    }
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
        shmig_tls_free(conn->tls);
        g_free(conn->rx_buf);
        g_free(conn->tx_buf);
        g_free(conn->records);
        g_free(conn);
    }
}
