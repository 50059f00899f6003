/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Measures one tracker, phase by phase. */
#ifndef SHMIG_CLI_MEASURE_H
#define SHMIG_CLI_MEASURE_H

#include "figures.h"
#include "options.h"
#include "shmig/dirty/kvm-probe.h"

/*
 * Fills @result, as far as it gets: an interrupt is no failure.  CLI_ERROR
 * otherwise.
 */
bool measure_tracker(const BenchOptions *options, const ShmigKvmCaps *caps,
                     TrackerKind kind, TrackerResult *result, GError **errp);

#endif
