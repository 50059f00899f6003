/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the sockets of a session behave. */
#include "shmig/io/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <linux/tcp.h> /* the C library's tcp_info has not all of it */
#include <sys/socket.h>

/* Options that a kind of socket lacks are not missed. */
static void set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof(value));
}

void shmig_socket_prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && (flags & O_NONBLOCK)) {
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, SHMIG_SOCKET_UNSENT_BYTES);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, SHMIG_SOCKET_UNACKED_MS);
}

static bool get_info(int fd, struct tcp_info *info)
{
    socklen_t len = sizeof(*info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

bool shmig_socket_can_be_silent(int fd)
{
    struct tcp_info info;

    return get_info(fd, &info);
}

bool shmig_socket_is_silent(int fd, ShmigHeard *heard, int64_t now_ns)
{
    struct tcp_info info = { 0 };

    if (!get_info(fd, &info)) {
        return false;
    }
    if (!heard->when_ns || heard->segments != info.tcpi_segs_in) {
        heard->segments = info.tcpi_segs_in;
        heard->when_ns = now_ns;
    }
    return (info.tcpi_retransmits > 1 || info.tcpi_probes > 1) &&
           now_ns - heard->when_ns >= SHMIG_SOCKET_SILENT_MS * INT64_C(1000000);
}
