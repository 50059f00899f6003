/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the measured rate and of what is computed from it. */
#include <glib.h>

#include "shmig/pace/rate.h"

#define MS 1000000ll
#define S (1000 * MS)

static void test_unknown_at_first(void)
{
    ShmigRate rate;

    shmig_rate_init(&rate, 5 * S, 12345);
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 0);
    shmig_rate_update(&rate, 5 * S, 12345, true);
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 0);
}

/* Known before the first slice is full. */
static void test_first_number(void)
{
    ShmigRate rate;

    shmig_rate_init(&rate, 5 * S, 1000);
    shmig_rate_update(&rate, 5 * S + 10 * MS, 1000 + 50000, true);
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 5000000);
}

static void test_idle_time_does_not_count(void)
{
    ShmigRate rate;

    shmig_rate_init(&rate, 0, 0);
    shmig_rate_update(&rate, 100 * MS, 100000, true);
    shmig_rate_update(&rate, 10 * S, 100100, false);
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 1000000);
    shmig_rate_update(&rate, 10 * S + 100 * MS, 200100, true);
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 1000000);
}

/* Two seconds at the old rate are forgotten after one at the new one. */
static void test_window_slides(void)
{
    ShmigRate rate;
    int64_t now = 0;
    uint64_t total = 0;

    shmig_rate_init(&rate, now, total);
    for (int i = 0; i < 40; i++) {
        shmig_rate_update(&rate, now += 50 * MS, total += 1000, true);
    }
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 20000);
    for (int i = 0; i < 10; i++) {
        shmig_rate_update(&rate, now += 50 * MS, total += 5000, true);
    }
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 60000);
    for (int i = 0; i < 10; i++) {
        shmig_rate_update(&rate, now += 50 * MS, total += 5000, true);
    }
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 100000);
}

static void test_clock_steps_back(void)
{
    ShmigRate rate;

    shmig_rate_init(&rate, S, 0);
    shmig_rate_update(&rate, S - MS, 500, true);
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 0);
    /* What came in between is counted with the next step forward. */
    shmig_rate_update(&rate, S + MS, 1000, true);
    g_assert_cmpuint(shmig_rate_get(&rate), ==, 1000000);
}

static void test_time(void)
{
    g_assert_cmpuint(shmig_rate_time_ns(0, 0), ==, 0);
    g_assert_cmpuint(shmig_rate_time_ns(1, 0), ==, UINT64_MAX);
    g_assert_cmpuint(shmig_rate_time_ns(1000, 1000000), ==, MS);
    g_assert_cmpuint(shmig_rate_time_ns(1, 3000000000), ==, 1);
    g_assert_cmpuint(shmig_rate_time_ns(UINT64_MAX, 1), ==, UINT64_MAX);
    g_assert_cmpuint(shmig_rate_time_ns(UINT64_MAX, UINT64_MAX), ==, S);
}

static void test_bytes(void)
{
    g_assert_cmpuint(shmig_rate_bytes(MS, 1000000), ==, 1000);
    g_assert_cmpuint(shmig_rate_bytes(MS - 1, 1000000), ==, 999);
    g_assert_cmpuint(shmig_rate_bytes(0, UINT64_MAX), ==, 0);
    g_assert_cmpuint(shmig_rate_bytes(UINT64_MAX, UINT64_MAX), ==, UINT64_MAX);
}

static void test_eta(void)
{
    g_assert_cmpuint(shmig_rate_eta_ns(0, 0, 5), ==, 0);
    g_assert_cmpuint(shmig_rate_eta_ns(1000, 1000, 0), ==, S);
    g_assert_cmpuint(shmig_rate_eta_ns(1000, 1000, 500), ==, 2 * S);
    g_assert_cmpuint(shmig_rate_eta_ns(1000, 1000, 999), ==, 1000 * S);
    g_assert_cmpuint(shmig_rate_eta_ns(1000, 1000, 1000), ==, UINT64_MAX);
    g_assert_cmpuint(shmig_rate_eta_ns(1000, 1000, 1001), ==, UINT64_MAX);
    g_assert_cmpuint(shmig_rate_eta_ns(1, 0, 0), ==, UINT64_MAX);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pace/rate/unknown-at-first", test_unknown_at_first);
    g_test_add_func("/pace/rate/first-number", test_first_number);
    g_test_add_func("/pace/rate/idle-time-does-not-count",
                    test_idle_time_does_not_count);
    g_test_add_func("/pace/rate/window-slides", test_window_slides);
    g_test_add_func("/pace/rate/clock-steps-back", test_clock_steps_back);
    g_test_add_func("/pace/rate/time", test_time);
    g_test_add_func("/pace/rate/bytes", test_bytes);
    g_test_add_func("/pace/rate/eta", test_eta);
    return g_test_run();
}
