/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network dies while a stopped guest waits to be handed over: the source
 * must notice soon, and know that it keeps the guest.
 *
 * In a network of the test's own, whose only link goes down.
 */
#include "session-pair.h"
#include "shmig/base/error.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB (1u << 20)

/* Of a second each: the probes, and what a loaded machine adds. */
#define SECONDS 8

static void set_link(bool up)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq ifr = { .ifr_name = "lo" };

    ifr.ifr_flags = up ? IFF_UP : 0;
    g_assert_cmpint(ioctl(fd, SIOCSIFFLAGS, &ifr), ==, 0);
    close(fd);
}

/* What is left to do when all is drained: the link goes down. */
static void *when_drained(void *opaque)
{
    Pair *pair = opaque;

    pair_wait(pair, &pair->drained);
    set_link(false);
    return NULL;
}

static bool yes(void *opaque)
{
    return true;
}

static void *hand_over(void *opaque)
{
    Pair *pair = pair_new(2, true, MIB);
    g_autoptr(GError) error = NULL;
    GThread *thread;
    int64_t start;

    if (unshare(CLONE_NEWNET) < 0) {
        pair_free(pair);
        return g_strdup_printf("no network of its own: %s", g_strerror(errno));
    }
    set_link(true);
    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    thread = g_thread_new("drained", when_drained, pair);
    g_assert_true(shmig_source_finish(pair->source, &error));
    start = g_get_monotonic_time();
    g_assert_cmpint(shmig_source_commit(pair->source, yes, NULL, &error), ==,
                    SHMIG_COMMIT_NOT_SENT);
    g_assert_error(error, SHMIG_ERROR, SHMIG_ERROR_LOST);
    g_assert_cmpint(g_get_monotonic_time() - start, <,
                    SECONDS * G_USEC_PER_SEC);
    g_thread_join(thread);
    pair_free(pair);
    return NULL;
}

static void test_before_ready(void)
{
    g_autofree char *why =
        g_thread_join(g_thread_new("network", hand_over, NULL));

    if (why) {
        g_test_skip(why);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/silence/before-ready", test_before_ready);
    return g_test_run();
}
