/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the search for zeroes: no byte is overlooked, none is invented. */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "shmig/base/zero.h"

#define GRANULE 4096

static void test_nothing_is_zero(void)
{
    g_assert_true(shmig_is_zero("x", 0));
    g_assert_cmpuint(shmig_zero_prefix("x", 0, GRANULE), ==, 0);
    g_assert_cmpuint(shmig_data_prefix("x", 0, GRANULE), ==, 0);
}

/* Heap blocks of the exact size let a sanitizer see a read past them. */
static void test_each_length_and_byte(void)
{
    for (size_t bytes = 1; bytes <= 520; bytes++) {
        g_autofree uint8_t *buf = g_malloc0(bytes);

        g_assert_true(shmig_is_zero(buf, bytes));
        for (size_t at = 0; at < bytes; at++) {
            buf[at] = 0x80;
            g_assert_false(shmig_is_zero(buf, bytes));
            buf[at] = 0;
        }
    }
}

static void test_neighbours_do_not_count(void)
{
    uint8_t buf[GRANULE + 32];

    for (size_t start = 1; start < 17; start++) {
        memset(buf, 0xff, sizeof(buf));
        memset(buf + start, 0, GRANULE);
        g_assert_true(shmig_is_zero(buf + start, GRANULE));
        g_assert_false(shmig_is_zero(buf + start, GRANULE + 1));
        g_assert_false(shmig_is_zero(buf + start - 1, GRANULE));
    }
}

static void test_each_bit_of_a_page(void)
{
    g_autofree uint8_t *page = g_malloc0(GRANULE);

    for (size_t bit = 0; bit < GRANULE * 8; bit++) {
        page[bit / 8] = 1u << (bit % 8);
        g_assert_false(shmig_is_zero(page, GRANULE));
        page[bit / 8] = 0;
    }
}

static void test_prefix_stops_at_change(void)
{
    g_autofree uint8_t *buf = g_malloc0(8 * GRANULE);

    buf[3 * GRANULE + 100] = 1;
    buf[4 * GRANULE + 4095] = 1;
    g_assert_cmpuint(shmig_zero_prefix(buf, 8 * GRANULE, GRANULE), ==,
                     3 * GRANULE);
    g_assert_cmpuint(shmig_data_prefix(buf, 8 * GRANULE, GRANULE), ==, 0);
    g_assert_cmpuint(shmig_data_prefix(buf + 3 * GRANULE, 5 * GRANULE, GRANULE),
                     ==, 2 * GRANULE);
    g_assert_cmpuint(shmig_zero_prefix(buf + 5 * GRANULE, 3 * GRANULE, GRANULE),
                     ==, 3 * GRANULE);
}

static void test_prefix_takes_short_end(void)
{
    g_autofree uint8_t *buf = g_malloc0(2 * GRANULE + 512);

    g_assert_cmpuint(shmig_zero_prefix(buf, 2 * GRANULE + 512, GRANULE), ==,
                     2 * GRANULE + 512);
    buf[2 * GRANULE + 511] = 1;
    g_assert_cmpuint(shmig_zero_prefix(buf, 2 * GRANULE + 512, GRANULE), ==,
                     2 * GRANULE);
    g_assert_cmpuint(shmig_data_prefix(buf + 2 * GRANULE, 512, GRANULE), ==,
                     512);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/zero/nothing-is-zero", test_nothing_is_zero);
    g_test_add_func("/base/zero/each-length-and-byte",
                    test_each_length_and_byte);
    g_test_add_func("/base/zero/neighbours-do-not-count",
                    test_neighbours_do_not_count);
    g_test_add_func("/base/zero/each-bit-of-a-page", test_each_bit_of_a_page);
    g_test_add_func("/base/zero/prefix-stops-at-change",
                    test_prefix_stops_at_change);
    g_test_add_func("/base/zero/prefix-takes-short-end",
                    test_prefix_takes_short_end);
    return g_test_run();
}
