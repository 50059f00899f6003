/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A dirty tracker that fails on demand, in front of one that works. */
#include "fake-tracker.h"
#include "shmig/base/error.h"

typedef struct FakeTracker {
    ShmigTracker tracker;

    /* Constant while the session runs. */
    ShmigTracker *inner;
    FakeTrackerFunc *on_harvest;
    void *opaque;
    FakeTrackerClearFunc *on_clear;
    void *clear_opaque;
    unsigned fail_at[FAKE_TRACKER_CALLS];
    int error[FAKE_TRACKER_CALLS];

    /* Atomic. */
    unsigned calls[FAKE_TRACKER_CALLS];
    bool running;
} FakeTracker;

static FakeTracker *from_tracker(ShmigTracker *tracker)
{
    return (FakeTracker *)tracker;
}

/* 0, or the errno that this call fails with. */
static int count_call(FakeTracker *fake, FakeTrackerCall call)
{
    unsigned n = __atomic_add_fetch(&fake->calls[call], 1, __ATOMIC_RELAXED);

    return n == fake->fail_at[call] ? fake->error[call] : 0;
}

static bool fake_start(ShmigTracker *tracker, GError **errp)
{
    FakeTracker *fake = from_tracker(tracker);
    int error = count_call(fake, FAKE_TRACKER_START);

    g_assert_false(fake_tracker_running(tracker));
    if (error) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM,
                    "dirty log: cannot be switched on: %s", g_strerror(error));
        return false;
    }
    if (fake->inner && !fake->inner->ops->start(fake->inner, errp)) {
        return false;
    }
    __atomic_store_n(&fake->running, true, __ATOMIC_RELEASE);
    return true;
}

static int64_t fake_harvest(ShmigTracker *tracker, bool last)
{
    FakeTracker *fake = from_tracker(tracker);
    int error = count_call(fake, FAKE_TRACKER_HARVEST);

    g_assert_true(fake_tracker_running(tracker));
    if (fake->on_harvest) {
        fake->on_harvest(fake->opaque, last);
    }
    if (error) {
        return -error;
    }
    return fake->inner ? fake->inner->ops->harvest(fake->inner, last) : 0;
}

static int fake_clear(ShmigTracker *tracker, ShmigRegion *region,
                      uint64_t first, uint64_t n)
{
    FakeTracker *fake = from_tracker(tracker);
    int error = count_call(fake, FAKE_TRACKER_CLEAR);
    int ret = -error;

    g_assert_true(fake_tracker_running(tracker));
    if (fake->on_clear) {
        fake->on_clear(fake->clear_opaque);
    }
    if (!error && fake->inner) {
        ret = fake->inner->ops->clear(fake->inner, region, first, n);
    }
    g_assert_true(fake_tracker_running(tracker));
    return ret;
}

static void fake_stop(ShmigTracker *tracker)
{
    FakeTracker *fake = from_tracker(tracker);

    g_assert_true(fake_tracker_running(tracker));
    count_call(fake, FAKE_TRACKER_STOP);
    __atomic_store_n(&fake->running, false, __ATOMIC_RELEASE);
    if (fake->inner) {
        fake->inner->ops->stop(fake->inner);
    }
}

static void fake_free(ShmigTracker *tracker)
{
    FakeTracker *fake = from_tracker(tracker);

    g_assert_false(fake_tracker_running(tracker));
    if (fake->inner) {
        fake->inner->ops->free(fake->inner);
    }
    g_free(fake);
}

static const ShmigTrackerOps fake_ops = {
    .name = "fake",
    .start = fake_start,
    .harvest = fake_harvest,
    .clear = fake_clear,
    .stop = fake_stop,
    .free = fake_free,
};

ShmigTracker *fake_tracker_new(ShmigTracker *inner)
{
    FakeTracker *fake = g_new0(FakeTracker, 1);

    fake->tracker.ops = &fake_ops;
    fake->inner = inner;
    return &fake->tracker;
}

void fake_tracker_fail(ShmigTracker *tracker, FakeTrackerCall call,
                       unsigned nth, int error)
{
    FakeTracker *fake = from_tracker(tracker);

    fake->fail_at[call] = nth;
    fake->error[call] = error;
}

void fake_tracker_on_harvest(ShmigTracker *tracker, FakeTrackerFunc *func,
                             void *opaque)
{
    FakeTracker *fake = from_tracker(tracker);

    fake->on_harvest = func;
    fake->opaque = opaque;
}

void fake_tracker_on_clear(ShmigTracker *tracker, FakeTrackerClearFunc *func,
                           void *opaque)
{
    FakeTracker *fake = from_tracker(tracker);

    fake->on_clear = func;
    fake->clear_opaque = opaque;
}

unsigned fake_tracker_calls(ShmigTracker *tracker, FakeTrackerCall call)
{
    return __atomic_load_n(&from_tracker(tracker)->calls[call],
                           __ATOMIC_RELAXED);
}

bool fake_tracker_running(ShmigTracker *tracker)
{
    return __atomic_load_n(&from_tracker(tracker)->running, __ATOMIC_ACQUIRE);
}
