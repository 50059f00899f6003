/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dirty tracker that fails on demand, in front of one that works.
 *
 * A test's guest writes, then reports it with shmig_generic_mark() on the
 * tracker behind; or does both in an on_harvest function, which makes a
 * guest that writes at the speed of the harvests.
 */
#ifndef FAKE_TRACKER_H
#define FAKE_TRACKER_H

#include "shmig/dirty/tracker.h"

typedef enum FakeTrackerCall {
    FAKE_TRACKER_START,
    FAKE_TRACKER_HARVEST,
    FAKE_TRACKER_CLEAR,
    FAKE_TRACKER_STOP, /* counted only */
    FAKE_TRACKER_CALLS,
} FakeTrackerCall;

/* @inner may be NULL: a guest that writes nothing.  Owned by the fake. */
ShmigTracker *fake_tracker_new(ShmigTracker *inner);

/*
 * Makes the @nth call from the first on (1 is the first) fail with @error,
 * a positive errno; the tracker behind does not see that call.  Before the
 * session starts.
 */
void fake_tracker_fail(ShmigTracker *tracker, FakeTrackerCall call,
                       unsigned nth, int error);

/* Called by each harvest() before anything else.  Before start(). */
typedef void FakeTrackerFunc(void *opaque, bool last);
void fake_tracker_on_harvest(ShmigTracker *tracker, FakeTrackerFunc *func,
                             void *opaque);

/* Called by each clear(), on its thread, before anything else. */
typedef void FakeTrackerClearFunc(void *opaque);
void fake_tracker_on_clear(ShmigTracker *tracker, FakeTrackerClearFunc *func,
                           void *opaque);

/* How often it was called; any thread. */
unsigned fake_tracker_calls(ShmigTracker *tracker, FakeTrackerCall call);

/* Started and not stopped.  harvest() and clear() abort unless it is,
 * from their beginning to their end. */
bool fake_tracker_running(ShmigTracker *tracker);

#endif
