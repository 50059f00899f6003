/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network dies, while data are copied or while a stopped guest waits to be
 * handed over: both sides must notice soon.  A network that is back in time,
 * and a destination whose disk is slow, are not taken for a dead one.
 *
 * In a network of the test's own, whose only link goes down.  Here it is time
 * itself that has to pass.
 */
#include "fake-disk.h"
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
/* The same, if the probes had become rare. */
#define SECONDS_STALLED 14
/* What is sent in an instant, and what takes longer than any test. */
#define RAM_BYTES (32 * MIB)
#define SLOW_BYTES_PER_S (2 * MIB)
#define OUTAGE_US 1500000
#define STALL_MS 6000

static void set_link(bool up)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq ifr = { .ifr_name = "lo" };

    ifr.ifr_flags = up ? IFF_UP : 0;
    g_assert_cmpint(ioctl(fd, SIOCSIFFLAGS, &ifr), ==, 0);
    close(fd);
}

static uint64_t pending(Pair *pair)
{
    ShmigPending p;

    shmig_source_pending(pair->source, &p);
    return p.ram_bytes + p.disk_bytes + p.queued_bytes;
}

/* Waits until something was copied, and much is left. */
static void copy_some(Pair *pair)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(pair_settle(pair, RAM_BYTES - MIB, &error));
    g_assert_cmpuint(pending(pair), >, RAM_BYTES / 2);
}

static void start_slow_copy(Pair *pair)
{
    g_autoptr(GError) error = NULL;

    memset(pair->source_ram, 0x5a, RAM_BYTES);
    g_assert_true(pair_start(pair, &error));
    shmig_source_set_bandwidth(pair->source, SLOW_BYTES_PER_S);
    pair_start_ram(pair);
    copy_some(pair);
}

/* Both sides say why, and when they should. */
static void assert_noticed(Pair *pair, unsigned seconds)
{
    int64_t start = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;

    g_assert_false(shmig_source_wait(pair->source, 1, seconds * 2000, &error));
    g_assert_error(error, SHMIG_ERROR, SHMIG_ERROR_LOST);
    g_assert_nonnull(strstr(error->message, "not heard of"));
    g_assert_nonnull(strstr(pair_dest_failure(pair), "not heard of"));
    g_assert_cmpint(g_get_monotonic_time() - start, <,
                    seconds * G_USEC_PER_SEC);
}

static void dead_in_mid_copy(void)
{
    Pair *pair = pair_new(2, true, RAM_BYTES);

    start_slow_copy(pair);
    set_link(false);
    assert_noticed(pair, SECONDS);
    pair_free(pair);
}

static void back_in_time(void)
{
    Pair *pair = pair_new(2, true, RAM_BYTES);
    g_autoptr(GError) error = NULL;

    start_slow_copy(pair);
    set_link(false);
    g_usleep(OUTAGE_US);
    set_link(true);
    shmig_source_set_bandwidth(pair->source, 0);
    g_assert_true(pair_settle(pair, 1, &error));
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_cmpmem(pair->source_ram, RAM_BYTES, pair->dest_ram, RAM_BYTES);
    pair_free(pair);
}

/* --- a destination that takes nothing --- */

typedef struct Stalled {
    Pair *pair;
    FakeDisk *source, *dest;
} Stalled;

static void stalled_start(Stalled *s)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *bytes = g_malloc(RAM_BYTES * 4);

    memset(bytes, 0xa5, RAM_BYTES * 4);
    s->pair = pair_new(2, true, MIB);
    s->source = fake_disk_new(RAM_BYTES * 4);
    s->dest = fake_disk_new(RAM_BYTES * 4);
    fake_disk_poke(s->source, 0, RAM_BYTES * 4, bytes);
    fake_disk_set_mode(s->dest, FAKE_DISK_HELD);
    s->pair->n_disks = 1;
    s->pair->disk_bytes = RAM_BYTES * 4;
    s->pair->source_disk[0] = fake_disk_base(s->source);
    s->pair->dest_disk[0] = fake_disk_base(s->dest);
    g_assert_true(pair_start(s->pair, &error));
}

static void stalled_end(Stalled *s)
{
    fake_disk_set_mode(s->dest, FAKE_DISK_PROMPT);
    pair_free(s->pair);
    fake_disk_unref(s->source);
    fake_disk_unref(s->dest);
}

static void disk_is_slow(void)
{
    Stalled s;
    g_autoptr(GError) error = NULL;

    stalled_start(&s);
    g_assert_true(shmig_source_wait(s.pair->source, 1, STALL_MS, &error));
    g_assert_cmpuint(pending(s.pair), >, RAM_BYTES);
    g_assert_false(s.pair->failed);
    fake_disk_set_mode(s.dest, FAKE_DISK_PROMPT);
    pair_start_ram(s.pair);
    g_assert_true(pair_settle(s.pair, 1, &error));
    g_assert_cmpint(pair_switch_over(s.pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_true(fake_disk_equal(s.source, s.dest));
    stalled_end(&s);
}

static void dead_while_disk_is_slow(void)
{
    Stalled s;
    g_autoptr(GError) error = NULL;

    stalled_start(&s);
    g_assert_true(shmig_source_wait(s.pair->source, 1, 2000, &error));
    set_link(false);
    assert_noticed(s.pair, SECONDS_STALLED);
    stalled_end(&s);
}

/* --- a stopped guest --- */

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

static void before_ready(void)
{
    Pair *pair = pair_new(2, true, MIB);
    g_autoptr(GError) error = NULL;
    GThread *thread;
    int64_t start;

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
}

/* --- a network of their own --- */

typedef void Test(void);

static void *in_network(void *opaque)
{
    Test *const *test = opaque;

    if (unshare(CLONE_NEWNET) < 0) {
        return g_strdup_printf("no network of its own: %s", g_strerror(errno));
    }
    set_link(true);
    (*test)();
    return NULL;
}

static void run(const void *test)
{
    g_autofree char *why =
        g_thread_join(g_thread_new("network", in_network, (void *)test));

    if (why) {
        g_test_skip(why);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        Test *test;
    } tests[] = {
        { "/session/silence/copying", dead_in_mid_copy },
        { "/session/silence/back-in-time", back_in_time },
        { "/session/silence/slow-disk", disk_is_slow },
        { "/session/silence/slow-disk-and-dead", dead_while_disk_is_slow },
        { "/session/silence/before-ready", before_ready },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add_data_func(tests[i].path, &tests[i].test, run);
    }
    return g_test_run();
}
