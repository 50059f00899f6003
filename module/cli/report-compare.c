/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two results side by side. */
#include <math.h>
#include <string.h>

#include "report.h"

/* Differ whenever a bench runs, and mean nothing. */
static bool is_volatile(const char *name)
{
    return strcmp(name, "date") == 0 || strcmp(name, "cpu-mhz") == 0;
}

static void add_difference(GString *text, const char *name, const char *a,
                           const char *b)
{
    GString *line = g_string_new(NULL);

    g_string_printf(line, "  %s: %s → %s", name, a ? a : "none",
                    b ? b : "none");
    /* A character of the line takes three bytes. */
    g_string_truncate(line, MIN(line->len, REPORT_COLUMNS));
    g_string_append_printf(text, "%s\n", line->str);
    g_string_free(line, TRUE);
}

static unsigned add_differences(GString *text, const GPtrArray *a,
                                const GPtrArray *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < a->len; i++) {
        const Fact *fact = a->pdata[i];
        const char *other = facts_get(b, fact->name);

        if (!is_volatile(fact->name) && g_strcmp0(fact->value, other) != 0) {
            add_difference(text, fact->name, fact->value, other);
            n++;
        }
    }
    for (unsigned i = 0; i < b->len; i++) {
        const Fact *fact = b->pdata[i];

        if (!is_volatile(fact->name) && !facts_get(a, fact->name)) {
            add_difference(text, fact->name, NULL, fact->value);
            n++;
        }
    }
    return n;
}

static const char *verdict(FigureId id, const Change *change)
{
    if (isnan(change->noise)) {
        return "one sample";
    }
    if (!change->exceeds) {
        return "within noise";
    }
    switch (figures[id].wanted) {
    case WANTED_LOW:
        return change->percent < 0 ? "better" : "worse";
    case WANTED_HIGH:
        return change->percent > 0 ? "better" : "worse";
    default:
        return "changed";
    }
}

static void add_row(GString *text, FigureId id, const GArray *a,
                    const GArray *b)
{
    Summary from = summarize(a), to = summarize(b);
    Change change = figure_compare(id, a, b);
    g_autofree char *noise = isnan(change.noise)
                                 ? g_strdup("?")
                                 : g_strdup_printf("%.1f %%", change.noise);
    g_autofree char *from_text = report_value(id, from.median);
    g_autofree char *to_text = report_value(id, to.median);

    if (from.n == 0 || to.n == 0 || isnan(change.percent)) {
        return;
    }
    g_string_append_printf(text, "  %-13s %10s %10s %+9.1f %% %10s  %s\n",
                           figures[id].name, from_text, to_text, change.percent,
                           noise, verdict(id, &change));
}

static void add_tracker(GString *text, const TrackerResult *a,
                        const TrackerResult *b)
{
    g_string_append_printf(text, "\n%-15s %10s %10s %11s %10s\n", a->name, "A",
                           "B", "change", "noise");
    for (unsigned i = 0; i < FIGURES; i++) {
        add_row(text, i, a->samples[i], b->samples[i]);
    }
}

char *report_compare(const Result *a, const Result *b)
{
    GString *text = g_string_new("not the same in A and B:\n");
    unsigned both = 0;

    if (add_differences(text, a->machine, b->machine) +
            add_differences(text, a->settings, b->settings) ==
        0) {
        g_string_assign(text, "machine and settings are the same in both\n");
    }
    for (unsigned i = 0; i < a->trackers->len; i++) {
        const TrackerResult *from = a->trackers->pdata[i];
        const TrackerResult *to = result_find_tracker(b, from->name);

        if (to) {
            add_tracker(text, from, to);
            both++;
        }
    }
    if (both == 0) {
        g_string_append(text, "\nno tracker was measured in both\n");
    }
    return g_string_free(text, FALSE);
}
