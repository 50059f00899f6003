/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A result as people and programs read it. */
#ifndef SHMIG_CLI_REPORT_H
#define SHMIG_CLI_REPORT_H

#include "figures.h"

/* What our JSON says it is. */
#define REPORT_FORMAT "shmig-dirty-bench"
#define REPORT_VERSION 1

/* No line is longer. */
#define REPORT_COLUMNS 100

/* A value with its unit, at most 10 characters: "12.3 ms". */
char *report_value(FigureId id, double value);

/* Text for a terminal, to be freed. */
char *report_table(const Result *result);
char *report_csv(const Result *result);
char *report_json(const Result *result);

/* NULL and a sentence if @path is no such file. */
Result *report_read_json(const char *path, GError **errp);

/* Two results side by side; what differs beside the figures comes first. */
char *report_compare(const Result *a, const Result *b);

/* What gnuplot is told; draws into @path. */
char *report_plot_script(const Result *result, const char *path);
bool report_has_gnuplot(void);
bool report_plot(const Result *result, const char *path, GError **errp);

#endif
