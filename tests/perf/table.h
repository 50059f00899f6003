/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Medians and ratios, within 100 columns, and what they were to be. */
#ifndef TESTS_PERF_TABLE_H
#define TESTS_PERF_TABLE_H

#include "bench.h"

/* The runs of one case: of BenchRun, for each way. */
typedef struct TableCase {
    const BenchCase *bench_case;
    GArray *runs[WAYS];
    BenchRun footprint[WAYS];
} TableCase;

void table_case_init(TableCase *table, const BenchCase *bench_case);
void table_case_clear(TableCase *table);

/* The middle of @figure; NAN if no run has it. */
double table_median(const TableCase *table, BenchWay way, BenchFigure figure);

void table_print(const TableCase *table);

/* Each goal that these cases can tell about, and whether it was met. */
void table_print_goals(const TableCase *tables, unsigned n);

#endif
