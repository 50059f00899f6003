/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests as rows: what pair to start, and what to do with it. */
#ifndef TESTS_QEMU_ROWS_H
#define TESTS_QEMU_ROWS_H

#include "pair.h"

/* False, and a sentence, if anything does not hold. */
typedef bool (*RowFn)(Pair *pair, GError **errp);

/*
 * A test at @path, which starts the pair that @options describe and has @fn
 * use it.  It is skipped where something is missing, and the rows after one
 * that fails run all the same.  @options has to stay.
 */
void row_add(const char *path, const PairOptions *options, RowFn fn);

#endif
