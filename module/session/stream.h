/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's migration stream inside the session: one end of a socket pair on
 * this side, STREAM and CREDIT frames on channel 0.
 *
 * Each direction holds at most SHMIG_STREAM_WINDOW bytes: the sender stops
 * when it has no credit, the receiver gives credit back as QEMU reads.
 * Everything runs on the ring's thread, except shmig_stream_shutdown().
 */
#ifndef SHMIG_SESSION_STREAM_H
#define SHMIG_SESSION_STREAM_H

#include "shmig/io/ring.h"

typedef struct ShmigStream ShmigStream;

/* Takes ownership of @fd, a connected unix stream socket. */
ShmigStream *shmig_stream_new(ShmigRing *ring, int fd);
/* Nothing may be in flight. */
void shmig_stream_free(ShmigStream *stream);
void shmig_stream_start(ShmigStream *stream);
/* Any thread: makes everything in flight complete soon. */
void shmig_stream_shutdown(ShmigStream *stream);

/*
 * Bytes for the peer: their number, *@bytes and *@eof (true: these are the
 * last).  0 without eof: nothing now.  They are taken by shmig_stream_next().
 */
uint32_t shmig_stream_peek(ShmigStream *stream, const uint8_t **bytes,
                           bool *eof);
void shmig_stream_next(ShmigStream *stream);
/* QEMU closed its end and the peer was told. */
bool shmig_stream_ended(const ShmigStream *stream);
/* Credit to give the peer now; taken by the call. */
uint32_t shmig_stream_credit_due(ShmigStream *stream);

/* The connection ended: QEMU still gets what has come, then end of file. */
void shmig_stream_peer_gone(ShmigStream *stream);

/* What the peer sent; 0, or -EPROTO with *why. */
int shmig_stream_received(ShmigStream *stream, const uint8_t *bytes,
                          uint32_t length, bool eof, const char **why);
int shmig_stream_credited(ShmigStream *stream, uint64_t bytes,
                          const char **why);

#endif
