/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two ways of moving a guest with its disk that are compared. */
#ifndef TESTS_PERF_WAY_H
#define TESTS_PERF_WAY_H

#include "ends.h"

/*
 * prepare() is what management does before the migration, and not timed: the
 * destination listens.  move() is timed: from the first command until both
 * ends have completed.
 */
typedef struct Way {
    const char *name;
    bool (*prepare)(Ends *ends, GError **errp);
    bool (*move)(Ends *ends, BenchRun *run, GError **errp);
} Way;

extern const Way way_shmig;

/*
 * What libvirt does for a guest with non-shared storage: the destination
 * serves its disk by NBD, the source mirrors its own there and then migrates
 * with a pause before the switch-over, in which the mirror ends.
 */
extern const Way way_stock;

#endif
