/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A framed connection on a ring: frames out one at a time, frames in through
 * callbacks, payloads received straight into place.
 *
 * Everything here runs on the ring's thread.
 */
#ifndef SHMIG_IO_CONN_H
#define SHMIG_IO_CONN_H

#include <sys/uio.h>
#include "shmig/io/link.h"
#include "shmig/io/ring.h"
#include "shmig/stats/stats.h"
#include "shmig/wire/frame.h"

/* Pieces of one payload. */
#define SHMIG_CONN_MAX_IOV SHMIG_MAX_RECORDS

typedef struct ShmigConn ShmigConn;

/*
 * A callback that returns -EPROTO sets *why to a constant sentence: broken()
 * follows.  Any other error ends the connection: closed() follows.
 */
typedef struct ShmigConnOps {
    /* A frame other than DATA came, with its body. */
    int (*frame)(void *opaque, const ShmigFrame *frame, const uint8_t *body,
                 const char **why);
    /*
     * The records of a DATA frame came, decoded but not checked: fills @iov
     * with where the payload goes and returns how many there are (0 if there
     * is no payload); or -EAGAIN: there is no room now, call again at
     * shmig_conn_resume().  It may be called once more before; and if the
     * peer ends before there is room, only an ERROR frame follows, if any.
     */
    int (*data)(void *opaque, const ShmigFrame *frame,
                const ShmigRecord *records, struct iovec *iov,
                const char **why);
    /* The payload of the DATA frame is in place. */
    int (*payload)(void *opaque, const char **why);
    /*
     * What came breaks the protocol; @why is a constant sentence.  From now on
     * whatever comes is thrown away, while sending still works: the owner may
     * say why before it closes the connection.  Once, if at all.
     */
    void (*broken)(void *opaque, const char *why);
    /* The frame of the last send was handed to the socket as a whole. */
    void (*sent)(void *opaque);
    /*
     * The connection ended: @err is 0 at the peer's end of file, else
     * -errno.  Once, and the last call.
     */
    void (*closed)(void *opaque, int err);
} ShmigConnOps;

/*
 * Takes ownership of @link.  @tx_sequence, @rx_sequence: how many frames went
 * each way during the handshake.  @stats counts bytes and frames sent and,
 * with @count_rx (bulk data comes here), those received.
 */
ShmigConn *shmig_conn_new(ShmigRing *ring, ShmigLink link, uint32_t tx_sequence,
                          uint32_t rx_sequence, const ShmigConnOps *ops,
                          void *opaque, ShmigStats *stats, bool count_rx);

/* Nothing may be in flight: after closed(). */
void shmig_conn_free(ShmigConn *conn);

/* Begins to receive. */
void shmig_conn_start(ShmigConn *conn);

/* Whether the previous frame is out and the connection stands. */
bool shmig_conn_ready(const ShmigConn *conn);

/*
 * Sends a frame; only when shmig_conn_ready().  @body (frame->body bytes) is
 * copied; what @iov points to must stay in place until sent().
 */
void shmig_conn_send(ShmigConn *conn, ShmigFrame *frame, const void *body,
                     const struct iovec *iov, unsigned n_iov);

/* The same with @n records as the body and their bytes in @iov. */
void shmig_conn_send_data(ShmigConn *conn, const ShmigRecord *records,
                          unsigned n, const struct iovec *iov, unsigned n_iov);

/* After data() returned -EAGAIN. */
void shmig_conn_resume(ShmigConn *conn);

/*
 * Nothing more is sent, which the peer hears (TLS says so, and the socket).
 * Only when shmig_conn_ready(); a second call does nothing.
 */
void shmig_conn_end(ShmigConn *conn);

/* Ends the connection; closed() comes with @err, from the ring. */
void shmig_conn_close(ShmigConn *conn, int err);

/* Any thread: shuts the socket down, so that closed() comes soon. */
void shmig_conn_shutdown(ShmigConn *conn);

#endif
