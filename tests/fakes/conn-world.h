/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One framed connection against a raw peer, and what came of it. */
#ifndef TESTS_FAKES_CONN_WORLD_H
#define TESTS_FAKES_CONN_WORLD_H

#include "raw-peer.h"
#include "shmig/io/conn.h"

#define CONN_WORLD_ROOM (1u << 20)

typedef struct ConnWorld {
    ShmigRing *ring;
    ShmigConn *conn;
    RawPeer peer;
    ShmigStats stats;

    /* What came; @room is where payloads go, 0 bytes of room: -EAGAIN. */
    GArray *frames;
    GByteArray *bodies;
    uint8_t *room;
    size_t room_bytes, placed;
    unsigned pieces; /* into how many the payload is split */
    int refuse;      /* what callbacks return, if not 0 */
    unsigned n_data, n_payload, n_sent, n_broken, n_closed;
    const char *why;
    int err;
} ConnWorld;

/* @tls: both run inside TLS. */
ConnWorld *conn_world_new(bool tls);
/* Runs the ring until *@count, one of the counters, is @n. */
void conn_world_run_until(ConnWorld *w, const unsigned *count, unsigned n);
/* Closes the connection, if nobody has. */
void conn_world_free(ConnWorld *w);

#endif
