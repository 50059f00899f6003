/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which channel carries a stripe, and which stripes a channel carries. */
#include "shmig/base/stripe.h"

#include <glib.h>

/* As docs/protocol.md has it. */
static void test_channel(void)
{
    g_assert_cmpuint(shmig_stripe_channel(0, 0, 4), ==, 0);
    g_assert_cmpuint(shmig_stripe_channel(0, 3, 4), ==, 3);
    g_assert_cmpuint(shmig_stripe_channel(0, 4, 4), ==, 0);
    g_assert_cmpuint(shmig_stripe_channel(3, 2, 4), ==, 1);
    g_assert_cmpuint(shmig_stripe_channel(7, 9, 1), ==, 0);
}

/* 2³² - 1 + 1 is not 0, but a multiple of 4 and one more than one of 3. */
static void test_channel_in_64_bits(void)
{
    g_assert_cmpuint(shmig_stripe_channel(UINT32_MAX, 1, 4), ==, 0);
    g_assert_cmpuint(shmig_stripe_channel(UINT32_MAX, 1, 3), ==, 1);
    g_assert_cmpuint(shmig_stripe_channel(UINT32_MAX, 1, 64), ==, 0);
    g_assert_cmpuint(shmig_stripe_channel(UINT32_MAX, UINT32_MAX, 5), ==, 0);
}

/* Each stripe is found from where it and those before it begin. */
static void test_from(void)
{
    static const uint32_t regions[] = { 0, 1, 5, UINT32_MAX };

    for (unsigned r = 0; r < G_N_ELEMENTS(regions); r++) {
        for (unsigned channels = 1; channels <= 7; channels++) {
            for (unsigned c = 0; c < channels; c++) {
                for (uint64_t from = 0; from < 20; from++) {
                    uint64_t s =
                        shmig_stripe_from(regions[r], from, c, channels);

                    g_assert_cmpuint(s, >=, from);
                    g_assert_cmpuint(s, <, from + channels);
                    g_assert_cmpuint(
                        shmig_stripe_channel(regions[r], s, channels), ==, c);
                }
            }
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/stripe/channel", test_channel);
    g_test_add_func("/base/stripe/channel-64-bits", test_channel_in_64_bits);
    g_test_add_func("/base/stripe/from", test_from);
    return g_test_run();
}
