/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The result as a table: each tracker by itself, then side by side. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

/* Side by side: what one chooses a tracker by. */
static const FigureId side_by_side[] = {
    FIGURE_ENABLE,     FIGURE_FIRST_HARVEST, FIGURE_STEADY_PASS,
    FIGURE_HARVEST,    FIGURE_PAGE_COST,     FIGURE_CLEAN_COST,
    FIGURE_GUEST_FREE, FIGURE_GUEST_TRACKED, FIGURE_GUEST_LOSS,
};

/* Three digits that count. */
static char *scaled(double value, const char *const *units, double step)
{
    unsigned i = 0;

    while (units[i + 1] && fabs(value) >= step * 0.9995) {
        value /= step;
        i++;
    }
    return g_strdup_printf("%.*f %s",
                           fabs(value) < 9.995   ? 2
                           : fabs(value) < 99.95 ? 1
                                                 : 0,
                           value, units[i]);
}

char *report_value(FigureId id, double value)
{
    static const char *const times[] = { "ns", "us", "ms", "s", NULL };
    static const char *const counts[] = { "", "k", "M", "G", NULL };
    const char *unit = figures[id].unit;

    if (g_str_has_prefix(unit, "ns")) {
        return scaled(value, times, 1000);
    }
    if (strcmp(unit, "%") == 0) {
        return g_strdup_printf(fabs(value) < 1e5 ? "%.1f %%" : "%.1e %%",
                               value);
    }
    return g_strstrip(scaled(value, counts, 1000));
}

static void add_row(GString *text, FigureId id, const GArray *samples)
{
    Summary s = summarize(samples);
    g_autofree char *median = report_value(id, s.median);
    g_autofree char *min = report_value(id, s.min);
    g_autofree char *max = report_value(id, s.max);
    g_autofree char *mad = report_value(id, s.mad);

    if (s.n) {
        g_string_append_printf(text, "  %-13s %10s %10s %10s %10s  %s\n",
                               figures[id].name, median, min, max, mad,
                               figures[id].what);
    }
}

static void add_tracker(GString *text, const TrackerResult *tracker)
{
    if (tracker->missing) {
        g_string_append_printf(text, "%s\n\n", tracker->missing);
        return;
    }
    g_string_append_printf(text, "%-15s %10s %10s %10s %10s\n", tracker->name,
                           "median", "min", "max", "MAD");
    for (unsigned i = 0; i < FIGURES; i++) {
        add_row(text, i, tracker->samples[i]);
    }
    g_string_append_c(text, '\n');
}

static bool has_samples(const TrackerResult *tracker)
{
    return tracker->samples[FIGURE_HARVEST]->len > 0;
}

static void add_side_by_side(GString *text, const Result *result)
{
    g_string_append_printf(text, "%-15s", "medians");
    for (unsigned t = 0; t < result->trackers->len; t++) {
        const TrackerResult *tracker = result->trackers->pdata[t];

        if (has_samples(tracker)) {
            g_string_append_printf(text, " %12s", tracker->name);
        }
    }
    g_string_append_c(text, '\n');
    for (unsigned i = 0; i < G_N_ELEMENTS(side_by_side); i++) {
        FigureId id = side_by_side[i];

        g_string_append_printf(text, "  %-13s", figures[id].name);
        for (unsigned t = 0; t < result->trackers->len; t++) {
            const TrackerResult *tracker = result->trackers->pdata[t];
            g_autofree char *value =
                report_value(id, summarize(tracker->samples[id]).median);

            if (has_samples(tracker)) {
                g_string_append_printf(text, " %12s", value);
            }
        }
        g_string_append_printf(text, "  %s\n", figures[id].unit);
    }
}

/* The trackers whose median is lowest, as far as noise tells. */
static char *best(const Result *result, FigureId id)
{
    GString *names = g_string_new(NULL);
    const TrackerResult *least = NULL;
    bool all = true;

    for (unsigned t = 0; t < result->trackers->len; t++) {
        const TrackerResult *tracker = result->trackers->pdata[t];

        if (has_samples(tracker) &&
            (!least || summarize(tracker->samples[id]).median <
                           summarize(least->samples[id]).median)) {
            least = tracker;
        }
    }
    for (unsigned t = 0; least && t < result->trackers->len; t++) {
        const TrackerResult *tracker = result->trackers->pdata[t];

        if (!has_samples(tracker)) {
            continue;
        }
        if (figure_compare(id, least->samples[id], tracker->samples[id])
                .exceeds) {
            all = false;
        } else {
            g_string_append_printf(names, "%s%s", names->len ? " or " : "",
                                   tracker->name);
        }
    }
    if (all) {
        g_string_assign(names, "any (no difference beyond noise)");
    }
    return g_string_free(names, FALSE);
}

static void add_verdict(GString *text, const Result *result)
{
    g_autofree char *page = best(result, FIGURE_PAGE_COST);
    g_autofree char *clean = best(result, FIGURE_CLEAN_COST);
    g_autofree char *guest = best(result, FIGURE_GUEST_LOSS);

    g_string_append_printf(text,
                           "\ncheapest here\n"
                           "  for each dirty page   %s\n"
                           "  for clean memory      %s\n"
                           "  for the guest         %s\n",
                           page, clean, guest);
}

static const char *fact(const GPtrArray *facts, const char *name)
{
    const char *value = facts_get(facts, name);

    return value ? value : "?";
}

static void add_head(GString *text, const Result *result)
{
    const GPtrArray *m = result->machine, *s = result->settings;
    GString *line = g_string_new(NULL);

    g_string_append_printf(line, "%s, %s CPUs, Linux %s", fact(m, "cpu"),
                           fact(m, "cpus"), fact(m, "kernel"));
    g_string_truncate(line, MIN(line->len, REPORT_COLUMNS));
    g_string_append_printf(text, "%s\n", line->str);
    g_string_printf(line, "modules %s", fact(m, "modules"));
    g_string_truncate(line, MIN(line->len, REPORT_COLUMNS));
    g_string_append_printf(text, "%s\n", line->str);
    g_string_append_printf(text,
                           "guest: %s vCPUs, %s of %s in %s slot%s; writes %s, "
                           "%s %% a pass\n\n",
                           fact(s, "vcpus"), fact(s, "memory"),
                           fact(s, "backing"), fact(s, "slots"),
                           strcmp(fact(s, "slots"), "1") ? "s" : "",
                           fact(s, "pattern"), fact(s, "dirty"));
    g_string_free(line, TRUE);
}

char *report_table(const Result *result)
{
    GString *text = g_string_new(NULL);
    unsigned measured = 0;

    add_head(text, result);
    for (unsigned t = 0; t < result->trackers->len; t++) {
        const TrackerResult *tracker = result->trackers->pdata[t];

        add_tracker(text, tracker);
        measured += has_samples(tracker);
    }
    if (measured > 1) {
        add_side_by_side(text, result);
        add_verdict(text, result);
    }
    return g_string_free(text, FALSE);
}
