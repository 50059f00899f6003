/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said about a figure that was measured several times. */
#ifndef SHMIG_CLI_STATS_H
#define SHMIG_CLI_STATS_H

#include <stdbool.h>

#include <glib.h>

typedef struct Summary {
    unsigned n; /* 0: nothing was measured, and nothing else counts */
    double median, min, max;
    double mad; /* median of the distances from the median */
} Summary;

/* @samples: of double; unchanged. */
Summary summarize(const GArray *samples);

typedef struct Change {
    double percent; /* of the base; NAN if nothing can be said */
    double noise;   /* what two runs of the same may differ by, in percent of
                       the base; NAN if one was measured only once */
    bool exceeds;   /* the noise */
} Change;

/*
 * From @a to @b, in percent of @base, or of the first median if that is 0.
 * Three standard deviations of the difference, estimated from both MADs, are
 * noise; so are 2 % anyhow.
 */
Change compare_summaries(const Summary *a, const Summary *b, double base);

#endif
