/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is measured. */
#include <string.h>

#include "figures.h"

const Figure figures[FIGURES] = {
    [FIGURE_POPULATE] = { "populate", "ns", WANTED_LOW,
                          "each page is written for the first time" },
    [FIGURE_ENABLE] = { "enable", "ns", WANTED_LOW,
                        "the log is switched on, guest idle" },
    [FIGURE_FIRST_PASS] = { "first-pass", "ns", WANTED_LOW,
                            "the guest writes right after that" },
    [FIGURE_FIRST_HARVEST] = { "first-harvest", "ns", WANTED_LOW,
                               "all pages are armed, and found once" },
    [FIGURE_STEADY_PASS] = { "steady-pass", "ns", WANTED_LOW,
                             "the guest writes to armed pages" },
    [FIGURE_GET] = { "get", "ns", WANTED_LOW, "KVM_GET_DIRTY_LOG" },
    [FIGURE_MERGE] = { "merge", "ns", WANTED_LOW,
                       "its bits go into the pending bitmap" },
    [FIGURE_REAP] = { "reap", "ns", WANTED_LOW,
                      "ring entries go into the pending bitmap" },
    [FIGURE_RESET] = { "reset", "ns", WANTED_LOW, "KVM_RESET_DIRTY_RINGS" },
    [FIGURE_SCAN] = { "scan", "ns", WANTED_LOW,
                      "pending pages are found and taken" },
    [FIGURE_CLEAR] = { "clear", "ns", WANTED_LOW,
                       "KVM_CLEAR_DIRTY_LOG, chunk by chunk" },
    [FIGURE_HARVEST] = { "harvest", "ns", WANTED_LOW, "all of these together" },
    [FIGURE_DISABLE] = { "disable", "ns", WANTED_LOW,
                         "the log is switched off, guest idle" },
    [FIGURE_PAGES] = { "pages", "pages", WANTED_NEITHER,
                       "dirty pages in one harvest" },
    [FIGURE_SPEED] = { "harvest-speed", "pages/s", WANTED_HIGH,
                       "pages over harvest" },
    [FIGURE_PAGE_COST] = { "page-cost", "ns/page", WANTED_LOW,
                           "harvest over pages" },
    [FIGURE_CLEAN_COST] = { "clean-cost", "ns/GiB", WANTED_LOW,
                            "a harvest that finds nothing" },
    [FIGURE_GUEST_FREE] = { "guest-free", "pages/s", WANTED_NEITHER,
                            "what the guest writes without tracking" },
    [FIGURE_GUEST_TRACKED] = { "guest-tracked", "pages/s", WANTED_HIGH,
                               "with it, harvested every interval" },
    [FIGURE_GUEST_LOSS] = { "guest-loss", "%", WANTED_LOW,
                            "what the guest loses by it" },
    [FIGURE_RING_FULLS] = { "ring-full", "exits", WANTED_LOW,
                            "a vCPU stopped for its full ring" },
};

FigureId figure_find(const char *name)
{
    unsigned i = 0;

    while (i < FIGURES && strcmp(figures[i].name, name) != 0) {
        i++;
    }
    return i;
}

Change figure_compare(FigureId id, const GArray *a, const GArray *b)
{
    Summary from = summarize(a), to = summarize(b);

    return compare_summaries(&from, &to,
                             strcmp(figures[id].unit, "%") == 0 ? 100 : 0);
}

static void fact_free(void *opaque)
{
    Fact *fact = opaque;

    g_free(fact->name);
    g_free(fact->value);
    g_free(fact);
}

static void tracker_result_free(void *opaque)
{
    TrackerResult *tracker = opaque;

    g_free(tracker->name);
    g_free(tracker->missing);
    for (unsigned i = 0; i < FIGURES; i++) {
        g_array_unref(tracker->samples[i]);
    }
    g_array_unref(tracker->by_fraction);
    g_array_unref(tracker->by_rate);
    g_free(tracker);
}

Result *result_new(void)
{
    Result *result = g_new0(Result, 1);

    result->machine = g_ptr_array_new_with_free_func(fact_free);
    result->settings = g_ptr_array_new_with_free_func(fact_free);
    result->trackers = g_ptr_array_new_with_free_func(tracker_result_free);
    return result;
}

void result_free(Result *result)
{
    if (result) {
        g_ptr_array_unref(result->machine);
        g_ptr_array_unref(result->settings);
        g_ptr_array_unref(result->trackers);
        g_free(result);
    }
}

TrackerResult *result_add_tracker(Result *result, const char *name)
{
    TrackerResult *tracker = g_new0(TrackerResult, 1);

    tracker->name = g_strdup(name);
    for (unsigned i = 0; i < FIGURES; i++) {
        tracker->samples[i] = g_array_new(FALSE, FALSE, sizeof(double));
    }
    tracker->by_fraction = g_array_new(FALSE, FALSE, sizeof(Point));
    tracker->by_rate = g_array_new(FALSE, FALSE, sizeof(Point));
    g_ptr_array_add(result->trackers, tracker);
    return tracker;
}

TrackerResult *result_find_tracker(const Result *result, const char *name)
{
    for (unsigned i = 0; i < result->trackers->len; i++) {
        TrackerResult *tracker = result->trackers->pdata[i];

        if (strcmp(tracker->name, name) == 0) {
            return tracker;
        }
    }
    return NULL;
}

void tracker_result_add(TrackerResult *tracker, FigureId id, double value)
{
    g_array_append_val(tracker->samples[id], value);
}

void facts_add(GPtrArray *facts, const char *name, const char *value)
{
    Fact *fact = g_new0(Fact, 1);

    fact->name = g_strdup(name);
    fact->value = g_strstrip(g_strdup(value));
    g_ptr_array_add(facts, fact);
}

void facts_addf(GPtrArray *facts, const char *name, const char *format, ...)
{
    g_autofree char *value = NULL;
    va_list args;

    va_start(args, format);
    value = g_strdup_vprintf(format, args);
    va_end(args);
    facts_add(facts, name, value);
}

const char *facts_get(const GPtrArray *facts, const char *name)
{
    for (unsigned i = 0; i < facts->len; i++) {
        const Fact *fact = facts->pdata[i];

        if (strcmp(fact->name, name) == 0) {
            return fact->value;
        }
    }
    return NULL;
}
