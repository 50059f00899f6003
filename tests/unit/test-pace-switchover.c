/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the one decision: numbers in, action out. */
#include <glib.h>

#include "shmig/pace/switchover.h"

#define MS 1000000ull

enum {
    CONTINUE = SHMIG_SWITCHOVER_CONTINUE,
    HARVEST = SHMIG_SWITCHOVER_HARVEST,
    SWITCH = SHMIG_SWITCHOVER_SWITCH,
};

/*
 * 1 MB/ms over the wire, 30 ms allowed, 10 ms of them fixed: 20 MB may be
 * pending, and below 5 MB the channels run dry.  Right after a harvest.
 */
static const ShmigSwitchoverInput fresh = {
    .rate_bytes_per_s = 1000000000,
    .limit_ns = 30 * MS,
    .fixed_ns = 10 * MS,
};

static ShmigSwitchoverInput aged(uint64_t age_ns, uint64_t dirty_bytes_per_s)
{
    ShmigSwitchoverInput in = fresh;

    in.harvest_age_ns = age_ns;
    in.dirty_bytes_per_s = dirty_bytes_per_s;
    return in;
}

static void test_nothing_pending(void)
{
    ShmigVerdict v = shmig_switchover_decide(&fresh);

    g_assert_cmpint(v.action, ==, SWITCH);
    g_assert_cmpuint(v.downtime_ns, ==, 10 * MS);
    g_assert_cmpuint(v.allowed_bytes, ==, 20000000);
}

/* Each kind counts alike, and so does their sum. */
static void test_limit(void)
{
    static const struct {
        uint64_t ram, disk, queued;
        int action;
        uint64_t downtime_ns;
    } cases[] = {
        { 19999999, 0, 0, SWITCH, 29999999 },
        { 20000000, 0, 0, SWITCH, 30000000 },
        { 20000001, 0, 0, CONTINUE, 30000001 },
        { 0, 20000000, 0, SWITCH, 30000000 },
        { 0, 20000001, 0, CONTINUE, 30000001 },
        { 0, 0, 20000000, SWITCH, 30000000 },
        { 0, 0, 20000001, CONTINUE, 30000001 },
        { 10000000, 6000000, 4000000, SWITCH, 30000000 },
        { 10000000, 6000000, 4000001, CONTINUE, 30000001 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShmigSwitchoverInput in = fresh;
        ShmigVerdict v;

        in.ram_bytes = cases[i].ram;
        in.disk_bytes = cases[i].disk;
        in.queued_bytes = cases[i].queued;
        v = shmig_switchover_decide(&in);
        g_assert_cmpint(v.action, ==, cases[i].action);
        g_assert_cmpuint(v.downtime_ns, ==, cases[i].downtime_ns);
    }
}

/* Numbers that leave out what the guest wrote since never switch. */
static void test_old_numbers_never_switch(void)
{
    ShmigSwitchoverInput in = aged(1, 0);

    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, HARVEST);
    in = aged(3600000 * MS, 0);
    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, HARVEST);
}

/* 10 MB pending, 100 ms since the harvest: 100 KB/ms make it 20 MB. */
static void test_unseen_writes_count(void)
{
    static const struct {
        uint64_t dirty;
        int action;
        uint64_t downtime_ns;
    } cases[] = {
        { 0, HARVEST, 20000000 },
        { 100000000, HARVEST, 30000000 },
        { 100000010, CONTINUE, 30000001 },
        { 1000000000, CONTINUE, 120000000 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShmigSwitchoverInput in = aged(100 * MS, cases[i].dirty);
        ShmigVerdict v;

        in.ram_bytes = 10000000;
        v = shmig_switchover_decide(&in);
        g_assert_cmpint(v.action, ==, cases[i].action);
        g_assert_cmpuint(v.downtime_ns, ==, cases[i].downtime_ns);
    }
}

/* However much the guest dirties: RAM that runs dry is harvested... */
static void test_harvest_before_running_dry(void)
{
    ShmigSwitchoverInput in = aged(1000 * MS, 5000000000);

    in.ram_bytes = 5000001;
    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, CONTINUE);
    in.ram_bytes = 5000000;
    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, HARVEST);
    in.queued_bytes = 20000000;
    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, HARVEST);
}

/* ... but not while the disks keep the channels busy and the end far. */
static void test_no_harvest_while_disks_are_far(void)
{
    ShmigSwitchoverInput in = aged(1000 * MS, 5000000000);

    in.disk_bytes = 20000001;
    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, CONTINUE);
}

static void test_fixed_cost_above_limit(void)
{
    ShmigSwitchoverInput in = fresh;
    ShmigVerdict v;

    in.fixed_ns = 100 * MS;
    in.ram_bytes = 7500000;
    v = shmig_switchover_decide(&in);
    g_assert_cmpint(v.action, ==, SWITCH);
    g_assert_cmpuint(v.allowed_bytes, ==, 7500000);
    g_assert_cmpuint(v.downtime_ns, ==, 107500000);
    in.ram_bytes++;
    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, CONTINUE);
}

static void test_no_downtime_allowed(void)
{
    ShmigSwitchoverInput in = fresh;

    in.limit_ns = 0;
    in.ram_bytes = 1;
    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, CONTINUE);
    in.ram_bytes = 0;
    g_assert_cmpint(shmig_switchover_decide(&in).action, ==, SWITCH);
}

static void test_rate_not_known(void)
{
    ShmigSwitchoverInput in = fresh;
    ShmigVerdict v;

    in.rate_bytes_per_s = 0;
    in.disk_bytes = 1;
    v = shmig_switchover_decide(&in);
    g_assert_cmpint(v.action, ==, CONTINUE);
    g_assert_cmpuint(v.downtime_ns, ==, UINT64_MAX);
    in.disk_bytes = 0;
    v = shmig_switchover_decide(&in);
    g_assert_cmpint(v.action, ==, SWITCH);
    g_assert_cmpuint(v.downtime_ns, ==, 10 * MS);
}

static void test_sums_do_not_wrap(void)
{
    ShmigSwitchoverInput in = aged(UINT64_MAX, UINT64_MAX);
    ShmigVerdict v;

    in.ram_bytes = UINT64_MAX;
    in.disk_bytes = UINT64_MAX;
    in.queued_bytes = 2;
    in.fixed_ns = UINT64_MAX;
    v = shmig_switchover_decide(&in);
    g_assert_cmpint(v.action, ==, CONTINUE);
    g_assert_cmpuint(v.downtime_ns, ==, UINT64_MAX);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pace/switchover/nothing-pending", test_nothing_pending);
    g_test_add_func("/pace/switchover/limit", test_limit);
    g_test_add_func("/pace/switchover/old-numbers-never-switch",
                    test_old_numbers_never_switch);
    g_test_add_func("/pace/switchover/unseen-writes-count",
                    test_unseen_writes_count);
    g_test_add_func("/pace/switchover/harvest-before-running-dry",
                    test_harvest_before_running_dry);
    g_test_add_func("/pace/switchover/no-harvest-while-disks-are-far",
                    test_no_harvest_while_disks_are_far);
    g_test_add_func("/pace/switchover/fixed-cost-above-limit",
                    test_fixed_cost_above_limit);
    g_test_add_func("/pace/switchover/no-downtime-allowed",
                    test_no_downtime_allowed);
    g_test_add_func("/pace/switchover/rate-not-known", test_rate_not_known);
    g_test_add_func("/pace/switchover/sums-do-not-wrap", test_sums_do_not_wrap);
    return g_test_run();
}
