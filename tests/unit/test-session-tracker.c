/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The source's session starts its dirty tracker, and stops it, once each. */
#include "fake-tracker.h"
#include "session-pair.h"

#include <string.h>

#define MIB (1u << 20)

static Pair *pair_with_fake(void)
{
    Pair *pair = pair_new(2, false, 8 * MIB);
    g_autoptr(GError) error = NULL;

    memset(pair->source_ram, 0x55, 8 * MIB);
    pair->tracker = fake_tracker_new(NULL);
    g_assert_true(pair_start(pair, &error));
    return pair;
}

static void test_stopped_after_commit(void)
{
    Pair *pair = pair_with_fake();
    g_autoptr(GError) error = NULL;

    pair_start_ram(pair);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_true(fake_tracker_running(pair->tracker));
    shmig_source_stop_ram(pair->source);
    g_assert_false(fake_tracker_running(pair->tracker));
    shmig_source_stop_ram(pair->source);
    g_assert_cmpuint(fake_tracker_calls(pair->tracker, FAKE_TRACKER_STOP), ==,
                     1);
    pair_free(pair);
}

/* Nobody else's tracking is switched off by a session that began none. */
static void test_never_started(void)
{
    Pair *pair = pair_with_fake();

    shmig_source_abort(pair->source, "enough");
    shmig_source_stop_ram(pair->source);
    g_assert_cmpuint(fake_tracker_calls(pair->tracker, FAKE_TRACKER_STOP), ==,
                     0);
    pair_free(pair);
}

/* The fake's free() insists on a stop(). */
static void test_stopped_by_free(void)
{
    Pair *pair = pair_with_fake();

    pair_start_ram(pair);
    pair_free(pair);
}

typedef struct Moment {
    int inside; /* a channel is in clear() */
    int stopping;
} Moment;

static void hold_clear(void *opaque)
{
    Moment *m = opaque;

    __atomic_store_n(&m->inside, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&m->stopping, __ATOMIC_ACQUIRE)) {
        g_thread_yield();
    }
    /* A stop() that does not wait gets its chance; then the fake looks. */
    for (int i = 0; i < 1000; i++) {
        g_thread_yield();
    }
}

static void test_stop_waits_for_clear(void)
{
    Pair *pair = pair_with_fake();
    Moment moment = { 0 };

    fake_tracker_on_clear(pair->tracker, hold_clear, &moment);
    pair_start_ram(pair);
    while (!__atomic_load_n(&moment.inside, __ATOMIC_ACQUIRE)) {
        shmig_source_wait(pair->source, 0, 1, NULL);
    }
    shmig_source_abort(pair->source, "enough");
    __atomic_store_n(&moment.stopping, 1, __ATOMIC_RELEASE);
    shmig_source_stop_ram(pair->source);
    g_assert_cmpuint(fake_tracker_calls(pair->tracker, FAKE_TRACKER_STOP), ==,
                     1);
    pair_free(pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/tracker/after-commit", test_stopped_after_commit);
    g_test_add_func("/session/tracker/never-started", test_never_started);
    g_test_add_func("/session/tracker/by-free", test_stopped_by_free);
    g_test_add_func("/session/tracker/waits-for-clear",
                    test_stop_waits_for_clear);
    return g_test_run();
}
