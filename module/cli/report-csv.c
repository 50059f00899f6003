/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The result as comma-separated values.  One header, one kind of row:
 * "machine" and "setting" rows have a value, "figure" rows a summary.
 */
#include <string.h>

#include "report.h"

/* Numbers of any locale, with all their digits. */
static void add_number(GString *text, double value)
{
    char buffer[G_ASCII_DTOSTR_BUF_SIZE];

    g_string_append_printf(
        text, ",%s", g_ascii_formatd(buffer, sizeof(buffer), "%.10g", value));
}

static void add_quoted(GString *text, const char *value)
{
    g_string_append(text, ",\"");
    for (; *value; value++) {
        g_string_append_c(text, *value);
        if (*value == '"') {
            g_string_append_c(text, '"');
        }
    }
    g_string_append_c(text, '"');
}

static void add_facts(GString *text, const char *kind, const GPtrArray *facts)
{
    for (unsigned i = 0; i < facts->len; i++) {
        const Fact *fact = facts->pdata[i];

        g_string_append_printf(text, "%s,,%s,,,,,,", kind, fact->name);
        add_quoted(text, fact->value);
        g_string_append_c(text, '\n');
    }
}

static void add_figures(GString *text, const TrackerResult *tracker)
{
    for (unsigned i = 0; i < FIGURES; i++) {
        Summary s = summarize(tracker->samples[i]);

        if (s.n) {
            g_string_append_printf(text, "figure,%s,%s,%s,%u", tracker->name,
                                   figures[i].name, figures[i].unit, s.n);
            add_number(text, s.median);
            add_number(text, s.min);
            add_number(text, s.max);
            add_number(text, s.mad);
            g_string_append(text, ",\n");
        }
    }
}

static void add_curve(GString *text, const TrackerResult *tracker,
                      const char *name, const char *unit, const GArray *points)
{
    for (unsigned i = 0; i < points->len; i++) {
        Point p = g_array_index(points, Point, i);
        char buffer[G_ASCII_DTOSTR_BUF_SIZE];

        g_string_append_printf(
            text, "%s,%s,%s,%s,1", name, tracker->name,
            g_ascii_formatd(buffer, sizeof(buffer), "%.10g", p.x), unit);
        add_number(text, p.y);
        g_string_append(text, ",,,,\n");
    }
}

char *report_csv(const Result *result)
{
    GString *text =
        g_string_new("record,tracker,name,unit,n,median,min,max,mad,value\n");

    add_facts(text, "machine", result->machine);
    add_facts(text, "setting", result->settings);
    for (unsigned t = 0; t < result->trackers->len; t++) {
        const TrackerResult *tracker = result->trackers->pdata[t];

        if (tracker->missing) {
            g_string_append_printf(text, "missing,%s,,,,,,,", tracker->name);
            add_quoted(text, tracker->missing);
            g_string_append_c(text, '\n');
        }
        add_figures(text, tracker);
        add_curve(text, tracker, "harvest-by-dirty-percent", "ns/GiB",
                  tracker->by_fraction);
        add_curve(text, tracker, "guest-by-dirty-rate", "pages/s",
                  tracker->by_rate);
    }
    return g_string_free(text, FALSE);
}
