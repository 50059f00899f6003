/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running a row as a test of GLib's. */
#include "rows.h"

typedef struct Row {
    const PairOptions *options;
    RowFn fn;
} Row;

static void run(const void *opaque)
{
    const Row *row = opaque;
    g_autofree char *missing = machine_missing(row->options->accel);
    g_autoptr(GError) error = NULL;
    Pair *pair;

    if (missing) {
        g_test_skip(missing);
        return;
    }
    pair = pair_new(row->options, &error);
    if (!pair || !row->fn(pair, &error)) {
        g_test_fail_printf("%s", error->message);
    }
    pair_free(pair);
}

void row_add(const char *path, const PairOptions *options, RowFn fn)
{
    Row *row = g_new(Row, 1);

    row->options = options;
    row->fn = fn;
    g_test_add_data_func_full(path, row, run, g_free);
}
