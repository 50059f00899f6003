/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The generic tracker, and the fake that stands in front of it. */
#include <errno.h>

#include "fake-tracker.h"
#include "shmig/base/error.h"
#include "shmig/dirty/chunks.h"
#include "shmig/dirty/generic.h"

#define PAGES (2 * SHMIG_CHUNK_PAGES + 10)

/* A log of one page, and what was asked of it. */
typedef struct Log {
    ShmigRegion *region;
    ShmigTracker *tracker;
    uint64_t page; /* the one that is written; UINT64_MAX: none */
    unsigned syncs, lasts, arms, stops;
    uint64_t armed_first, armed_n;
    uint64_t take_in_arm; /* a channel takes this page meanwhile */
    int error;
} Log;

static bool log_start(void *opaque, GError **errp)
{
    return true;
}

static int log_sync(void *opaque, bool last)
{
    Log *log = opaque;

    log->syncs++;
    log->lasts += last;
    return -log->error;
}

static int log_collect(void *opaque, ShmigRegion *region,
                       ShmigCollector *collector)
{
    Log *log = opaque;

    shmig_collect_pages(collector, log->page, log->page != UINT64_MAX);
    log->page = UINT64_MAX;
    return 0;
}

static int log_arm(void *opaque, ShmigRegion *region, uint64_t first,
                   uint64_t n)
{
    Log *log = opaque;

    log->arms++;
    log->armed_first = first;
    log->armed_n = n;
    shmig_region_clear(region, log->take_in_arm, 1);
    return -log->error;
}

static void log_stop(void *opaque)
{
    Log *log = opaque;

    log->stops++;
}

static const ShmigGenericOps log_ops = {
    .start = log_start,
    .sync = log_sync,
    .collect = log_collect,
    .arm = log_arm,
    .stop = log_stop,
};

static void setup(Log *log, gconstpointer unused)
{
    log->region = shmig_region_new(3, SHMIG_REGION_RAM, PAGES * 4096ull);
    log->tracker = shmig_generic_new(&log_ops, log, &log->region, 1);
    log->page = log->take_in_arm = UINT64_MAX;
    g_assert_true(log->tracker->ops->start(log->tracker, NULL));
}

static void teardown(Log *log, gconstpointer unused)
{
    log->tracker->ops->free(log->tracker);
    shmig_region_free(log->region);
}

static int64_t harvest(Log *log, bool last)
{
    return log->tracker->ops->harvest(log->tracker, last);
}

static int clear(Log *log, uint64_t first, uint64_t n)
{
    return log->tracker->ops->clear(log->tracker, log->region, first, n);
}

static void test_mark(void)
{
    ShmigRegion *region = shmig_region_new(1, SHMIG_REGION_RAM, 40960);
    ShmigTracker *t = shmig_generic_new(NULL, NULL, &region, 1);

    g_assert_cmpstr(t->ops->name, ==, "generic");
    g_assert_true(t->ops->start(t, NULL));
    shmig_generic_mark(t, region, 3, 4);
    shmig_generic_mark(t, region, 5, 4);
    g_assert_true(shmig_region_all(region, 3, 6));
    g_assert_cmpint(t->ops->harvest(t, false), ==, 6);
    g_assert_cmpint(t->ops->harvest(t, true), ==, 0);
    g_assert_cmpint(t->ops->clear(t, region, 3, 6), ==, 0);
    t->ops->stop(t);
    t->ops->free(t);
    shmig_region_free(region);
}

static void test_armed_by_chunks(Log *log, gconstpointer unused)
{
    const uint64_t chunk = SHMIG_CHUNK_PAGES;

    log->page = chunk + 5;
    g_assert_cmpint(harvest(log, false), ==, 1);
    g_assert_true(shmig_region_all(log->region, chunk + 5, 1));
    g_assert_cmpint(clear(log, 0, chunk), ==, 0);
    g_assert_cmpint(clear(log, 2 * chunk, 10), ==, 0);
    g_assert_cmpuint(log->arms, ==, 0);
    g_assert_cmpint(clear(log, chunk - 1, 2), ==, 0);
    g_assert_cmpint(clear(log, chunk, chunk), ==, 0);
    g_assert_cmpuint(log->arms, ==, 1);
    g_assert_cmpuint(log->armed_first, ==, chunk);
    g_assert_cmpuint(log->armed_n, ==, chunk);

    log->page = PAGES - 1;
    g_assert_cmpint(harvest(log, false), ==, 1);
    g_assert_cmpint(clear(log, PAGES - 1, 1), ==, 0);
    g_assert_cmpuint(log->armed_first, ==, 2 * chunk);
    g_assert_cmpuint(log->armed_n, ==, 10);
}

/* Taken by a channel that had passed clear() before the harvest. */
static void test_taken_while_armed(Log *log, gconstpointer unused)
{
    log->page = log->take_in_arm = 7;
    g_assert_cmpint(harvest(log, false), ==, 1);
    g_assert_cmpint(clear(log, 6, 1), ==, 0);
    g_assert_true(shmig_region_all(log->region, 7, 1));

    /* Armed now: the next time around it is not made pending again. */
    shmig_region_clear(log->region, 7, 1);
    log->page = 8;
    log->take_in_arm = UINT64_MAX;
    g_assert_cmpint(harvest(log, false), ==, 1);
    g_assert_cmpint(clear(log, 6, 1), ==, 0);
    g_assert_false(shmig_region_any(log->region, 7, 1));
}

static void test_last_arms_nothing(Log *log, gconstpointer unused)
{
    log->page = 7;
    g_assert_cmpint(harvest(log, true), ==, 1);
    g_assert_cmpint(clear(log, 7, 1), ==, 0);
    g_assert_cmpuint(log->arms, ==, 0);
    g_assert_cmpuint(log->syncs, ==, 2); /* one by start() */
    g_assert_cmpuint(log->lasts, ==, 1);
}

static void test_errors(Log *log, gconstpointer unused)
{
    g_autoptr(GError) err = NULL;

    log->page = 7;
    g_assert_cmpint(harvest(log, false), ==, 1);
    log->error = EIO;
    g_assert_cmpint(harvest(log, false), ==, -EIO);
    g_assert_cmpint(clear(log, 7, 1), ==, -EIO);
    g_assert_cmpint(clear(log, 7, 1), ==, -EIO);
    g_assert_cmpuint(log->arms, ==, 2);

    g_assert_false(log->tracker->ops->start(log->tracker, &err));
    g_assert_error(err, SHMIG_ERROR, SHMIG_ERROR_RAM);
    g_assert_cmpuint(log->stops, ==, 1);
}

static void test_stranger(Log *log, gconstpointer unused)
{
    ShmigRegion *other = shmig_region_new(4, SHMIG_REGION_RAM, 4096);

    g_assert_cmpint(log->tracker->ops->clear(log->tracker, other, 0, 1), ==,
                    -EINVAL);
    shmig_region_free(other);
}

static void count_last(void *opaque, bool last)
{
    *(unsigned *)opaque += last;
}

static void test_fake(void)
{
    ShmigRegion *region = shmig_region_new(1, SHMIG_REGION_RAM, 40960);
    ShmigTracker *inner = shmig_generic_new(NULL, NULL, &region, 1);
    ShmigTracker *t = fake_tracker_new(inner);
    g_autoptr(GError) err = NULL;
    unsigned lasts = 0;

    fake_tracker_fail(t, FAKE_TRACKER_START, 1, EPERM);
    fake_tracker_fail(t, FAKE_TRACKER_HARVEST, 2, EIO);
    fake_tracker_fail(t, FAKE_TRACKER_CLEAR, 1, EFAULT);
    fake_tracker_on_harvest(t, count_last, &lasts);
    g_assert_false(t->ops->start(t, &err));
    g_assert_error(err, SHMIG_ERROR, SHMIG_ERROR_RAM);
    g_assert_false(fake_tracker_running(t));
    g_assert_true(t->ops->start(t, NULL));
    shmig_generic_mark(inner, region, 0, 2);
    g_assert_cmpint(t->ops->harvest(t, false), ==, 2);
    shmig_generic_mark(inner, region, 2, 1);
    g_assert_cmpint(t->ops->harvest(t, true), ==, -EIO);
    g_assert_cmpint(t->ops->harvest(t, true), ==, 1);
    g_assert_cmpint(t->ops->clear(t, region, 0, 1), ==, -EFAULT);
    g_assert_cmpint(t->ops->clear(t, region, 0, 1), ==, 0);
    g_assert_cmpuint(lasts, ==, 2);
    g_assert_cmpuint(fake_tracker_calls(t, FAKE_TRACKER_HARVEST), ==, 3);
    t->ops->stop(t);
    t->ops->free(t);
    shmig_region_free(region);
}

#define ADD(path, func) \
    g_test_add("/dirty/generic/" path, Log, NULL, setup, func, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty/generic/mark", test_mark);
    ADD("armed-by-chunks", test_armed_by_chunks);
    ADD("taken-while-armed", test_taken_while_armed);
    ADD("last-arms-nothing", test_last_arms_nothing);
    ADD("errors", test_errors);
    ADD("stranger", test_stranger);
    g_test_add_func("/dirty/generic/fake", test_fake);
    return g_test_run();
}
