/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracker of the library on the bench's machine, with a clock around each
 * of its calls to the kernel.
 */
#ifndef SHMIG_CLI_SUBJECT_H
#define SHMIG_CLI_SUBJECT_H

#include "options.h"
#include "shmig/dirty/tracker.h"
#include "vm.h"

typedef struct Subject Subject;

/* Time spent in the kernel so far. */
typedef struct KernelTimes {
    uint64_t get_ns, clear_ns, reset_ns;
} KernelTimes;

/* NULL if the kernel has what @kind takes, else why not: one sentence. */
char *subject_missing(TrackerKind kind, const ShmigKvmCaps *caps);

/* Makes the machine too. */
Subject *subject_new(const BenchOptions *options, TrackerKind kind,
                     const ShmigKvmCaps *caps, GError **errp);
void subject_free(Subject *subject);

Vm *subject_vm(Subject *subject);
ShmigTracker *subject_tracker(Subject *subject);

KernelTimes subject_times(Subject *subject);

#endif
