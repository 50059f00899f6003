/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages a channel finds to send, and which it leaves pending. */
#include "shmig/ram/send.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096ull
#define STRIPE ((uint64_t)SHMIG_STRIPE_BYTES)
#define MOST SHMIG_MAX_PAYLOAD

/* A tracker that lets the test do something in the worst moment. */
typedef struct World {
    ShmigTracker tracker;
    ShmigRamBlock block[2];
    uint64_t bytes[2];
    ShmigRamWalk walk;
    ShmigBatch batch;
    unsigned n_clear;
    int clear_error;
    void (*on_clear)(struct World *w, ShmigRegion *region, uint64_t first,
                     uint64_t n);
} World;

static int clear(ShmigTracker *tracker, ShmigRegion *region, uint64_t first,
                 uint64_t n)
{
    World *w = (World *)tracker;

    w->n_clear++;
    g_assert_true(shmig_region_all(region, first, n));
    if (w->clear_error) {
        return w->clear_error;
    }
    if (w->on_clear) {
        w->on_clear(w, region, first, n);
    }
    return 0;
}

static const ShmigTrackerOps tracker_ops = { .name = "test", .clear = clear };

static World *world_new(uint64_t bytes0, uint64_t bytes1, unsigned channel,
                        unsigned channels)
{
    World *w = g_new0(World, 1);

    w->tracker.ops = &tracker_ops;
    w->bytes[0] = bytes0;
    w->bytes[1] = bytes1;
    for (unsigned i = 0; i < 2; i++) {
        w->block[i].region = shmig_region_new(i, SHMIG_REGION_RAM, w->bytes[i]);
        w->block[i].host =
            mmap(NULL, w->bytes[i] + PAGE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(w->block[i].host != MAP_FAILED);
    }
    shmig_ram_walk_init(&w->walk, channel, channels);
    return w;
}

static void world_free(World *w)
{
    for (unsigned i = 0; i < 2; i++) {
        shmig_region_free(w->block[i].region);
        munmap(w->block[i].host, w->bytes[i] + PAGE);
    }
    g_free(w);
}

static void dirty(World *w, unsigned block, uint64_t page, uint8_t byte)
{
    memset(w->block[block].host + page * PAGE, byte, PAGE);
    shmig_region_set(w->block[block].region, page, 1);
}

static unsigned fill(World *w, uint32_t max)
{
    g_assert_cmpint(
        shmig_ram_fill(&w->walk, w->block, 2, &w->tracker, max, &w->batch), ==,
        0);
    return w->batch.n_records;
}

static void check_record(World *w, unsigned i, uint32_t region, uint8_t kind,
                         uint64_t offset, uint64_t length)
{
    const ShmigRecord *r = &w->batch.records[i];

    g_assert_cmpuint(i, <, w->batch.n_records);
    g_assert_cmpuint(r->region, ==, region);
    g_assert_cmpuint(r->kind, ==, kind);
    g_assert_cmpuint(r->offset, ==, offset);
    g_assert_cmpuint(r->length, ==, length);
}

static uint64_t pending(World *w)
{
    return w->block[0].region->pending_granules +
           w->block[1].region->pending_granules;
}

static void test_nothing(void)
{
    World *w = world_new(STRIPE, STRIPE, 0, 1);

    g_assert_cmpuint(fill(w, MOST), ==, 0);
    g_assert_cmpuint(w->n_clear, ==, 0);
    world_free(w);
}

static void test_data_and_zeroes(void)
{
    World *w = world_new(STRIPE, STRIPE, 0, 1);

    dirty(w, 0, 3, 1);
    dirty(w, 0, 4, 1);
    dirty(w, 0, 5, 0);
    dirty(w, 0, 6, 0);
    dirty(w, 0, 8, 2);
    dirty(w, 1, 0, 3);
    g_assert_cmpuint(fill(w, MOST), ==, 4);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 3 * PAGE, 2 * PAGE);
    check_record(w, 1, 0, SHMIG_RECORD_ZERO, 5 * PAGE, 2 * PAGE);
    check_record(w, 2, 0, SHMIG_RECORD_DATA, 8 * PAGE, PAGE);
    check_record(w, 3, 1, SHMIG_RECORD_DATA, 0, PAGE);
    g_assert_cmpuint(w->batch.payload, ==, 4 * PAGE);
    g_assert_true(w->batch.iov[0].iov_base == w->block[0].host + 3 * PAGE);
    g_assert_cmpuint(w->block[0].stats.data_bytes, ==, 3 * PAGE);
    g_assert_cmpuint(w->block[0].stats.zero_bytes, ==, 2 * PAGE);
    g_assert_cmpuint(pending(w), ==, 0);
    g_assert_cmpuint(fill(w, MOST), ==, 0);
    world_free(w);
}

static void test_only_own_stripes(void)
{
    World *w = world_new(4 * STRIPE, 2 * STRIPE, 1, 2);

    for (unsigned s = 0; s < 4; s++) {
        dirty(w, 0, s * STRIPE / PAGE, 1);
    }
    dirty(w, 1, 0, 1);
    dirty(w, 1, STRIPE / PAGE, 1);
    g_assert_cmpuint(fill(w, MOST), ==, 3);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, STRIPE, PAGE);
    check_record(w, 1, 0, SHMIG_RECORD_DATA, 3 * STRIPE, PAGE);
    check_record(w, 2, 1, SHMIG_RECORD_DATA, 0, PAGE);
    g_assert_cmpuint(pending(w), ==, 3);
    world_free(w);
}

/* What does not fit stays pending and is found by the next walk. */
static void test_payload_limit(void)
{
    World *w = world_new(STRIPE, STRIPE, 0, 1);

    for (unsigned i = 0; i < 100; i++) {
        dirty(w, 0, i, 1);
    }
    fill(w, 16 * PAGE);
    g_assert_cmpuint(w->batch.payload, ==, 16 * PAGE);
    g_assert_cmpuint(pending(w), ==, 84);
    fill(w, 16 * PAGE);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 16 * PAGE, 16 * PAGE);
    fill(w, MOST);
    g_assert_cmpuint(w->batch.payload, ==, 68 * PAGE);
    g_assert_cmpuint(pending(w), ==, 0);
    world_free(w);
}

static void test_whole_frame(void)
{
    World *w = world_new(STRIPE, STRIPE, 0, 1);

    memset(w->block[0].host, 1, STRIPE);
    shmig_region_set(w->block[0].region, 0, UINT64_MAX);
    g_assert_cmpuint(fill(w, MOST), ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 0, MOST);
    g_assert_cmpuint(fill(w, MOST), ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, MOST, STRIPE - MOST);
    g_assert_cmpuint(fill(w, MOST), ==, 0);
    world_free(w);
}

/* More records than a frame holds, within one run of pending pages. */
static void test_record_limit(void)
{
    World *w = world_new(2 * STRIPE, 2 * STRIPE, 0, 1);
    unsigned seen = 0;

    for (unsigned b = 0; b < 2; b++) {
        for (unsigned i = 0; i < 2 * STRIPE / PAGE; i++) {
            dirty(w, b, i, i % 2);
        }
    }
    while (fill(w, MOST)) {
        g_assert_cmpuint(w->batch.n_records, <=, SHMIG_MAX_RECORDS);
        g_assert_cmpuint(w->batch.payload, <=, MOST);
        for (unsigned i = 0; i < w->batch.n_records; i++) {
            seen += w->batch.records[i].length / PAGE;
        }
    }
    g_assert_cmpuint(seen, ==, 4 * STRIPE / PAGE);
    g_assert_cmpuint(pending(w), ==, 0);
    g_assert_cmpuint(w->block[0].stats.resent_bytes, ==, 0);
    world_free(w);
}

/* The block ends within a page: not one byte more is sent. */
static void test_short_last_page(void)
{
    World *w = world_new(STRIPE + 40, STRIPE, 0, 1);

    memset(w->block[0].host + STRIPE, 7, PAGE);
    shmig_region_set(w->block[0].region, STRIPE / PAGE, 1);
    g_assert_cmpuint(fill(w, MOST), ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, STRIPE, 40);
    memset(w->block[0].host + STRIPE, 0, 40);
    shmig_region_set(w->block[0].region, STRIPE / PAGE, 1);
    g_assert_cmpuint(fill(w, MOST), ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_ZERO, STRIPE, 40);
    world_free(w);
}

static void write_while_armed(World *w, ShmigRegion *region, uint64_t first,
                              uint64_t n)
{
    memset(w->block[region->id].host + first * PAGE, 9, n * PAGE);
}

/* What is written when the page is armed belongs to this copy. */
static void test_bytes_are_read_after_arming(void)
{
    World *w = world_new(STRIPE, STRIPE, 0, 1);

    w->on_clear = write_while_armed;
    dirty(w, 0, 1, 0);
    g_assert_cmpuint(fill(w, MOST), ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, PAGE, PAGE);
    world_free(w);
}

static void dirty_the_first_again(World *w, ShmigRegion *region, uint64_t first,
                                  uint64_t n)
{
    if (region->id == 1) {
        dirty(w, 0, 0, 5);
    }
}

/* In one frame no page comes twice; it stays for the next. */
static void test_dirty_again_behind_the_walk(void)
{
    World *w = world_new(STRIPE, STRIPE, 0, 1);

    w->on_clear = dirty_the_first_again;
    dirty(w, 0, 0, 1);
    dirty(w, 1, 0, 1);
    g_assert_cmpuint(fill(w, MOST), ==, 2);
    g_assert_cmpuint(pending(w), ==, 1);
    g_assert_cmpuint(fill(w, MOST), ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 0, PAGE);
    g_assert_cmpuint(w->block[0].stats.resent_bytes, ==, PAGE);
    world_free(w);
}

/* The next walk begins where the last one stopped, and goes all round. */
static void test_round(void)
{
    World *w = world_new(3 * STRIPE, STRIPE, 0, 1);

    dirty(w, 0, STRIPE / PAGE, 1);
    dirty(w, 0, STRIPE / PAGE + 1, 1);
    fill(w, PAGE);
    dirty(w, 0, 0, 1);
    dirty(w, 0, 2 * STRIPE / PAGE, 1);
    dirty(w, 1, 0, 1);
    g_assert_cmpuint(fill(w, MOST), ==, 4);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, STRIPE + PAGE, PAGE);
    check_record(w, 1, 0, SHMIG_RECORD_DATA, 2 * STRIPE, PAGE);
    check_record(w, 2, 1, SHMIG_RECORD_DATA, 0, PAGE);
    check_record(w, 3, 0, SHMIG_RECORD_DATA, 0, PAGE);
    world_free(w);
}

static void test_tracker_error(void)
{
    World *w = world_new(STRIPE, STRIPE, 0, 1);

    dirty(w, 0, 1, 1);
    w->clear_error = -EIO;
    g_assert_cmpint(
        shmig_ram_fill(&w->walk, w->block, 2, &w->tracker, MOST, &w->batch), ==,
        -EIO);
    g_assert_cmpuint(pending(w), ==, 1);
    w->clear_error = 0;
    g_assert_cmpuint(fill(w, MOST), ==, 1);
    world_free(w);
}

static void test_stopped_guest_needs_no_tracker(void)
{
    World *w = world_new(STRIPE, STRIPE, 0, 1);

    dirty(w, 1, 2, 1);
    g_assert_cmpint(
        shmig_ram_fill(&w->walk, w->block, 2, NULL, MOST, &w->batch), ==, 0);
    check_record(w, 0, 1, SHMIG_RECORD_DATA, 2 * PAGE, PAGE);
    g_assert_cmpuint(w->n_clear, ==, 0);
    g_assert_cmpint(
        shmig_ram_fill(&w->walk, w->block, 0, NULL, MOST, &w->batch), ==, 0);
    g_assert_cmpuint(w->batch.n_records, ==, 0);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram/send/nothing", test_nothing);
    g_test_add_func("/ram/send/data-and-zeroes", test_data_and_zeroes);
    g_test_add_func("/ram/send/own-stripes", test_only_own_stripes);
    g_test_add_func("/ram/send/payload-limit", test_payload_limit);
    g_test_add_func("/ram/send/whole-frame", test_whole_frame);
    g_test_add_func("/ram/send/record-limit", test_record_limit);
    g_test_add_func("/ram/send/short-last-page", test_short_last_page);
    g_test_add_func("/ram/send/read-after-arming",
                    test_bytes_are_read_after_arming);
    g_test_add_func("/ram/send/dirty-again", test_dirty_again_behind_the_walk);
    g_test_add_func("/ram/send/round", test_round);
    g_test_add_func("/ram/send/tracker-error", test_tracker_error);
    g_test_add_func("/ram/send/no-tracker",
                    test_stopped_guest_needs_no_tracker);
    return g_test_run();
}
