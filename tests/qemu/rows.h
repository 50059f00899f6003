/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests as rows: what pair to start, and what to do with it. */
#ifndef TESTS_QEMU_ROWS_H
#define TESTS_QEMU_ROWS_H

#include "pair.h"

/* Options of a guest that does all it can, and of one that does nothing. */
#define ROW_BUSY                                                \
    "dirty=500 write=100 wsize=mixed wz=20 discard=31 read=10 " \
    "flush=32"
#define ROW_IDLE "dirty=0 write=0"

/*
 * KVM with a dirty ring of the largest size.  A KVM that interprets
 * instructions has an entry for each write instead of each page, and may carry
 * out a thousand more when a ring is full: it runs over one of 4096 between two
 * looks, and over this one when nobody looks for a second.  Pages are lost
 * then: shmig fails, QEMU's own migration goes on.  docs/dirty-bench.md has
 * the figures.
 */
#define ROW_KVM_RING "kvm,dirty-ring-size=65536"

/* False, and a sentence, if anything does not hold. */
typedef bool (*RowFn)(Pair *pair, GError **errp);

typedef struct Row {
    const char *path; /* of the test: "/qemu/…" */
    PairOptions options;
    RowFn fn;
    const char *expect; /* words, separated by '|', for row_said() */
    const void *data;   /* for the function */
} Row;

/*
 * A test for each row, which starts the pair that the options describe and
 * has the function use it.  It is skipped where something is missing, and the
 * rows after one that fails run all the same.  @rows has to stay.
 */
void rows_add(const Row *rows, size_t n);

/* The same for one that has its path elsewhere. */
void row_add(const char *path, const Row *row);

/* The row that runs. */
const Row *row_now(void);

/* Whether @text has all the words that the row expects. */
bool row_said(const char *text, GError **errp);
/* Whether it has those. */
bool row_said_words(const char *text, const char *expect, GError **errp);

/* For a function that finds out that its row cannot run here. */
bool row_skip(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
