/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of how sockets are prepared. */
#include "shmig/io/socket.h"

#include <fcntl.h>
#include <glib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static int get(int fd, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);

    g_assert_cmpint(getsockopt(fd, level, option, &value, &len), ==, 0);
    return value;
}

/* Nagle made each hand-over 40 ms longer. */
static void test_tcp(void)
{
    ShmigHeard heard = { 0 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    shmig_socket_prepare(fd);
    g_assert_cmpint(get(fd, IPPROTO_TCP, TCP_NODELAY), ==, 1);
    g_assert_cmpint(get(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), ==,
                    SHMIG_SOCKET_UNSENT_BYTES);
    g_assert_cmpint(get(fd, SOL_SOCKET, SO_KEEPALIVE), ==, 1);
    g_assert_cmpint(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), ==,
                    SHMIG_SOCKET_UNACKED_MS);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, 0);
    g_assert_false(shmig_socket_is_silent(fd, &heard, 1));
    g_assert_true(shmig_socket_can_be_silent(fd));
    close(fd);
}

static void test_unix(void)
{
    ShmigHeard heard = { 0 };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    shmig_socket_prepare(fd);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, 0);
    g_assert_false(shmig_socket_can_be_silent(fd));
    g_assert_false(shmig_socket_is_silent(fd, &heard, 1));
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/io/socket/tcp", test_tcp);
    g_test_add_func("/io/socket/unix", test_unix);
    return g_test_run();
}
