/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cursor rule, case by case. */
#include "shmig/disk/lane.h"
#include "shmig/disk/mirror.h"
#include "shmig/wire/limits.h"

#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)
#define GRANULE (64u * KIB)
#define BYTES (8u * MIB + 512)
#define QUEUE (4u * MIB)
#define ID 5

typedef struct World {
    ShmigLane lane;
    ShmigRegion *region;
    ShmigRegionStats stats;
    unsigned n_wake;
    uint8_t *buf; /* each sector holds its number */
} World;

static void wake(void *opaque)
{
    World *w = opaque;

    w->n_wake++;
}

static World *world_new(void)
{
    World *w = g_new0(World, 1);

    shmig_lane_init(&w->lane, QUEUE, wake, w);
    w->region = shmig_region_new(ID, SHMIG_REGION_DISK, BYTES);
    w->buf = g_malloc(2 * MIB);
    for (unsigned i = 0; i < 2 * MIB / 512; i++) {
        memset(w->buf + i * 512, i % 251, 512);
    }
    return w;
}

static void world_free(World *w)
{
    shmig_lane_destroy(&w->lane);
    shmig_region_free(w->region);
    g_free(w->buf);
    g_free(w);
}

static int64_t write_at(World *w, uint64_t offset, uint64_t length)
{
    return shmig_lane_written(&w->lane, w->region, &w->stats, offset, length,
                              w->buf);
}

/* The next payload is @length bytes for @offset, from @from in the buffer. */
static void expect(World *w, uint64_t offset, uint64_t length, unsigned from)
{
    ShmigInline *item = shmig_lane_pop(&w->lane, UINT64_MAX, 1);

    g_assert_nonnull(item);
    g_assert_null(item->next);
    g_assert_cmpuint(item->region, ==, ID);
    g_assert_cmpuint(item->offset, ==, offset);
    g_assert_cmpuint(item->length, ==, length);
    g_assert_false(item->zero);
    g_assert_cmpmem(item->bytes, item->length, w->buf + from, length);
    shmig_inline_free(item);
}

static void expect_empty(World *w)
{
    g_assert_null(shmig_lane_pop(&w->lane, UINT64_MAX, 100));
}

static bool is_pending(World *w, uint64_t granule)
{
    return shmig_region_any(w->region, granule, 1);
}

static void test_clean_is_sent(void)
{
    World *w = world_new();

    g_assert_cmpint(write_at(w, 3 * GRANULE + 512, 1024), ==, 0);
    g_assert_cmpuint(w->n_wake, ==, 1);
    g_assert_cmpuint(w->region->pending_granules, ==, 0);
    expect(w, 3 * GRANULE + 512, 1024, 0);
    expect_empty(w);
    world_free(w);
}

/* Many granules of one write stay one payload. */
static void test_long_write_is_one(void)
{
    World *w = world_new();

    write_at(w, GRANULE - 512, 5 * GRANULE + 1024);
    expect(w, GRANULE - 512, 5 * GRANULE + 1024, 0);
    expect_empty(w);
    world_free(w);
}

/* Except where a frame could not carry it. */
static void test_too_long_for_a_frame(void)
{
    World *w = world_new();

    write_at(w, 0, 2 * MIB);
    expect(w, 0, SHMIG_MAX_PAYLOAD, 0);
    expect(w, SHMIG_MAX_PAYLOAD, SHMIG_MAX_PAYLOAD, SHMIG_MAX_PAYLOAD);
    expect_empty(w);
    world_free(w);
}

static void test_pending_is_left_to_the_bulk(void)
{
    World *w = world_new();

    shmig_region_set(w->region, 2, 2);
    write_at(w, 2 * GRANULE, 2 * GRANULE);
    expect_empty(w);
    g_assert_cmpuint(w->region->pending_granules, ==, 2);
    world_free(w);
}

static void test_copying_becomes_pending(void)
{
    World *w = world_new();

    shmig_region_set(w->region, 4, 2);
    shmig_lane_take(&w->lane, 0, w->region, 4, 2);
    g_assert_false(is_pending(w, 4));
    write_at(w, 5 * GRANULE + 512, 512);
    expect_empty(w);
    g_assert_false(is_pending(w, 4));
    g_assert_true(is_pending(w, 5));
    world_free(w);
}

static void test_released_is_sent(void)
{
    World *w = world_new();

    shmig_region_set(w->region, 4, 1);
    shmig_lane_take(&w->lane, 0, w->region, 4, 1);
    shmig_lane_release(&w->lane, 0);
    write_at(w, 4 * GRANULE, 512);
    expect(w, 4 * GRANULE, 512, 0);
    world_free(w);
}

/* The last byte before and the first after a range are not in it. */
static void test_beside_what_is_copied(void)
{
    World *w = world_new();

    shmig_region_set(w->region, 4, 1);
    shmig_lane_take(&w->lane, 3, w->region, 4, 1);
    write_at(w, 4 * GRANULE - 512, 512);
    write_at(w, 5 * GRANULE, 512);
    expect(w, 4 * GRANULE - 512, 512, 0);
    expect(w, 5 * GRANULE, 512, 0);
    world_free(w);
}

static void test_other_regions_do_not_matter(void)
{
    World *w = world_new();
    ShmigRegion *other = shmig_region_new(ID + 1, SHMIG_REGION_DISK, BYTES);

    shmig_region_set(other, 4, 1);
    shmig_lane_take(&w->lane, 0, other, 4, 1);
    write_at(w, 4 * GRANULE, 512);
    expect(w, 4 * GRANULE, 512, 0);
    shmig_region_free(other);
    world_free(w);
}

/* One write over granules of all kinds: clean, pending, clean, copied. */
static void test_mixed(void)
{
    World *w = world_new();

    shmig_region_set(w->region, 1, 1);
    shmig_region_set(w->region, 3, 1);
    shmig_lane_take(&w->lane, 0, w->region, 3, 1);
    write_at(w, GRANULE - 1024, 4 * GRANULE + 1024);
    expect(w, GRANULE - 1024, 1024, 0);
    expect(w, 2 * GRANULE, GRANULE, 1024 + GRANULE);
    expect(w, 4 * GRANULE, GRANULE, 1024 + 3 * GRANULE);
    expect_empty(w);
    g_assert_true(is_pending(w, 1));
    g_assert_true(is_pending(w, 3));
    g_assert_cmpuint(w->region->pending_granules, ==, 2);
    world_free(w);
}

static void test_zeroes(void)
{
    World *w = world_new();
    ShmigInline *item;

    shmig_lane_written(&w->lane, w->region, &w->stats, 0, 2 * MIB, NULL);
    item = shmig_lane_pop(&w->lane, 0, 1);
    g_assert_true(item->zero);
    g_assert_cmpuint(item->length, ==, 2 * MIB);
    g_assert_cmpuint(w->lane.queued_bytes, ==, 0);
    shmig_inline_free(item);
    world_free(w);
}

static void test_last_granule_is_short(void)
{
    World *w = world_new();

    write_at(w, 8 * MIB, 512);
    expect(w, 8 * MIB, 512, 0);
    shmig_region_set(w->region, 128, 1);
    shmig_lane_take(&w->lane, 0, w->region, 128, 1);
    write_at(w, 8 * MIB, 512);
    expect_empty(w);
    g_assert_true(is_pending(w, 128));
    world_free(w);
}

static int64_t test_time_ns;

static int64_t test_clock(void)
{
    return test_time_ns;
}

static void test_full_queue(void)
{
    World *w = world_new();
    unsigned n = 0;

    while (w->region->pending_granules == 0) {
        write_at(w, n++ * (uint64_t)GRANULE, GRANULE);
        g_assert_cmpuint(w->lane.queued_bytes, <=, QUEUE);
    }
    g_assert_cmpuint(n, <=, QUEUE / GRANULE + 1);
    g_assert_true(is_pending(w, n - 1));
    expect(w, 0, GRANULE, 0);
    write_at(w, n * (uint64_t)GRANULE, GRANULE);
    g_assert_false(is_pending(w, n));
    world_free(w);
}

/* The beginning of a write that is longer than the queue goes into it. */
static void test_longer_than_the_queue(void)
{
    World *w = world_new();

    w->lane.max_queued_bytes = 512 * KIB;
    shmig_lane_set_rate(&w->lane, 10 * MIB);
    g_assert_cmpint(write_at(w, 0, MIB), >, 0);
    g_assert_cmpuint(w->lane.queued_bytes, <=, 512 * KIB);
    for (unsigned i = 0; i < 16; i++) {
        g_assert_cmpint(is_pending(w, i), ==, i >= 7);
    }
    expect(w, 0, 7 * GRANULE, 0);
    expect_empty(w);
    world_free(w);
}

/* So that even writes of that length are held to what can be sent. */
static void test_outrun_by_long_writes(void)
{
    World *w = world_new();
    uint64_t written = 0;

    w->lane.max_queued_bytes = 512 * KIB;
    w->lane.clock_ns = test_clock;
    shmig_lane_set_rate(&w->lane, 20 * MIB);
    for (test_time_ns = 0; test_time_ns < 5000000000; written += MIB) {
        test_time_ns += 1000000 + write_at(w, written % (8 * MIB), MIB);
        /* It is sent at that rate, and the bulk copy reads what it left. */
        shmig_inline_free(shmig_lane_pop(&w->lane, UINT64_MAX, 100));
        shmig_region_clear(w->region, 0, 8 * MIB / GRANULE);
    }
    g_assert_cmpuint(written, <=, 5 * 20 * MIB);
    world_free(w);
}

/* Payloads without bytes cost memory as well. */
static void test_zeroes_fill_the_queue(void)
{
    World *w = world_new();

    for (unsigned i = 0; i < QUEUE / 16 && !w->region->pending_granules; i++) {
        shmig_lane_written(&w->lane, w->region, &w->stats, 0, 512, NULL);
    }
    g_assert_cmpuint(w->region->pending_granules, ==, 1);
    world_free(w);
}

static void test_order_and_marks(void)
{
    World *w = world_new();

    write_at(w, 0, 512);
    write_at(w, 0, 1024);
    shmig_region_set(w->region, 9, 2);
    g_assert_cmpuint(shmig_lane_take(&w->lane, 0, w->region, 9, 1), ==, 2);
    write_at(w, 512, 512);
    g_assert_cmpuint(shmig_lane_take(&w->lane, 1, w->region, 10, 1), ==, 3);
    g_assert_cmpuint(shmig_lane_popped(&w->lane), ==, 0);
    expect(w, 0, 512, 0);
    expect(w, 0, 1024, 0);
    g_assert_cmpuint(shmig_lane_popped(&w->lane), ==, 2);
    expect(w, 512, 512, 0);
    g_assert_cmpuint(shmig_lane_popped(&w->lane), ==, 3);
    world_free(w);
}

static unsigned pop(World *w, uint64_t max_bytes, unsigned max_n)
{
    ShmigInline *list = shmig_lane_pop(&w->lane, max_bytes, max_n);
    unsigned n = 0;

    for (ShmigInline *item = list; item; item = item->next) {
        n++;
    }
    shmig_inline_free(list);
    return n;
}

static void test_pop_limits(void)
{
    World *w = world_new();

    for (unsigned i = 0; i < 10; i++) {
        write_at(w, i * (uint64_t)GRANULE, 4096);
    }
    g_assert_cmpuint(pop(w, UINT64_MAX, 3), ==, 3);
    g_assert_cmpuint(pop(w, 2 * 4096, 100), ==, 2);
    g_assert_cmpuint(pop(w, 2 * 4096 - 1, 100), ==, 1);
    /* At least one, however long it is. */
    g_assert_cmpuint(pop(w, 1, 100), ==, 1);
    g_assert_cmpuint(pop(w, UINT64_MAX, 100), ==, 3);
    g_assert_cmpuint(pop(w, UINT64_MAX, 100), ==, 0);
    g_assert_cmpuint(w->lane.queued_bytes, ==, 0);
    world_free(w);
}

static void test_delay(void)
{
    World *w = world_new();
    int64_t delay;

    shmig_lane_set_rate(&w->lane, 750 * MIB);
    g_assert_cmpint(write_at(w, 0, 2 * MIB - 64 * KIB), ==, 0);
    delay = write_at(w, 2 * MIB, MIB);
    /* A little less than 1 MiB over half, at 3/4 of 750 MiB a second. */
    g_assert_cmpint(delay, >, 900000 * 16 / 9);
    g_assert_cmpint(delay, <, 1000000 * 16 / 9);
    g_assert_cmpuint(w->stats.delayed_ns, ==, delay);
    shmig_lane_set_rate(&w->lane, 1);
    g_assert_cmpint(write_at(w, 4 * MIB, 512), ==, SHMIG_MIRROR_MAX_DELAY_NS);
    shmig_lane_set_rate(&w->lane, 0);
    g_assert_cmpint(write_at(w, 5 * MIB, 512), ==, 0);
    world_free(w);
}

/* Writes at once are released one after the other, not all together. */
static void test_delays_add_up(void)
{
    World *w = world_new();
    int64_t share = 64 * KIB * 1e9 / (10 * MIB * 0.75);
    int64_t delay[3];

    w->lane.clock_ns = test_clock;
    shmig_lane_set_rate(&w->lane, 10 * MIB);
    g_assert_cmpint(write_at(w, 0, 2 * MIB - 1024), ==, 0);
    for (unsigned i = 0; i < 3; i++) {
        delay[i] = write_at(w, (4 + i) * (uint64_t)MIB, 64 * KIB);
    }
    g_assert_cmpint(delay[1] - delay[0], >=, share);
    g_assert_cmpint(delay[2] - delay[1], >=, share);
    g_assert_cmpint(delay[2], <, 4 * share);
    /* Time that has passed is over. */
    test_time_ns += delay[2] + 1000;
    g_assert_cmpint(write_at(w, 0, 64 * KIB), <, 2 * share);
    world_free(w);
}

/* A guest with @n writes of @bytes in flight, for 5 s; pending granules. */
static uint64_t outrun(World *w, unsigned n, uint64_t bytes, uint64_t rate)
{
    g_autofree int64_t *due = g_new0(int64_t, n);
    uint64_t sent = 0, at = 0;

    test_time_ns = 0;
    w->lane.clock_ns = test_clock;
    shmig_lane_set_rate(&w->lane, rate);
    for (; test_time_ns < 5000000000; test_time_ns += 1000000) {
        for (unsigned i = 0; i < n; i++) {
            if (due[i] <= test_time_ns) {
                due[i] = test_time_ns + write_at(w, at, bytes);
                at = (at + bytes) % (8 * MIB);
            }
        }
        while (sent < rate * (test_time_ns / 1000000) / 1000) {
            ShmigInline *item = shmig_lane_pop(&w->lane, 1, 1);

            sent += item ? item->length : bytes;
            shmig_inline_free(item);
        }
    }
    return w->region->pending_granules;
}

static void test_deep_queue(void)
{
    World *w = world_new();

    /* In 50 ms each it would write 35 MiB a second. */
    g_assert_cmpuint(outrun(w, 28, GRANULE, 20 * MIB), ==, 0);
    world_free(w);
}

static void test_closed(void)
{
    World *w = world_new();

    shmig_lane_set_rate(&w->lane, 1);
    write_at(w, 0, 2 * MIB);
    write_at(w, 2 * MIB, MIB);
    shmig_lane_close(&w->lane);
    expect_empty(w);
    g_assert_cmpuint(w->lane.queued_bytes, ==, 0);
    g_assert_cmpint(write_at(w, 6 * MIB, 512), ==, 0);
    expect_empty(w);
    g_assert_true(is_pending(w, 96));
    world_free(w);
}

static void test_taken_counts_as_queued(void)
{
    World *w = world_new();

    g_assert_cmpuint(shmig_lane_queued_bytes(&w->lane), ==, 0);
    shmig_region_set(w->region, 0, 4);
    shmig_lane_take(&w->lane, 0, w->region, 0, 3);
    g_assert_cmpuint(shmig_lane_queued_bytes(&w->lane), ==, 3 * GRANULE);
    shmig_lane_take(&w->lane, 7, w->region, 3, 1);
    g_assert_cmpuint(shmig_lane_queued_bytes(&w->lane), ==, 4 * GRANULE);
    shmig_lane_release(&w->lane, 0);
    shmig_lane_release(&w->lane, 7);
    g_assert_cmpuint(shmig_lane_queued_bytes(&w->lane), ==, 0);
    write_at(w, 0, 512);
    g_assert_cmpuint(shmig_lane_queued_bytes(&w->lane), >=, 512);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/lane/clean-is-sent", test_clean_is_sent);
    g_test_add_func("/disk/lane/long-write", test_long_write_is_one);
    g_test_add_func("/disk/lane/too-long", test_too_long_for_a_frame);
    g_test_add_func("/disk/lane/pending", test_pending_is_left_to_the_bulk);
    g_test_add_func("/disk/lane/copying", test_copying_becomes_pending);
    g_test_add_func("/disk/lane/released", test_released_is_sent);
    g_test_add_func("/disk/lane/beside", test_beside_what_is_copied);
    g_test_add_func("/disk/lane/other-region",
                    test_other_regions_do_not_matter);
    g_test_add_func("/disk/lane/mixed", test_mixed);
    g_test_add_func("/disk/lane/zeroes", test_zeroes);
    g_test_add_func("/disk/lane/short-granule", test_last_granule_is_short);
    g_test_add_func("/disk/lane/full-queue", test_full_queue);
    g_test_add_func("/disk/lane/longer-than-the-queue",
                    test_longer_than_the_queue);
    g_test_add_func("/disk/lane/outrun-by-long-writes",
                    test_outrun_by_long_writes);
    g_test_add_func("/disk/lane/full-of-zeroes", test_zeroes_fill_the_queue);
    g_test_add_func("/disk/lane/order-and-marks", test_order_and_marks);
    g_test_add_func("/disk/lane/pop-limits", test_pop_limits);
    g_test_add_func("/disk/lane/delay", test_delay);
    g_test_add_func("/disk/lane/delays-add-up", test_delays_add_up);
    g_test_add_func("/disk/lane/deep-queue", test_deep_queue);
    g_test_add_func("/disk/lane/closed", test_closed);
    g_test_add_func("/disk/lane/taken", test_taken_counts_as_queued);
    return g_test_run();
}
