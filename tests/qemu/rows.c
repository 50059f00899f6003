/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running a row as a test of GLib's. */
#include <string.h>

#include "loop.h"
#include "rows.h"

/* Code of an error that is none: the row cannot run here. */
#define SKIP 1

static const Row *now;

const Row *row_now(void)
{
    return now;
}

bool row_said(const char *text, GError **errp)
{
    return row_said_words(text, now->expect, errp);
}

bool row_said_words(const char *text, const char *expect, GError **errp)
{
    g_auto(GStrv) words = g_strsplit(expect ? expect : "", "|", -1);

    g_test_message("%s", text);
    for (unsigned i = 0; words[i]; i++) {
        if (!strstr(text, words[i])) {
            return harness_fail(errp, "it said \"%s\", without \"%s\"", text,
                                words[i]);
        }
    }
    return true;
}

bool row_skip(GError **errp, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_propagate_error(errp,
                      g_error_new_valist(HARNESS_ERROR, SKIP, format, ap));
    va_end(ap);
    return false;
}

static void run(const void *opaque)
{
    const Row *row = now = opaque;
    g_autofree char *missing = machine_missing(row->options.accel);
    g_autoptr(GError) error = NULL;
    Pair *pair;

    if (missing) {
        g_test_skip(missing);
        return;
    }
    pair = pair_new(&row->options, &error);
    if (pair) {
        row->fn(pair, &error);
    }
    if (g_error_matches(error, HARNESS_ERROR, SKIP)) {
        g_test_skip(error->message);
    } else if (error) {
        g_test_fail_printf("%s", error->message);
    }
    pair_free(pair);
}

void row_add(const char *path, const Row *row)
{
    g_test_add_data_func(path, row, run);
}

void rows_add(const Row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        row_add(rows[i].path, &rows[i]);
    }
}
