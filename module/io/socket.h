/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the sockets of a session behave. */
#ifndef SHMIG_IO_SOCKET_H
#define SHMIG_IO_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Makes @fd, any connected stream socket, blocking (io_uring waits in the
 * kernel then) and, where it is TCP:
 * - small frames leave at once (TCP_NODELAY): READY behind DRAINED would
 *   otherwise wait 40 ms for the peer's delayed acknowledgement;
 * - little unsent data is kept in the kernel (TCP_NOTSENT_LOWAT), so that
 *   what is queued later and more urgent need not wait behind it;
 * - a silent peer is noticed: it is probed each second in which nothing comes,
 *   and neither that nor data may go unanswered for SHMIG_SOCKET_UNACKED_MS
 *   (the kernel then counts no probes, but the time).
 */
#define SHMIG_SOCKET_UNSENT_BYTES (256 << 10)
/*
 * Not shorter: the kernel counts a receiver that has no room as silent, even
 * if it acknowledges, and a disk may well stall for seconds.
 */
#define SHMIG_SOCKET_UNACKED_MS 30000
void shmig_socket_prepare(int fd);

/* Whether the kernel counts what shmig_socket_is_silent() asks for: TCP. */
bool shmig_socket_can_be_silent(int fd);

/* What was heard of a peer; zeroed at first. */
typedef struct ShmigHeard {
    uint32_t segments;
    int64_t when_ns;
} ShmigHeard;

/*
 * Whether nothing came from the peer of @fd for SHMIG_SOCKET_SILENT_MS though
 * it was asked more than once: its host or the network is dead.  To be asked
 * several times a second.
 *
 * Every segment counts, not only what is new: in a network that was gone for a
 * while our data are sent again after as long a while, but the peer, which
 * hears nothing, asks each second.  A receiver without room answers too; as it
 * is asked less and less often, its death is noticed later, by up to twice the
 * time that it had no room.
 */
#define SHMIG_SOCKET_SILENT_MS 3000
bool shmig_socket_is_silent(int fd, ShmigHeard *heard, int64_t now_ns);

#endif
