/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is measured: names, units, and the samples of one run. */
#ifndef SHMIG_CLI_FIGURES_H
#define SHMIG_CLI_FIGURES_H

#include <stdbool.h>

#include <glib.h>

#include "stats.h"

typedef enum FigureId {
    FIGURE_POPULATE,
    FIGURE_ENABLE,
    FIGURE_FIRST_PASS,
    FIGURE_FIRST_HARVEST,
    FIGURE_STEADY_PASS,
    FIGURE_GET,
    FIGURE_MERGE,
    FIGURE_REAP,
    FIGURE_RESET,
    FIGURE_SCAN,
    FIGURE_CLEAR,
    FIGURE_HARVEST,
    FIGURE_DISABLE,
    FIGURE_PAGES,
    FIGURE_SPEED,
    FIGURE_PAGE_COST,
    FIGURE_CLEAN_COST,
    FIGURE_GUEST_FREE,
    FIGURE_GUEST_TRACKED,
    FIGURE_GUEST_LOSS,
    FIGURE_RING_FULLS,
    FIGURES,
} FigureId;

typedef enum Wanted {
    WANTED_LOW,
    WANTED_HIGH,
    WANTED_NEITHER,
} Wanted;

typedef struct Figure {
    const char *name;
    const char *unit; /* "ns", "pages", "pages/s", "ns/page", … */
    Wanted wanted;
    const char *what;
} Figure;

extern const Figure figures[FIGURES];

/* FIGURES if there is none of that name. */
FigureId figure_find(const char *name);

/* A percentage changes by points, all else in proportion. */
Change figure_compare(FigureId id, const GArray *a, const GArray *b);

/* One point of a curve. */
typedef struct Point {
    double x, y;
} Point;

typedef struct TrackerResult {
    char *name;
    char *missing;            /* why there are no samples, or NULL */
    GArray *samples[FIGURES]; /* of double */
    GArray *by_fraction;      /* Point: dirty percent, harvest ns per GiB */
    GArray *by_rate;          /* Point: pages/s asked for, pages/s reached */
} TrackerResult;

/* A fact about the machine, or an option as it was used. */
typedef struct Fact {
    char *name;
    char *value;
} Fact;

typedef struct Result {
    GPtrArray *machine;  /* of Fact */
    GPtrArray *settings; /* of Fact */
    GPtrArray *trackers; /* of TrackerResult */
    bool interrupted;
} Result;

Result *result_new(void);
void result_free(Result *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Result, result_free)

TrackerResult *result_add_tracker(Result *result, const char *name);
TrackerResult *result_find_tracker(const Result *result, const char *name);
void tracker_result_add(TrackerResult *tracker, FigureId id, double value);

void facts_add(GPtrArray *facts, const char *name, const char *value);
void facts_addf(GPtrArray *facts, const char *name, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* NULL if there is none. */
const char *facts_get(const GPtrArray *facts, const char *name);

#endif
