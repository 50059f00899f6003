/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One framed connection against a raw peer, and what came of it. */
#include "conn-world.h"
#include "psk-tls.h"

#include <errno.h>
#include <sys/socket.h>

static int on_frame(void *opaque, const ShmigFrame *frame, const uint8_t *body,
                    const char **why)
{
    ConnWorld *w = opaque;

    g_assert_cmpuint(w->n_closed + w->n_broken, ==, 0);
    g_array_append_val(w->frames, *frame);
    g_byte_array_append(w->bodies, body, frame->body);
    *why = "refused by the test";
    return w->refuse;
}

static int on_data(void *opaque, const ShmigFrame *frame,
                   const ShmigRecord *records, struct iovec *iov,
                   const char **why)
{
    ConnWorld *w = opaque;
    size_t at = 0;

    g_assert_cmpuint(w->n_closed + w->n_broken, ==, 0);
    w->n_data++;
    if (w->refuse) {
        *why = "refused by the test";
        return w->refuse;
    }
    if (frame->payload > w->room_bytes) {
        return -EAGAIN;
    }
    w->placed = frame->payload;
    if (!frame->payload) {
        return 0;
    }
    for (unsigned i = 0; i < w->pieces; i++) {
        size_t n = i + 1 < w->pieces ? frame->payload / w->pieces
                                     : frame->payload - at;

        iov[i] = (struct iovec) { w->room + at, n };
        at += n;
    }
    return w->pieces;
}

static int on_payload(void *opaque, const char **why)
{
    ConnWorld *w = opaque;

    w->n_payload++;
    return 0;
}

static void on_broken(void *opaque, const char *why)
{
    ConnWorld *w = opaque;

    g_assert_cmpuint(w->n_closed + w->n_broken, ==, 0);
    w->n_broken++;
    w->why = why;
}

static void on_sent(void *opaque)
{
    ConnWorld *w = opaque;

    w->n_sent++;
}

static void on_closed(void *opaque, int err)
{
    ConnWorld *w = opaque;

    g_assert_cmpuint(w->n_closed, ==, 0);
    w->n_closed++;
    w->err = err;
}

static const ShmigConnOps ops = {
    .frame = on_frame,
    .data = on_data,
    .payload = on_payload,
    .broken = on_broken,
    .sent = on_sent,
    .closed = on_closed,
};

ConnWorld *conn_world_new(bool tls)
{
    ConnWorld *w = g_new0(ConnWorld, 1);
    g_autoptr(GError) error = NULL;
    ShmigTls *ours = NULL, *theirs = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    if (tls) {
        psk_pair(&theirs, &ours);
    }
    w->ring = shmig_ring_new(64, &error);
    g_assert_no_error(error);
    w->conn = shmig_conn_new(w->ring, (ShmigLink) { .fd = fds[0], .tls = ours },
                             0, 0, &ops, w, &w->stats, true);
    w->peer = raw_peer_tls(fds[1], theirs);
    w->frames = g_array_new(false, false, sizeof(ShmigFrame));
    w->bodies = g_byte_array_new();
    w->room_bytes = CONN_WORLD_ROOM;
    w->room = g_malloc0(CONN_WORLD_ROOM);
    w->pieces = 1;
    shmig_conn_start(w->conn);
    return w;
}

void conn_world_run_until(ConnWorld *w, const unsigned *count, unsigned n)
{
    while (*count < n) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
}

void conn_world_free(ConnWorld *w)
{
    if (!w->n_closed) {
        shmig_conn_close(w->conn, -ECANCELED);
    }
    conn_world_run_until(w, &w->n_closed, 1);
    while (shmig_ring_in_flight(w->ring)) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
    shmig_conn_free(w->conn);
    shmig_ring_free(w->ring);
    raw_peer_close(&w->peer);
    g_array_unref(w->frames);
    g_byte_array_unref(w->bodies);
    g_free(w->room);
    g_free(w);
}
