/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocking exchange of hellos and frames with a deadline, for the handshake,
 * before a connection is given to its channel's ring.
 *
 * A shutdown(2) of the socket by another thread ends a wait at once.
 * Deadlines are on the clock of g_get_monotonic_time(), in microseconds.
 */
#ifndef SHMIG_IO_SYNC_H
#define SHMIG_IO_SYNC_H

#include <glib.h>
#include "shmig/io/link.h"
#include "shmig/wire/frame.h"

bool shmig_sync_write(const ShmigLink *link, const void *buf, size_t bytes,
                      int64_t deadline_us, GError **errp);
bool shmig_sync_read(const ShmigLink *link, void *buf, size_t bytes,
                     int64_t deadline_us, GError **errp);

/* The first byte that came on the socket, which stays there. */
bool shmig_sync_peek(const ShmigLink *link, uint8_t *byte, int64_t deadline_us,
                     GError **errp);

/* The handshake of link->tls, with a peer that is not checked yet. */
bool shmig_sync_handshake(const ShmigLink *link, int64_t deadline_us,
                          GError **errp);

/* Nothing more is sent, which the peer hears. */
void shmig_sync_end(const ShmigLink *link, int64_t deadline_us);

bool shmig_sync_send_hello(const ShmigLink *link, const ShmigHello *hello,
                           int64_t deadline_us, GError **errp);
bool shmig_sync_recv_hello(const ShmigLink *link, ShmigHello *hello,
                           int64_t deadline_us, GError **errp);

/* Sends a frame whose body is @body (NULL: none). */
bool shmig_sync_send_frame(const ShmigLink *link, uint8_t type,
                           uint32_t sequence, GBytes *body, int64_t deadline_us,
                           GError **errp);

/*
 * Receives a frame of @type and returns its body.  An ERROR frame becomes
 * a SHMIG_ERROR_PEER error with the peer's sentence.
 */
GBytes *shmig_sync_recv_frame(const ShmigLink *link, uint8_t type,
                              uint32_t sequence, int64_t deadline_us,
                              GError **errp);

#endif
