/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the token bucket, on a clock of their own. */
#include <glib.h>

#include "shmig/pace/bucket.h"

#define MS 1000000ll
#define S (1000 * MS)
#define RATE 1000000 /* bytes per second: 1 byte is 1 µs, 50 KB the burst */

static void test_unlimited(void)
{
    ShmigBucket b;

    shmig_bucket_init(&b);
    for (int i = 0; i < 10; i++) {
        g_assert_cmpint(shmig_bucket_take(&b, S, 1ull << 40), ==, 0);
    }
    shmig_bucket_clear(&b);
}

static void test_line(void)
{
    ShmigBucket b;

    shmig_bucket_init(&b);
    shmig_bucket_set_rate(&b, RATE);
    g_assert_cmpint(shmig_bucket_take(&b, S, 100000), ==, 0);
    /* 100 ms taken, 50 ms of them burst. */
    g_assert_cmpint(shmig_bucket_take(&b, S, 100000), ==, 50 * MS);
    g_assert_cmpint(shmig_bucket_take(&b, S, 1), ==, 150 * MS);
    g_assert_cmpint(shmig_bucket_take(&b, S + 20 * MS, 0), ==, 130 * MS + 1000);
    shmig_bucket_clear(&b);
}

static void test_burst_limit(void)
{
    static const struct {
        uint64_t first;
        int64_t wait_ns;
    } cases[] = {
        { 49999, 0 },
        { 50000, 0 },
        { 50001, 1000 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShmigBucket b;

        shmig_bucket_init(&b);
        shmig_bucket_set_rate(&b, RATE);
        shmig_bucket_take(&b, S, cases[i].first);
        g_assert_cmpint(shmig_bucket_take(&b, S, 1), ==, cases[i].wait_ns);
        shmig_bucket_clear(&b);
    }
}

/* An hour of silence is worth no more than the burst. */
static void test_pause_saves_nothing(void)
{
    ShmigBucket b;

    shmig_bucket_init(&b);
    shmig_bucket_set_rate(&b, RATE);
    shmig_bucket_take(&b, S, 1000000);
    g_assert_cmpint(shmig_bucket_take(&b, 3600 * S, 100000), ==, 0);
    g_assert_cmpint(shmig_bucket_take(&b, 3600 * S, 1), ==, 50 * MS);
    shmig_bucket_clear(&b);
}

/* Sending when told to, in frames, for ten seconds. */
static void test_mean_rate(void)
{
    ShmigBucket b;
    int64_t now = S;
    uint64_t sent = 0;

    shmig_bucket_init(&b);
    shmig_bucket_set_rate(&b, RATE);
    for (;;) {
        now += shmig_bucket_take(&b, now, 4096);
        if (now > 11 * S) {
            break;
        }
        sent += 4096;
    }
    g_assert_cmpuint(sent, <=, 10 * RATE + 50000 + 4096);
    g_assert_cmpuint(sent, >, 10 * RATE + 50000 - 4096);
    shmig_bucket_clear(&b);
}

/* A wait of days ends when the limit is lifted or raised. */
static void test_new_rate_counts_for_who_waits(void)
{
    ShmigBucket b;
    uint64_t first, second;

    shmig_bucket_init(&b);
    shmig_bucket_set_rate(&b, 1);
    g_assert_cmpint(shmig_bucket_take_place(&b, S, 1000000, &first), ==, 0);
    g_assert_cmpint(shmig_bucket_take_place(&b, S, 1, &second), ==,
                    1000000 * S);
    g_assert_cmpint(shmig_bucket_left(&b, 2 * S, second), ==, 999999 * S);
    shmig_bucket_set_rate(&b, RATE);
    /* One byte of the million had its time, 50,000 are burst. */
    g_assert_cmpint(shmig_bucket_left(&b, 2 * S, second), ==, 949999 * 1000);
    shmig_bucket_set_rate(&b, 0);
    g_assert_cmpint(shmig_bucket_left(&b, 2 * S, second), ==, 0);
    shmig_bucket_clear(&b);
}

static void test_limit_after_unlimited(void)
{
    ShmigBucket b;

    shmig_bucket_init(&b);
    shmig_bucket_take(&b, S, 1ull << 40);
    shmig_bucket_take(&b, 2 * S, 0);
    shmig_bucket_set_rate(&b, RATE);
    g_assert_cmpint(shmig_bucket_take(&b, 2 * S, 100000), ==, 0);
    g_assert_cmpint(shmig_bucket_take(&b, 2 * S, 1), ==, 50 * MS);
    shmig_bucket_clear(&b);
}

/* Threads may bring the time out of order. */
static void test_clock_steps_back(void)
{
    ShmigBucket b;
    uint64_t place;

    shmig_bucket_init(&b);
    shmig_bucket_set_rate(&b, RATE);
    shmig_bucket_take(&b, S, 100000);
    g_assert_cmpint(shmig_bucket_take_place(&b, S - MS, 1, &place), ==,
                    50 * MS);
    g_assert_cmpint(shmig_bucket_left(&b, 0, place), ==, 50 * MS);
    shmig_bucket_clear(&b);
}

static void test_large_numbers(void)
{
    ShmigBucket b;

    shmig_bucket_init(&b);
    shmig_bucket_set_rate(&b, UINT64_MAX);
    g_assert_cmpint(shmig_bucket_take(&b, 0, 1ull << 62), ==, 0);
    g_assert_cmpint(shmig_bucket_take(&b, INT64_MAX, 1ull << 62), ==, 0);
    shmig_bucket_set_rate(&b, 1);
    shmig_bucket_take(&b, INT64_MAX, 1);
    g_assert_cmpint(shmig_bucket_take(&b, INT64_MAX, 1), ==, INT64_MAX);
    shmig_bucket_clear(&b);
}

#define N_THREADS 4
#define TAKES 10000

static gpointer taker(gpointer opaque)
{
    ShmigBucket *b = opaque;

    for (int i = 0; i < TAKES; i++) {
        shmig_bucket_take(b, S, 100);
    }
    return NULL;
}

/* Nothing that threads take at once is lost. */
static void test_threads(void)
{
    ShmigBucket b;
    GThread *threads[N_THREADS];
    int64_t expected = N_THREADS * TAKES * 100ll * 1000 - 50 * MS;

    shmig_bucket_init(&b);
    shmig_bucket_set_rate(&b, RATE);
    for (int i = 0; i < N_THREADS; i++) {
        threads[i] = g_thread_new("taker", taker, &b);
    }
    for (int i = 0; i < N_THREADS; i++) {
        g_thread_join(threads[i]);
    }
    g_assert_cmpint(shmig_bucket_take(&b, S, 1), ==, expected);
    shmig_bucket_clear(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pace/bucket/unlimited", test_unlimited);
    g_test_add_func("/pace/bucket/line", test_line);
    g_test_add_func("/pace/bucket/burst-limit", test_burst_limit);
    g_test_add_func("/pace/bucket/pause-saves-nothing",
                    test_pause_saves_nothing);
    g_test_add_func("/pace/bucket/mean-rate", test_mean_rate);
    g_test_add_func("/pace/bucket/new-rate-counts-for-who-waits",
                    test_new_rate_counts_for_who_waits);
    g_test_add_func("/pace/bucket/limit-after-unlimited",
                    test_limit_after_unlimited);
    g_test_add_func("/pace/bucket/clock-steps-back", test_clock_steps_back);
    g_test_add_func("/pace/bucket/large-numbers", test_large_numbers);
    g_test_add_func("/pace/bucket/threads", test_threads);
    return g_test_run();
}
