/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one range test, at its limits and where numbers wrap around. */
#include "shmig/base/range.h"

#include <glib.h>

static void test_range(void)
{
    static const struct {
        uint64_t offset, length, limit;
        bool ok;
    } cases[] = {
        { 0, 1, 1, true },
        { 0, 0, 1, false },
        { 1, 0, 1, false },
        { 0, 0, 0, false },
        { 0, 1, 0, false },
        { 0, 7, 8, true },
        { 0, 8, 8, true },
        { 0, 9, 8, false },
        { 7, 1, 8, true },
        { 8, 1, 8, false },
        { 7, 2, 8, false },
        { 0, UINT64_MAX, UINT64_MAX, true },
        { 1, UINT64_MAX, UINT64_MAX, false },
        { UINT64_MAX, 1, UINT64_MAX, false },
        { UINT64_MAX - 1, 1, UINT64_MAX, true },
        { UINT64_MAX, 2, 8, false },     /* ends at 1 */
        { 8, UINT64_MAX, 8, false },     /* ends at 7 */
        { UINT64_MAX - 7, 8, 8, false }, /* ends at 0 */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (shmig_range_ok(cases[i].offset, cases[i].length, cases[i].limit) !=
            cases[i].ok) {
            g_error("case %u: not %s", i, cases[i].ok ? "taken" : "refused");
        }
    }
}

static void test_index(void)
{
    g_assert_false(shmig_index_ok(0, 0));
    g_assert_true(shmig_index_ok(0, 1));
    g_assert_false(shmig_index_ok(1, 1));
    g_assert_true(shmig_index_ok(6, 8));
    g_assert_true(shmig_index_ok(7, 8));
    g_assert_false(shmig_index_ok(8, 8));
    g_assert_false(shmig_index_ok(9, 8));
    g_assert_false(shmig_index_ok(UINT64_MAX, UINT64_MAX));
    g_assert_true(shmig_index_ok(UINT64_MAX - 1, UINT64_MAX));
}

static void test_overlap(void)
{
    g_assert_true(shmig_ranges_overlap(0, 8, 7, 1));
    g_assert_false(shmig_ranges_overlap(0, 8, 8, 1));
    g_assert_true(shmig_ranges_overlap(7, 2, 0, 8));
    g_assert_false(shmig_ranges_overlap(8, 2, 0, 8));
    g_assert_true(shmig_ranges_overlap(2, 2, 0, 8));
    g_assert_true(shmig_ranges_overlap(0, 8, 2, 2));
    g_assert_false(shmig_ranges_overlap(0, 1, 1, 1));
    g_assert_false(shmig_ranges_overlap(1, 1, 0, 1));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/range/limits", test_range);
    g_test_add_func("/base/range/index", test_index);
    g_test_add_func("/base/range/overlap", test_overlap);
    return g_test_run();
}
