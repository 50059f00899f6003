/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the demo shows: a line that moves, and tables within 80 columns. */
#ifndef TESTS_QEMU_DEMO_REPORT_H
#define TESTS_QEMU_DEMO_REPORT_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

void report_title(const char *text);

/* "  LABEL         TEXT" */
void report_line(const char *label, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

/* The same as a claim that held. */
void report_proof(const char *label, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

void report_failure(const char *text);

/* A step that takes a while: named when it begins, timed when it ends. */
void report_step(const char *text);
void report_step_done(void);

/* A line that replaces the one before; without a terminal, one for each
 * phase.  @share is of 1. */
void report_bar(double share, const char *phase, const char *rest);
/* The same of what query-migrate said. */
void report_progress(JsonNode *info);
void report_progress_done(void);

/* Bytes of RAM and of each disk, by kind. */
void report_bytes(JsonNode *info);

/* "12.3 MiB" */
char *report_size(int64_t bytes);

#endif
