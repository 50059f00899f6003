/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said about a figure that was measured several times. */
#include <math.h>
#include <string.h>

#include "stats.h"

/* Of a normal distribution: standard deviation over MAD. */
#define SIGMA_PER_MAD 1.4826

#define NOISE_SIGMAS 3.0
#define LEAST_NOISE_PERCENT 2.0

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts @x; @n is not 0. */
static double median(double *x, unsigned n)
{
    qsort(x, n, sizeof(*x), order);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

Summary summarize(const GArray *samples)
{
    Summary s = { .n = samples->len };
    g_autofree double *x = g_new(double, s.n);

    if (s.n == 0) {
        return s;
    }
    memcpy(x, samples->data, s.n * sizeof(*x));
    s.median = median(x, s.n);
    s.min = x[0];
    s.max = x[s.n - 1];
    for (unsigned i = 0; i < s.n; i++) {
        x[i] = fabs(x[i] - s.median);
    }
    s.mad = median(x, s.n);
    return s;
}

Change compare_summaries(const Summary *a, const Summary *b, double base)
{
    Change change = { .percent = NAN, .noise = NAN };

    if (base == 0) {
        base = fabs(a->median);
    }
    if (a->n == 0 || b->n == 0 || base == 0) {
        return change;
    }
    change.percent = (b->median - a->median) / base * 100;
    if (a->n < 2 || b->n < 2) {
        return change;
    }
    change.noise =
        NOISE_SIGMAS * SIGMA_PER_MAD * hypot(a->mad, b->mad) / base * 100;
    change.noise = fmax(change.noise, LEAST_NOISE_PERCENT);
    change.exceeds = fabs(change.percent) > change.noise;
    return change;
}
