/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the bulk copy reads, in which order it offers it, and what it skips. */
#include "shmig/disk/bulk.h"
#include "fake-disk.h"

#include <errno.h>
#include <string.h>

#define KIB 1024ull
#define MIB (1024ull * KIB)
#define STRIPE (2 * MIB)
#define GRANULE (64 * KIB)
#define N_DISKS 2

typedef struct World {
    ShmigRing *ring;
    ShmigLane lane;
    FakeDisk *fake[N_DISKS];
    ShmigDiskSource disks[N_DISKS];
    ShmigBulk *bulk;
    ShmigBatch batch;
    uint8_t *pattern;
} World;

static void no_wake(void *opaque)
{
}

/* Two disks of this size, regions 0 and 1, all holes, nothing pending. */
static World *world_new(uint64_t bytes, unsigned channel, unsigned channels,
                        unsigned n_buffers)
{
    World *w = g_new0(World, 1);
    g_autoptr(GError) error = NULL;

    w->ring = shmig_ring_new(64, &error);
    g_assert_no_error(error);
    shmig_lane_init(&w->lane, 16 * MIB, no_wake, w);
    for (unsigned i = 0; i < N_DISKS; i++) {
        w->fake[i] = fake_disk_new(bytes);
        w->disks[i].disk = fake_disk_base(w->fake[i]);
        w->disks[i].region = shmig_region_new(i, SHMIG_REGION_DISK, bytes);
    }
    w->bulk = shmig_bulk_new(w->ring, &w->lane, w->disks, N_DISKS, channel,
                             channels, n_buffers, MIB, &error);
    g_assert_no_error(error);
    w->pattern = g_malloc(MIB);
    for (unsigned i = 0; i < MIB / 512; i++) {
        memset(w->pattern + i * 512, i % 250 + 1, 512);
    }
    return w;
}

static void run_out(World *w)
{
    while (!shmig_bulk_quiet(w->bulk)) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
}

static void world_free(World *w)
{
    for (unsigned i = 0; i < N_DISKS; i++) {
        fake_disk_set_mode(w->fake[i], FAKE_DISK_PROMPT);
    }
    run_out(w);
    shmig_bulk_free(w->bulk);
    shmig_lane_destroy(&w->lane);
    for (unsigned i = 0; i < N_DISKS; i++) {
        shmig_disk_free(w->disks[i].disk);
        fake_disk_unref(w->fake[i]);
        shmig_region_free(w->disks[i].region);
    }
    shmig_ring_free(w->ring);
    g_free(w->pattern);
    g_free(w);
}

static void pend(World *w, unsigned disk, uint64_t granule, uint64_t n)
{
    shmig_region_set(w->disks[disk].region, granule, n);
}

/* Whether a batch is offered once all reads are done. */
static bool next(World *w)
{
    run_out(w);
    return shmig_bulk_next(w->bulk, &w->batch);
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

static void test_data(void)
{
    World *w = world_new(STRIPE, 0, 1, 2);

    fake_disk_poke(w->fake[0], 2 * GRANULE, GRANULE, w->pattern);
    pend(w, 0, 2, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_cmpuint(w->disks[0].region->pending_granules, ==, 0);
    g_assert_false(shmig_bulk_done(w->bulk));
    g_assert_true(next(w));
    g_assert_cmpuint(w->batch.n_records, ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 2 * GRANULE, GRANULE);
    g_assert_cmpuint(w->batch.n_iov, ==, 1);
    g_assert_cmpmem(w->batch.iov[0].iov_base, w->batch.iov[0].iov_len,
                    w->pattern, GRANULE);
    g_assert_false(shmig_bulk_done(w->bulk));
    shmig_bulk_sent(w->bulk);
    g_assert_true(shmig_bulk_done(w->bulk));
    g_assert_cmpuint(w->disks[0].stats.data_bytes, ==, GRANULE);
    world_free(w);
}

/* Not more at once than the caller likes; but a granule. */
static void test_short_frames(void)
{
    static const uint32_t limits[] = { 0, GRANULE, 3 * GRANULE - 1 };
    World *w = world_new(STRIPE, 0, 1, 1);

    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++) {
        pend(w, 0, 4 * i, 3);
        shmig_bulk_fill(w->bulk, limits[i]);
        g_assert_true(next(w));
        g_assert_cmpuint(w->batch.n_records, ==, 1);
        check_record(w, 0, 0, SHMIG_RECORD_ZERO, 4 * i * (uint64_t)GRANULE,
                     i < 2 ? GRANULE : 2 * GRANULE);
        shmig_bulk_sent(w->bulk);
        shmig_region_clear(w->disks[0].region, 0, UINT64_MAX);
    }
    world_free(w);
}

static void test_hole_is_not_read(void)
{
    World *w = world_new(STRIPE, 0, 1, 2);

    pend(w, 0, 0, UINT64_MAX);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    g_assert_cmpuint(w->batch.n_records, ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_ZERO, 0, MIB);
    g_assert_cmpuint(w->batch.payload, ==, 0);
    g_assert_cmpuint(fake_disk_calls(w->fake[0], SHMIG_DISK_READ), ==, 0);
    world_free(w);
}

/* Data in a hole, and zeroes that take space. */
static void test_holes_within_a_granule(void)
{
    World *w = world_new(STRIPE, 0, 1, 2);
    uint8_t zeroes[4096] = { 0 };

    fake_disk_poke(w->fake[0], 8192, 8192, w->pattern);
    fake_disk_poke(w->fake[0], 16384, 4096, zeroes);
    fake_disk_poke(w->fake[0], 20480, 4096, w->pattern);
    pend(w, 0, 0, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    g_assert_cmpuint(w->batch.n_records, ==, 5);
    check_record(w, 0, 0, SHMIG_RECORD_ZERO, 0, 8192);
    check_record(w, 1, 0, SHMIG_RECORD_DATA, 8192, 8192);
    check_record(w, 2, 0, SHMIG_RECORD_ZERO, 16384, 4096);
    check_record(w, 3, 0, SHMIG_RECORD_DATA, 20480, 4096);
    check_record(w, 4, 0, SHMIG_RECORD_ZERO, 24576, GRANULE - 24576);
    g_assert_cmpuint(w->disks[0].stats.data_bytes, ==, 12288);
    g_assert_cmpuint(w->disks[0].stats.zero_bytes, ==, GRANULE - 12288);
    world_free(w);
}

/* Extents that neither begin nor end where a granule of zeroes does. */
static void test_odd_extents(void)
{
    World *w = world_new(STRIPE + 512, 0, 1, 2);
    const uint8_t *bytes;

    fake_disk_poke(w->fake[0], STRIPE, 512, w->pattern);
    fake_disk_poke(w->fake[0], 512, 512, w->pattern);
    pend(w, 0, 0, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 0, 4096);
    bytes = w->batch.iov[0].iov_base;
    g_assert_cmpuint(bytes[511], ==, 0);
    g_assert_cmpmem(bytes + 512, 512, w->pattern, 512);
    g_assert_cmpuint(bytes[1024], ==, 0);
    shmig_bulk_sent(w->bulk);
    pend(w, 0, STRIPE / GRANULE, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    g_assert_cmpuint(w->batch.n_records, ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_DATA, STRIPE, 512);
    world_free(w);
}

static void test_short_end_is_a_hole(void)
{
    World *w = world_new(STRIPE + 512, 0, 1, 2);

    pend(w, 0, STRIPE / GRANULE, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    check_record(w, 0, 0, SHMIG_RECORD_ZERO, STRIPE, 512);
    world_free(w);
}

/* Read first does not mean sent first. */
static void test_order(void)
{
    World *w = world_new(STRIPE, 0, 1, 2);

    fake_disk_poke(w->fake[0], 0, MIB, w->pattern);
    fake_disk_poke(w->fake[0], MIB, MIB, w->pattern);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_HELD);
    pend(w, 0, 0, UINT64_MAX);
    shmig_bulk_fill(w->bulk, MIB);
    for (unsigned i = 0; i < 2; i++) {
        /* The second slot's status, then its read. */
        fake_disk_wait_held(w->fake[0], 2);
        fake_disk_release(w->fake[0], 1);
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
    g_assert_cmpuint(fake_disk_held(w->fake[0]), ==, 1);
    g_assert_false(shmig_bulk_next(w->bulk, &w->batch));
    fake_disk_set_mode(w->fake[0], FAKE_DISK_PROMPT);
    g_assert_true(next(w));
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 0, MIB);
    shmig_bulk_sent(w->bulk);
    g_assert_true(shmig_bulk_next(w->bulk, &w->batch));
    check_record(w, 0, 0, SHMIG_RECORD_DATA, MIB, MIB);
    world_free(w);
}

/* Older payloads of guest writes go out first. */
static void test_waits_for_the_lane(void)
{
    World *w = world_new(STRIPE, 0, 1, 2);

    shmig_lane_written(&w->lane, w->disks[0].region, &w->disks[0].stats, 0, 512,
                       w->pattern);
    pend(w, 0, 0, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_false(next(w));
    shmig_inline_free(shmig_lane_pop(&w->lane, MIB, 1));
    g_assert_true(next(w));
    world_free(w);
}

/* A granule that is written to while it is read is copied again. */
static void test_written_while_read(void)
{
    World *w = world_new(STRIPE, 0, 1, 2);

    fake_disk_poke(w->fake[0], 0, GRANULE, w->pattern);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_HELD);
    pend(w, 0, 0, 1);
    shmig_bulk_fill(w->bulk, MIB);
    fake_disk_poke(w->fake[0], 512, 512, w->pattern + 1024);
    shmig_lane_written(&w->lane, w->disks[0].region, &w->disks[0].stats, 512,
                       512, w->pattern + 1024);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_PROMPT);
    g_assert_true(next(w));
    shmig_bulk_sent(w->bulk);
    g_assert_false(shmig_bulk_done(w->bulk));
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    g_assert_cmpmem((uint8_t *)w->batch.iov[0].iov_base + 512, 512,
                    w->pattern + 1024, 512);
    g_assert_cmpuint(w->disks[0].stats.resent_bytes, ==, GRANULE);
    world_free(w);
}

static void test_buffers_are_bounded(void)
{
    World *w = world_new(4 * STRIPE, 0, 1, 3);

    fake_disk_set_mode(w->fake[0], FAKE_DISK_HELD);
    pend(w, 0, 0, UINT64_MAX);
    shmig_bulk_fill(w->bulk, MIB);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_cmpuint(fake_disk_held(w->fake[0]), ==, 3);
    g_assert_cmpuint(w->disks[0].region->pending_granules, ==,
                     (4 * STRIPE - 3 * MIB) / GRANULE);
    world_free(w);
}

/* The only record of the next frame is of zeroes, and these. */
static void check_hole(World *w, uint64_t offset, uint64_t length)
{
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    g_assert_cmpuint(w->batch.n_records, ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_ZERO, offset, length);
    shmig_bulk_sent(w->bulk);
}

static void test_long_hole(void)
{
    World *w = world_new(4 * STRIPE + 512, 0, 1, 1);

    pend(w, 0, 0, UINT64_MAX);
    check_hole(w, 0, 4 * STRIPE + 512);
    g_assert_true(shmig_bulk_done(w->bulk));
    g_assert_cmpuint(w->disks[0].stats.zero_bytes, ==, 4 * STRIPE + 512);
    g_assert_cmpuint(fake_disk_calls(w->fake[0], SHMIG_DISK_READ), ==, 0);
    /* Sent again, all of it counts. */
    pend(w, 0, 0, UINT64_MAX);
    check_hole(w, 0, 4 * STRIPE + 512);
    g_assert_cmpuint(w->disks[0].stats.resent_bytes, ==, 4 * STRIPE + GRANULE);
    world_free(w);
}

/* A destination that has to write zeroes gets them in bearable pieces. */
static void test_very_long_hole(void)
{
    World *w = world_new(100 * MIB, 0, 1, 1);

    pend(w, 0, 0, UINT64_MAX);
    check_hole(w, 0, 65 * MIB);
    check_hole(w, 65 * MIB, 35 * MIB);
    g_assert_true(shmig_bulk_done(w->bulk));
    world_free(w);
}

/* It ends in a stripe of its own, and leaves those of others alone. */
static void test_hole_of_two_channels(void)
{
    World *w = world_new(5 * STRIPE, 1, 2, 1);

    pend(w, 0, 0, UINT64_MAX);
    check_hole(w, STRIPE, 3 * STRIPE);
    g_assert_true(shmig_bulk_done(w->bulk));
    g_assert_cmpuint(w->disks[0].stats.zero_bytes, ==, 2 * STRIPE);
    g_assert_cmpuint(w->disks[0].region->pending_granules, ==,
                     3 * STRIPE / GRANULE);
    g_assert_true(shmig_region_all(w->disks[0].region, 64, 32));
    world_free(w);
}

/* What was sent already, maybe with a guest's bytes, is not zeroed. */
static void test_hole_beside_what_was_sent(void)
{
    World *w = world_new(4 * STRIPE, 0, 1, 1);

    pend(w, 0, 0, UINT64_MAX);
    shmig_region_clear(w->disks[0].region, 2 * STRIPE / GRANULE + 3, 1);
    check_hole(w, 0, 2 * STRIPE);
    check_hole(w, 2 * STRIPE, 3 * GRANULE);
    check_hole(w, 2 * STRIPE + 4 * GRANULE, 2 * STRIPE - 4 * GRANULE);
    world_free(w);
}

static void test_data_behind_a_hole(void)
{
    World *w = world_new(4 * STRIPE, 0, 1, 1);

    fake_disk_poke(w->fake[0], 3 * MIB + 512, 512, w->pattern);
    pend(w, 0, 0, UINT64_MAX);
    check_hole(w, 0, 3 * MIB);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    g_assert_cmpuint(w->batch.payload, ==, 4 * KIB);
    world_free(w);
}

/* A guest writes between the first answer and the hole's being taken. */
static void test_hole_is_written(void)
{
    World *w = world_new(4 * STRIPE, 0, 1, 1);

    fake_disk_set_mode(w->fake[0], FAKE_DISK_HELD);
    pend(w, 0, 0, UINT64_MAX);
    shmig_bulk_fill(w->bulk, MIB);
    fake_disk_poke(w->fake[0], 5 * MIB, 512, w->pattern);
    shmig_lane_written(&w->lane, w->disks[0].region, &w->disks[0].stats,
                       5 * MIB, 512, w->pattern);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_PROMPT);
    check_hole(w, 0, 5 * MIB);
    g_assert_true(shmig_region_all(w->disks[0].region, 5 * MIB / GRANULE,
                                   3 * MIB / GRANULE));
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 5 * MIB, 4 * KIB);
    g_assert_cmpmem(w->batch.iov[0].iov_base, 512, w->pattern, 512);
    world_free(w);
}

/* And between its being taken and its frame: it is copied again. */
static void test_hole_is_written_late(void)
{
    World *w = world_new(4 * STRIPE, 0, 1, 1);

    pend(w, 0, 0, UINT64_MAX);
    shmig_bulk_fill(w->bulk, MIB);
    run_out(w);
    fake_disk_poke(w->fake[0], 5 * MIB, 512, w->pattern);
    shmig_lane_written(&w->lane, w->disks[0].region, &w->disks[0].stats,
                       5 * MIB, 512, w->pattern);
    check_hole(w, 0, 4 * STRIPE);
    g_assert_cmpuint(w->lane.n_pushed, ==, 0);
    g_assert_cmpuint(w->disks[0].region->pending_granules, ==, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(next(w));
    check_record(w, 0, 0, SHMIG_RECORD_DATA, 5 * MIB, 4 * KIB);
    world_free(w);
}

/* Bytes of a guest that come right before the second slot is looked at. */
static void write_second(void *opaque, const ShmigDiskReq *req)
{
    World *w = opaque;

    if (req->cmd == SHMIG_DISK_STATUS && req->offset == MIB) {
        fake_disk_poke(w->fake[0], MIB, MIB, w->pattern);
    }
}

/*
 * The second slot has read them when the guest zeroes them again.  The first
 * one, which goes out before, must not take them as part of its hole: the
 * second's bytes would be the last ones.
 */
static void test_hole_beside_what_is_read(void)
{
    World *w = world_new(STRIPE, 0, 1, 2);

    fake_disk_set_mode(w->fake[0], FAKE_DISK_HELD);
    fake_disk_on_submit(w->fake[0], write_second, w);
    pend(w, 0, 0, UINT64_MAX);
    shmig_bulk_fill(w->bulk, MIB);
    fake_disk_on_submit(w->fake[0], NULL, NULL);
    fake_disk_release(w->fake[0], 1);
    while (fake_disk_calls(w->fake[0], SHMIG_DISK_READ) == 0) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
    fake_disk_poke_zero(w->fake[0], MIB, MIB);
    shmig_lane_written(&w->lane, w->disks[0].region, &w->disks[0].stats, MIB,
                       MIB, NULL);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_PROMPT);
    g_assert_true(next(w));
    g_assert_cmpuint(w->batch.n_records, ==, 1);
    check_record(w, 0, 0, SHMIG_RECORD_ZERO, 0, MIB);
    shmig_bulk_sent(w->bulk);
    g_assert_true(next(w));
    check_record(w, 0, 0, SHMIG_RECORD_DATA, MIB, MIB);
    shmig_bulk_sent(w->bulk);
    check_hole(w, MIB, MIB);
    g_assert_true(shmig_bulk_done(w->bulk));
    world_free(w);
}

static void test_own_stripes_of_all_disks(void)
{
    World *w = world_new(3 * STRIPE, 1, 2, 2);
    uint64_t bytes[N_DISKS] = { 0 };

    for (unsigned i = 0; i < N_DISKS; i++) {
        for (unsigned at = 0; at < 3 * STRIPE / MIB; at++) {
            fake_disk_poke(w->fake[i], at * MIB, MIB, w->pattern);
        }
    }

    pend(w, 0, 0, UINT64_MAX);
    pend(w, 1, 0, UINT64_MAX);
    do {
        shmig_bulk_fill(w->bulk, MIB);
        while (next(w)) {
            const ShmigRecord *r = &w->batch.records[0];

            g_assert_cmpuint((r->region + r->offset / STRIPE) % 2, ==, 1);
            bytes[r->region] += r->length;
            shmig_bulk_sent(w->bulk);
        }
    } while (!shmig_bulk_done(w->bulk));
    g_assert_cmpuint(bytes[0], ==, STRIPE);
    g_assert_cmpuint(bytes[1], ==, 2 * STRIPE);
    g_assert_cmpuint(w->disks[0].region->pending_granules, ==,
                     2 * STRIPE / GRANULE);
    world_free(w);
}

static void test_error(gconstpointer cmd)
{
    World *w = world_new(STRIPE, 0, 1, 2);
    uint32_t disk = 0;
    uint64_t offset = 0;

    fake_disk_poke(w->fake[1], 0, MIB, w->pattern);
    fake_disk_fail_range(w->fake[1], GPOINTER_TO_UINT(cmd), 3 * GRANULE, 512,
                         EIO);
    pend(w, 1, 3, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_false(next(w));
    g_assert_cmpint(shmig_bulk_error(w->bulk, &disk, &offset), ==, -EIO);
    g_assert_cmpuint(disk, ==, 1);
    g_assert_cmpuint(offset, ==, 3 * GRANULE);
    g_assert_false(shmig_bulk_done(w->bulk));
    pend(w, 0, 0, 1);
    shmig_bulk_fill(w->bulk, MIB);
    g_assert_true(shmig_bulk_quiet(w->bulk));
    world_free(w);
}

static void test_no_disks(void)
{
    World *w = world_new(STRIPE, 0, 1, 2);
    ShmigBulk *none =
        shmig_bulk_new(w->ring, &w->lane, NULL, 0, 0, 1, 2, MIB, NULL);

    shmig_bulk_fill(none, MIB);
    g_assert_false(shmig_bulk_next(none, &w->batch));
    g_assert_true(shmig_bulk_quiet(none));
    g_assert_true(shmig_bulk_done(none));
    shmig_bulk_free(none);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/bulk/data", test_data);
    g_test_add_func("/disk/bulk/short-frames", test_short_frames);
    g_test_add_func("/disk/bulk/hole", test_hole_is_not_read);
    g_test_add_func("/disk/bulk/holes-within", test_holes_within_a_granule);
    g_test_add_func("/disk/bulk/odd-extents", test_odd_extents);
    g_test_add_func("/disk/bulk/short-end", test_short_end_is_a_hole);
    g_test_add_func("/disk/bulk/order", test_order);
    g_test_add_func("/disk/bulk/waits-for-lane", test_waits_for_the_lane);
    g_test_add_func("/disk/bulk/written-while-read", test_written_while_read);
    g_test_add_func("/disk/bulk/hole/long", test_long_hole);
    g_test_add_func("/disk/bulk/hole/very-long", test_very_long_hole);
    g_test_add_func("/disk/bulk/hole/two-channels", test_hole_of_two_channels);
    g_test_add_func("/disk/bulk/hole/beside-what-was-sent",
                    test_hole_beside_what_was_sent);
    g_test_add_func("/disk/bulk/hole/data-behind", test_data_behind_a_hole);
    g_test_add_func("/disk/bulk/hole/written", test_hole_is_written);
    g_test_add_func("/disk/bulk/hole/written-late", test_hole_is_written_late);
    g_test_add_func("/disk/bulk/hole/beside-what-is-read",
                    test_hole_beside_what_is_read);
    g_test_add_func("/disk/bulk/buffers", test_buffers_are_bounded);
    g_test_add_func("/disk/bulk/own-stripes", test_own_stripes_of_all_disks);
    g_test_add_data_func("/disk/bulk/error/read",
                         GUINT_TO_POINTER(SHMIG_DISK_READ), test_error);
    g_test_add_data_func("/disk/bulk/error/status",
                         GUINT_TO_POINTER(SHMIG_DISK_STATUS), test_error);
    g_test_add_func("/disk/bulk/no-disks", test_no_disks);
    return g_test_run();
}
