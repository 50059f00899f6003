/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ctrl-C.  A signal handler has no argument, hence the one global of the
 * command.
 */
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <glib.h>

#include "clock.h"
#include "interrupt.h"

static int fd = -1;
static volatile sig_atomic_t seen;

static void on_signal(int number)
{
    const uint64_t one = 1;
    ssize_t ret;

    seen = 1;
    ret = write(fd, &one, sizeof(one));
    (void)ret; /* it cannot be full: the second signal ends the process */
}

void interrupt_init(void)
{
    struct sigaction action = {
        .sa_handler = on_signal,
        .sa_flags = SA_RESETHAND,
    };

    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(fd >= 0);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int interrupt_fd(void)
{
    return fd;
}

bool interrupted(void)
{
    return seen;
}

void interrupt_wait_until(uint64_t ns)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    uint64_t now;

    while (!seen && (now = clock_ns()) < ns) {
        struct timespec left = { (ns - now) / 1000000000u,
                                 (ns - now) % 1000000000u };

        ppoll(&pollfd, 1, &left, NULL);
    }
}
