/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How disk records are written: what overlaps in order, all else at once. */
#include "shmig/disk/apply.h"
#include "fake-disk.h"

#include <errno.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)
#define STRIPE (2u * MIB)
#define BYTES (3u * STRIPE)
#define N_DISKS 2
#define FIRST 7 /* region of disk 0 */
#define DATA SHMIG_RECORD_DATA
#define ZERO SHMIG_RECORD_ZERO

typedef struct World {
    ShmigRing *ring;
    FakeDisk *fake[N_DISKS];
    ShmigDisk *disks[N_DISKS];
    ShmigBuffers *buffers;
    ShmigDurable *durable;
    ShmigApply *apply;
    struct iovec iov[SHMIG_MAX_RECORDS];
    unsigned n_resume, n_drained, n_failed;
    uint32_t failed_disk;
    uint64_t failed_offset;
    ShmigDiskCmd failed_cmd;
    int failed_err;
} World;

static void resume(void *opaque)
{
    World *w = opaque;

    w->n_resume++;
}

static void drained(void *opaque)
{
    World *w = opaque;

    w->n_drained++;
}

static void failed(void *opaque, uint32_t disk, ShmigDiskCmd cmd,
                   uint64_t offset, int err)
{
    World *w = opaque;

    w->n_failed++;
    w->failed_disk = disk;
    w->failed_offset = offset;
    w->failed_cmd = cmd;
    w->failed_err = err;
}

static const ShmigApplyOps ops = { resume, drained, failed };

static World *world_new(unsigned channel, unsigned channels, unsigned buffers)
{
    World *w = g_new0(World, 1);
    g_autoptr(GError) error = NULL;

    w->ring = shmig_ring_new(64, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < N_DISKS; i++) {
        w->fake[i] = fake_disk_new(BYTES);
        w->disks[i] = fake_disk_base(w->fake[i]);
    }
    w->durable = shmig_durable_new(N_DISKS, 1);
    w->buffers = shmig_buffers_new(buffers, SHMIG_APPLY_BUFFER_BYTES, &error);
    g_assert_no_error(error);
    w->apply =
        shmig_apply_new(w->ring, w->disks, N_DISKS, FIRST, channel, channels,
                        buffers, w->buffers, w->durable, &ops, w);
    return w;
}

static void run_out(World *w)
{
    while (!shmig_apply_quiet(w->apply)) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
}

static void set_mode(World *w, FakeDiskMode mode)
{
    fake_disk_set_mode(w->fake[0], mode);
    fake_disk_set_mode(w->fake[1], mode);
}

static void world_free(World *w)
{
    set_mode(w, FAKE_DISK_PROMPT);
    run_out(w);
    shmig_apply_free(w->apply);
    shmig_buffers_free(w->buffers);
    shmig_durable_free(w->durable);
    for (unsigned i = 0; i < N_DISKS; i++) {
        shmig_disk_free(w->disks[i]);
        fake_disk_unref(w->fake[i]);
    }
    shmig_ring_free(w->ring);
    g_free(w);
}

/* A frame comes; byte i + @first fills the payload of its DATA record i. */
static int frame(World *w, const ShmigRecord *records, unsigned n,
                 uint8_t first)
{
    int n_iov = shmig_apply_place(w->apply, records, n, w->iov);
    uint8_t byte = first;

    if (n_iov < 0) {
        return n_iov;
    }
    for (int i = 0; i < n_iov; i++) {
        memset(w->iov[i].iov_base, byte++, w->iov[i].iov_len);
    }
    shmig_apply_go(w->apply);
    return n_iov;
}

static int one(World *w, unsigned disk, uint8_t kind, uint64_t offset,
               uint64_t length, uint8_t byte)
{
    const ShmigRecord record = { FIRST + disk, kind, offset, length };

    return frame(w, &record, 1, byte);
}

static void check(World *w, unsigned disk, uint64_t offset, uint64_t length,
                  uint8_t byte)
{
    g_autofree uint8_t *got = g_malloc(length);

    fake_disk_peek(w->fake[disk], offset, length, got);
    for (uint64_t i = 0; i < length; i++) {
        if (got[i] != byte) {
            g_error("byte %" G_GUINT64_FORMAT " of disk %u is 0x%02x",
                    offset + i, disk, got[i]);
        }
    }
}

static void test_write_and_zero(void)
{
    World *w = world_new(0, 1, 2);
    g_autofree uint8_t *rubbish = g_malloc(4096);
    const ShmigRecord records[] = {
        { FIRST, DATA, 512, 1024 },
        { FIRST + 1, ZERO, 0, 4096 },
        { FIRST + 1, DATA, 8192, 512 },
    };

    memset(rubbish, 0xdd, 4096);
    fake_disk_poke(w->fake[1], 0, 4096, rubbish);
    g_assert_cmpint(frame(w, records, 3, 0x11), ==, 2);
    run_out(w);
    check(w, 0, 0, 512, 0);
    check(w, 0, 512, 1024, 0x11);
    check(w, 0, 1536, 512, 0);
    check(w, 1, 0, 8192, 0);
    check(w, 1, 8192, 512, 0x12);
    world_free(w);
}

static void test_neighbours_are_one_write(void)
{
    World *w = world_new(0, 1, 2);
    const ShmigRecord records[] = {
        { FIRST, DATA, 0, 512 },
        { FIRST, DATA, 512, 1024 },
        { FIRST, DATA, 1536, 4096 },
        { FIRST, DATA, 8192, 512 },
    };

    frame(w, records, 4, 1);
    run_out(w);
    g_assert_cmpuint(fake_disk_calls(w->fake[0], SHMIG_DISK_WRITE), ==, 2);
    check(w, 0, 0, 512, 1);
    check(w, 0, 512, 1024, 2);
    check(w, 0, 1536, 4096, 3);
    check(w, 0, 8192, 512, 4);
    world_free(w);
}

static void test_apart_are_at_once(void)
{
    World *w = world_new(0, 1, 2);
    const ShmigRecord records[] = {
        { FIRST, DATA, 0, 512 },
        { FIRST, ZERO, 4096, 512 },
        { FIRST + 1, DATA, 0, 512 },
    };

    set_mode(w, FAKE_DISK_HELD);
    frame(w, records, 3, 1);
    g_assert_cmpuint(fake_disk_held(w->fake[0]), ==, 2);
    g_assert_cmpuint(fake_disk_held(w->fake[1]), ==, 1);
    one(w, 1, DATA, 512, 512, 1);
    g_assert_cmpuint(fake_disk_held(w->fake[1]), ==, 2);
    world_free(w);
}

/* The second waits for the first, and what comes behind it waits as well. */
static void test_overlap_within_a_frame(void)
{
    World *w = world_new(0, 1, 2);
    const ShmigRecord records[] = {
        { FIRST, DATA, 0, 4096 },
        { FIRST, DATA, 3584, 1024 },
        { FIRST, DATA, 65536, 512 },
    };

    set_mode(w, FAKE_DISK_HELD);
    frame(w, records, 3, 1);
    g_assert_cmpuint(fake_disk_held(w->fake[0]), ==, 1);
    fake_disk_release(w->fake[0], 0);
    g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    g_assert_cmpuint(fake_disk_held(w->fake[0]), ==, 2);
    set_mode(w, FAKE_DISK_PROMPT);
    run_out(w);
    check(w, 0, 0, 3584, 1);
    check(w, 0, 3584, 1024, 2);
    check(w, 0, 65536, 512, 3);
    world_free(w);
}

static void test_overlap_of_zero_and_data(void)
{
    World *w = world_new(0, 1, 2);
    const ShmigRecord records[] = {
        { FIRST, DATA, 0, 4096 },
        { FIRST, ZERO, 0, 4096 },
        { FIRST, DATA, 512, 512 },
    };

    set_mode(w, FAKE_DISK_THREAD);
    frame(w, records, 3, 1);
    run_out(w);
    check(w, 0, 0, 512, 0);
    check(w, 0, 512, 512, 2);
    check(w, 0, 1024, 3072, 0);
    world_free(w);
}

static void test_overlap_of_frames(void)
{
    World *w = world_new(0, 1, 4);

    set_mode(w, FAKE_DISK_HELD);
    one(w, 0, DATA, 0, 4096, 1);
    one(w, 0, DATA, 0, 4096, 2);
    one(w, 0, DATA, 4096, 4096, 3);
    g_assert_cmpuint(fake_disk_held(w->fake[0]), ==, 1);
    set_mode(w, FAKE_DISK_THREAD);
    run_out(w);
    check(w, 0, 0, 4096, 2);
    check(w, 0, 4096, 4096, 3);
    world_free(w);
}

/* Those of the other channel's stripes between are not touched. */
static void test_zero_of_own_stripes(void)
{
    /* Disk 0 is region 7: stripe s belongs to channel (7 + s) % 2. */
    World *w = world_new(1, 2, 2);

    one(w, 0, ZERO, 512, BYTES - 512, 0);
    run_out(w);
    g_assert_true(fake_disk_changed(w->fake[0], 512, STRIPE - 512));
    g_assert_false(fake_disk_changed(w->fake[0], 0, 512));
    g_assert_false(fake_disk_changed(w->fake[0], STRIPE, 512));
    g_assert_false(fake_disk_changed(w->fake[0], 2 * STRIPE - 512, 512));
    g_assert_true(fake_disk_changed(w->fake[0], 2 * STRIPE, STRIPE));
    g_assert_cmpuint(fake_disk_calls(w->fake[0], SHMIG_DISK_ZERO), ==, 2);
    world_free(w);
}

/* As many as there may be, and all of them in the end. */
static void test_many_pieces(void)
{
    World *w = world_new(0, 1, 2);
    ShmigRecord records[SHMIG_MAX_RECORDS];

    for (unsigned i = 0; i < SHMIG_MAX_RECORDS; i++) {
        records[i] = (ShmigRecord) { FIRST, DATA, i * 4096ull, 2048 };
    }
    set_mode(w, FAKE_DISK_HELD);
    frame(w, records, SHMIG_MAX_RECORDS, 0);
    g_assert_cmpuint(fake_disk_held(w->fake[0]), <=, 64);
    set_mode(w, FAKE_DISK_PROMPT);
    run_out(w);
    for (unsigned i = 0; i < SHMIG_MAX_RECORDS; i++) {
        check(w, 0, i * 4096ull, 2048, i);
    }
    world_free(w);
}

static void test_no_room(void)
{
    World *w = world_new(0, 1, 2);

    set_mode(w, FAKE_DISK_HELD);
    g_assert_cmpint(one(w, 0, DATA, 0, 512, 1), ==, 1);
    g_assert_cmpint(one(w, 0, DATA, 0, 512, 2), ==, 1);
    g_assert_cmpint(one(w, 0, DATA, 0, 512, 3), ==, -EAGAIN);
    g_assert_cmpint(one(w, 0, DATA, 0, 512, 3), ==, -EAGAIN);
    g_assert_cmpuint(w->n_resume, ==, 0);
    fake_disk_release(w->fake[0], 0);
    g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    g_assert_cmpuint(w->n_resume, ==, 1);
    g_assert_cmpint(one(w, 0, DATA, 0, 512, 3), ==, 1);
    set_mode(w, FAKE_DISK_PROMPT);
    run_out(w);
    g_assert_cmpuint(w->n_resume, ==, 1);
    check(w, 0, 0, 512, 3);
    world_free(w);
}

static void test_drain(void)
{
    World *w = world_new(0, 1, 2);

    set_mode(w, FAKE_DISK_HELD);
    one(w, 0, DATA, 0, 512, 1);
    one(w, 0, DATA, 0, 512, 2);
    shmig_apply_drain(w->apply, false);
    g_assert_cmpuint(w->n_drained, ==, 0);
    set_mode(w, FAKE_DISK_PROMPT);
    run_out(w);
    g_assert_cmpuint(w->n_drained, ==, 1);
    check(w, 0, 0, 512, 2);
    world_free(w);
}

static void test_drain_of_nothing(void)
{
    World *w = world_new(0, 1, 2);

    shmig_apply_drain(w->apply, false);
    g_assert_cmpuint(w->n_drained, ==, 1);
    shmig_apply_drain(w->apply, true);
    g_assert_cmpuint(w->n_drained, ==, 2);
    g_assert_cmpuint(fake_disk_calls(w->fake[0], SHMIG_DISK_FLUSH), ==, 0);
    world_free(w);
}

/* What was written is durable; what was not is left alone. */
static void test_final_drain(void)
{
    World *w = world_new(0, 1, 2);

    set_mode(w, FAKE_DISK_THREAD);
    one(w, 1, DATA, 0, 4096, 1);
    one(w, 1, ZERO, 8192, 4096, 1);
    shmig_apply_drain(w->apply, true);
    run_out(w);
    g_assert_cmpuint(w->n_drained, ==, 1);
    g_assert_true(fake_disk_durable(w->fake[1], 0, BYTES));
    g_assert_cmpuint(fake_disk_calls(w->fake[0], SHMIG_DISK_FLUSH), ==, 0);
    g_assert_cmpuint(fake_disk_calls(w->fake[1], SHMIG_DISK_FLUSH), ==, 1);
    world_free(w);
}

/* What comes between a question and its answer waits for the answer. */
static void test_frame_while_draining(void)
{
    World *w = world_new(0, 1, 4);

    set_mode(w, FAKE_DISK_HELD);
    one(w, 0, DATA, 0, 512, 1);
    shmig_apply_drain(w->apply, false);
    g_assert_cmpint(one(w, 0, DATA, 4096, 512, 2), ==, -EAGAIN);
    set_mode(w, FAKE_DISK_PROMPT);
    run_out(w);
    g_assert_cmpuint(w->n_drained, ==, 1);
    g_assert_cmpuint(w->n_resume, ==, 1);
    g_assert_cmpint(one(w, 0, DATA, 4096, 512, 2), ==, 1);
    world_free(w);
}

/* What is written counts once, zeroes and what failed do not. */
static void test_written_bytes(void)
{
    World *w = world_new(0, 1, 2);

    g_assert_true(shmig_apply_caught_up(w->apply));
    set_mode(w, FAKE_DISK_HELD);
    one(w, 0, DATA, 0, 8192, 1);
    one(w, 1, ZERO, 0, MIB, 0);
    g_assert_false(shmig_apply_caught_up(w->apply));
    g_assert_cmpuint(shmig_apply_written_bytes(w->apply), ==, 0);
    set_mode(w, FAKE_DISK_PROMPT);
    run_out(w);
    g_assert_true(shmig_apply_caught_up(w->apply));
    g_assert_cmpuint(shmig_apply_written_bytes(w->apply), ==, 8192);
    fake_disk_fail(w->fake[0], SHMIG_DISK_WRITE, 1, EIO);
    one(w, 0, DATA, 0, 4096, 2);
    run_out(w);
    g_assert_cmpuint(shmig_apply_written_bytes(w->apply), ==, 8192);
    world_free(w);
}

/* A frame whose payload is still on its way is not applied. */
static void test_placed_is_not_applied(void)
{
    World *w = world_new(0, 1, 2);
    const ShmigRecord record = { FIRST, DATA, 0, 512 };

    g_assert_cmpint(shmig_apply_place(w->apply, &record, 1, w->iov), ==, 1);
    g_assert_false(shmig_apply_caught_up(w->apply));
    shmig_apply_go(w->apply);
    run_out(w);
    g_assert_true(shmig_apply_caught_up(w->apply));
    world_free(w);
}

static void test_failure(void)
{
    World *w = world_new(0, 1, 4);

    fake_disk_fail_range(w->fake[1], SHMIG_DISK_WRITE, 4096, 4096, ENOSPC);
    one(w, 1, DATA, 4096, 512, 1);
    one(w, 1, DATA, 5120, 512, 1);
    shmig_apply_drain(w->apply, true);
    run_out(w);
    g_assert_cmpuint(w->n_failed, ==, 1);
    g_assert_cmpuint(w->failed_disk, ==, 1);
    g_assert_cmpuint(w->failed_offset, ==, 4096);
    g_assert_cmpint(w->failed_err, ==, -ENOSPC);
    g_assert_cmpuint(w->n_drained, ==, 0);
    world_free(w);
}

static void test_flush_fails(void)
{
    World *w = world_new(0, 1, 2);

    fake_disk_fail(w->fake[0], SHMIG_DISK_FLUSH, 1, EIO);
    one(w, 0, DATA, 0, 512, 1);
    shmig_apply_drain(w->apply, true);
    run_out(w);
    g_assert_cmpuint(w->n_failed, ==, 1);
    g_assert_cmpint(w->failed_err, ==, -EIO);
    g_assert_cmpuint(w->n_drained, ==, 0);
    world_free(w);
}

/* Nothing more is begun, nor said. */
static void test_stop(void)
{
    World *w = world_new(0, 1, 2);
    const ShmigRecord records[] = {
        { FIRST, DATA, 0, 512 },
        { FIRST, DATA, 0, 512 },
    };

    set_mode(w, FAKE_DISK_HELD);
    frame(w, records, 2, 1);
    shmig_apply_drain(w->apply, true);
    shmig_apply_stop(w->apply);
    shmig_apply_stop(w->apply);
    set_mode(w, FAKE_DISK_PROMPT);
    run_out(w);
    g_assert_cmpuint(fake_disk_calls(w->fake[0], SHMIG_DISK_WRITE), ==, 1);
    g_assert_cmpuint(w->n_drained + w->n_failed + w->n_resume, ==, 0);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/apply/write-and-zero", test_write_and_zero);
    g_test_add_func("/disk/apply/neighbours", test_neighbours_are_one_write);
    g_test_add_func("/disk/apply/apart", test_apart_are_at_once);
    g_test_add_func("/disk/apply/overlap/frame", test_overlap_within_a_frame);
    g_test_add_func("/disk/apply/overlap/kinds", test_overlap_of_zero_and_data);
    g_test_add_func("/disk/apply/overlap/frames", test_overlap_of_frames);
    g_test_add_func("/disk/apply/zero-of-own-stripes",
                    test_zero_of_own_stripes);
    g_test_add_func("/disk/apply/many-pieces", test_many_pieces);
    g_test_add_func("/disk/apply/no-room", test_no_room);
    g_test_add_func("/disk/apply/drain/waits", test_drain);
    g_test_add_func("/disk/apply/drain/nothing", test_drain_of_nothing);
    g_test_add_func("/disk/apply/drain/final", test_final_drain);
    g_test_add_func("/disk/apply/drain/frame-meanwhile",
                    test_frame_while_draining);
    g_test_add_func("/disk/apply/written-bytes", test_written_bytes);
    g_test_add_func("/disk/apply/placed", test_placed_is_not_applied);
    g_test_add_func("/disk/apply/failure", test_failure);
    g_test_add_func("/disk/apply/flush-fails", test_flush_fails);
    g_test_add_func("/disk/apply/stop", test_stop);
    return g_test_run();
}
