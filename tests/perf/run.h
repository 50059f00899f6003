/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run: two QEMUs, one migration, its figures. */
#ifndef TESTS_PERF_RUN_H
#define TESTS_PERF_RUN_H

#include "way.h"

/* False, and a sentence, if the guest did not arrive. */
bool run_measured(const EndsOptions *options, Link *link, const Way *way,
                  BenchRun *run, GError **errp);

/*
 * A run whose figures are memory alone, and which then shows that the bytes
 * are there: images compared, and the guest looks at each page and sector.
 */
bool run_footprint(const EndsOptions *options, Link *link, const Way *way,
                   BenchRun *run, GError **errp);

#endif
