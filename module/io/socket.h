/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the sockets of a session behave. */
#ifndef SHMIG_IO_SOCKET_H
#define SHMIG_IO_SOCKET_H

/*
 * Makes @fd, any connected stream socket, blocking (io_uring waits in the
 * kernel then) and, where it is TCP:
 * - small frames leave at once (TCP_NODELAY): READY behind DRAINED would
 *   otherwise wait 40 ms for the peer's delayed acknowledgement;
 * - little unsent data is kept in the kernel (TCP_NOTSENT_LOWAT), so that
 *   what is queued later and more urgent need not wait behind it;
 * - a silent peer is noticed: keepalive after 1 s, 3 probes; data that is not
 *   acknowledged for SHMIG_SOCKET_UNACKED_MS ends the connection.
 */
#define SHMIG_SOCKET_UNSENT_BYTES (256 << 10)
/*
 * Not shorter: the kernel counts a receiver that has no room as silent, even
 * if it acknowledges, and a disk may well stall for seconds.
 */
#define SHMIG_SOCKET_UNACKED_MS 30000
void shmig_socket_prepare(int fd);

#endif
