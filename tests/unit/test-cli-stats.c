/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Medians, and when two of them differ. */
#include <math.h>

#include <glib.h>

#include "stats.h"

static Summary of(const double *x, unsigned n)
{
    g_autoptr(GArray) samples = g_array_new(FALSE, FALSE, sizeof(double));

    g_array_append_vals(samples, x, n);
    return summarize(samples);
}

static void test_summary(void)
{
    static const struct {
        unsigned n;
        double x[6], median, min, max, mad;
    } rows[] = {
        { 1, { 7 }, 7, 7, 7, 0 },
        { 2, { 9, 1 }, 5, 1, 9, 4 },
        { 3, { 3, 1, 2 }, 2, 1, 3, 1 },
        { 4, { 4, 1, 3, 2 }, 2.5, 1, 4, 1 },
        { 5, { 1, 1, 2, 2, 1000 }, 2, 1, 1000, 1 },
        { 6, { -1, -5, 0, 3, 3, 3 }, 1.5, -5, 3, 1.5 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Summary s = of(rows[i].x, rows[i].n);

        g_assert_cmpuint(s.n, ==, rows[i].n);
        g_assert_cmpfloat(s.median, ==, rows[i].median);
        g_assert_cmpfloat(s.min, ==, rows[i].min);
        g_assert_cmpfloat(s.max, ==, rows[i].max);
        g_assert_cmpfloat(s.mad, ==, rows[i].mad);
    }
}

static void test_empty(void)
{
    Summary none = of(NULL, 0), one = of((double[]) { 1 }, 1);

    g_assert_cmpuint(none.n, ==, 0);
    g_assert_true(isnan(compare_summaries(&none, &one, 0).percent));
    g_assert_true(isnan(compare_summaries(&one, &none, 0).percent));
    g_assert_false(compare_summaries(&one, &none, 0).exceeds);
}

/* The samples are the caller's, in the order of the iterations. */
static void test_order_is_kept(void)
{
    g_autoptr(GArray) samples = g_array_new(FALSE, FALSE, sizeof(double));
    double x[] = { 3, 1, 2 };

    g_array_append_vals(samples, x, 3);
    summarize(samples);
    g_assert_cmpfloat(g_array_index(samples, double, 0), ==, 3);
    g_assert_cmpfloat(g_array_index(samples, double, 2), ==, 2);
}

static void test_noise(void)
{
    Summary quiet = { .n = 9, .median = 100, .mad = 0 };
    Summary near = { .n = 9, .median = 101.9, .mad = 0 };
    Summary far = { .n = 9, .median = 97.9, .mad = 0 };
    Summary loud = { .n = 9, .median = 130, .mad = 10 };
    Change c;

    g_assert_false(compare_summaries(&quiet, &near, 0).exceeds);
    c = compare_summaries(&quiet, &far, 0);
    g_assert_true(c.exceeds);
    g_assert_cmpfloat_with_epsilon(c.percent, -2.1, 1e-9);
    c = compare_summaries(&quiet, &loud, 0);
    g_assert_false(c.exceeds);
    g_assert_cmpfloat_with_epsilon(c.percent, 30, 1e-9);
    g_assert_cmpfloat_with_epsilon(c.noise, 44.478, 1e-9);
}

static void test_once_says_nothing(void)
{
    Summary once = { .n = 1, .median = 100 };
    Summary often = { .n = 9, .median = 300, .mad = 1 };
    Change c = compare_summaries(&once, &often, 0);

    g_assert_cmpfloat(c.percent, ==, 200);
    g_assert_true(isnan(c.noise));
    g_assert_false(c.exceeds);
}

/* From 0.1 % to 0.3 % is no threefold loss. */
static void test_base(void)
{
    Summary a = { .n = 9, .median = 0.1, .mad = 0.05 };
    Summary b = { .n = 9, .median = 0.3, .mad = 0.05 };
    Summary zero = { .n = 9 };

    g_assert_cmpfloat_with_epsilon(compare_summaries(&a, &b, 100).percent, 0.2,
                                   1e-9);
    g_assert_false(compare_summaries(&a, &b, 100).exceeds);
    g_assert_true(isnan(compare_summaries(&zero, &b, 0).percent));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/stats/summary", test_summary);
    g_test_add_func("/cli/stats/empty", test_empty);
    g_test_add_func("/cli/stats/order-is-kept", test_order_is_kept);
    g_test_add_func("/cli/stats/noise", test_noise);
    g_test_add_func("/cli/stats/once-says-nothing", test_once_says_nothing);
    g_test_add_func("/cli/stats/base", test_base);
    return g_test_run();
}
