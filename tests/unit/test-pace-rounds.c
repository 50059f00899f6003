/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the rounds: when to harvest, when one more is worth it. */
#include <glib.h>

#include "shmig/pace/rounds.h"

#define MS 1000000ll
#define MB 1000000ull

/* 1 MB/ms on the wire; 5 MB are low, 1 MB is next to nothing. */
static ShmigRounds rounds_at_1_gb_s(uint64_t pending_bytes)
{
    ShmigRounds r;

    shmig_rounds_init(&r, 0, 0);
    for (int i = 1; i <= 20; i++) {
        shmig_rounds_sent(&r, i * 50 * MS, i * 50 * MB, true);
    }
    shmig_rounds_start_ram(&r, 1000 * MS, pending_bytes);
    return r;
}

static ShmigSwitchoverAction next(const ShmigRounds *r, int64_t ms,
                                  uint64_t ram_bytes)
{
    ShmigRoundsInput in = {
        .now_ns = ms * MS,
        .ram_bytes = ram_bytes,
        .limit_ns = 300 * MS,
        .fixed_ns = 10 * MS,
    };

    return shmig_rounds_next(r, &in).action;
}

static void test_no_look_while_much_is_pending(void)
{
    ShmigRounds r = rounds_at_1_gb_s(1000 * MB);

    g_assert_cmpint(next(&r, 1900, 100 * MB), ==, SHMIG_SWITCHOVER_CONTINUE);
    g_assert_cmpint(next(&r, 1995, 5 * MB + 1), ==, SHMIG_SWITCHOVER_CONTINUE);
    g_assert_cmpint(next(&r, 1995, 5 * MB), ==, SHMIG_SWITCHOVER_HARVEST);
}

/* Guest writes that keep the queues filled must not put it off for ever. */
static void test_what_never_gets_low_is_looked_at(void)
{
    ShmigRounds r = rounds_at_1_gb_s(100 * MB);

    g_assert_cmpint(next(&r, 1399, 20 * MB), ==, SHMIG_SWITCHOVER_CONTINUE);
    g_assert_cmpint(next(&r, 1400, 20 * MB), ==, SHMIG_SWITCHOVER_HARVEST);
}

static void test_shrinking_rounds_go_on(void)
{
    ShmigRounds r = rounds_at_1_gb_s(1000 * MB);

    shmig_rounds_harvested(&r, 2000 * MS, 200 * MB, 200 * MB);
    g_assert_cmpint(next(&r, 2000, 200 * MB), ==, SHMIG_SWITCHOVER_CONTINUE);
    shmig_rounds_sent(&r, 2200 * MS, 2200 * MB, true);
    shmig_rounds_harvested(&r, 2200 * MS, 40 * MB, 40 * MB);
    g_assert_cmpint(next(&r, 2200, 40 * MB), ==, SHMIG_SWITCHOVER_CONTINUE);
    shmig_rounds_sent(&r, 2240 * MS, 2240 * MB, true);
    shmig_rounds_harvested(&r, 2240 * MS, MB, MB);
    g_assert_cmpint(next(&r, 2240, MB), ==, SHMIG_SWITCHOVER_SWITCH);
}

static void test_rounds_that_do_not_shrink_end(void)
{
    ShmigRounds r = rounds_at_1_gb_s(1000 * MB);

    shmig_rounds_harvested(&r, 2000 * MS, 40 * MB, 40 * MB);
    shmig_rounds_sent(&r, 2040 * MS, 2040 * MB, true);
    shmig_rounds_harvested(&r, 2040 * MS, 31 * MB, 31 * MB);
    g_assert_cmpint(next(&r, 2040, 31 * MB), ==, SHMIG_SWITCHOVER_SWITCH);
}

static void test_above_the_limit_never_switches(void)
{
    ShmigRounds r = rounds_at_1_gb_s(1000 * MB);

    for (int i = 0; i < 10; i++) {
        int64_t ms = 2000 + 500 * i;

        shmig_rounds_harvested(&r, ms * MS, 400 * MB, 400 * MB);
        g_assert_cmpint(next(&r, ms, 400 * MB), ==, SHMIG_SWITCHOVER_CONTINUE);
        shmig_rounds_sent(&r, (ms + 400) * MS, (ms + 400) * MB, true);
    }
}

static void test_idle_guest_switches_after_one_look(void)
{
    ShmigRounds r = rounds_at_1_gb_s(1000 * MB);

    shmig_rounds_harvested(&r, 2000 * MS, 0, 0);
    g_assert_cmpint(next(&r, 2000, 0), ==, SHMIG_SWITCHOVER_SWITCH);
    shmig_rounds_sent(&r, 2001 * MS, 1000 * MB, false);
    g_assert_cmpint(next(&r, 2001, 0), ==, SHMIG_SWITCHOVER_HARVEST);
}

/* Two looks at the same 4 MB would pass for rounds that do not shrink. */
static void test_small_rounds_are_carried_out(void)
{
    ShmigRounds r = rounds_at_1_gb_s(1000 * MB);

    shmig_rounds_harvested(&r, 2000 * MS, 4 * MB, 4 * MB);
    shmig_rounds_sent(&r, 2001 * MS, 2001 * MB, true);
    g_assert_cmpint(next(&r, 2001, 3 * MB), ==, SHMIG_SWITCHOVER_CONTINUE);
    shmig_rounds_sent(&r, 2003 * MS, 2003 * MB, true);
    g_assert_cmpint(next(&r, 2003, MB), ==, SHMIG_SWITCHOVER_HARVEST);
}

/* Nothing was sent yet: no rate is known. */
static void test_unknown_rate(void)
{
    ShmigRounds r;

    shmig_rounds_init(&r, 0, 0);
    shmig_rounds_start_ram(&r, 0, 1000 * MB);
    g_assert_cmpint(next(&r, 10, 1000 * MB), ==, SHMIG_SWITCHOVER_CONTINUE);
    g_assert_cmpint(next(&r, 10, 0), ==, SHMIG_SWITCHOVER_HARVEST);
    shmig_rounds_harvested(&r, 11 * MS, 0, 0);
    g_assert_cmpint(next(&r, 11, 0), ==, SHMIG_SWITCHOVER_SWITCH);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pace/rounds/no-look-while-much-is-pending",
                    test_no_look_while_much_is_pending);
    g_test_add_func("/pace/rounds/what-never-gets-low-is-looked-at",
                    test_what_never_gets_low_is_looked_at);
    g_test_add_func("/pace/rounds/shrinking-rounds-go-on",
                    test_shrinking_rounds_go_on);
    g_test_add_func("/pace/rounds/rounds-that-do-not-shrink-end",
                    test_rounds_that_do_not_shrink_end);
    g_test_add_func("/pace/rounds/above-the-limit-never-switches",
                    test_above_the_limit_never_switches);
    g_test_add_func("/pace/rounds/idle-guest-switches-after-one-look",
                    test_idle_guest_switches_after_one_look);
    g_test_add_func("/pace/rounds/small-rounds-are-carried-out",
                    test_small_rounds_are_carried_out);
    g_test_add_func("/pace/rounds/unknown-rate", test_unknown_rate);
    return g_test_run();
}
