/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flushes: of what, when, and how many, for the channels of a session. */
#include "fake-disk.h"
#include "shmig/disk/apply.h"

#include <errno.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)
#define STRIPE (2u * MIB)
#define BYTES (8u * STRIPE)
#define N_DISKS 2
#define N_CHANNELS 2
#define DATA SHMIG_RECORD_DATA
#define ZERO SHMIG_RECORD_ZERO

/* Disk d is region d: its stripe s belongs to channel (d + s) % 2. */
typedef struct Channel {
    ShmigRing *ring;
    ShmigApply *apply;
    struct iovec iov[SHMIG_MAX_RECORDS];
    unsigned n_drained, n_failed;
    ShmigDiskCmd failed_cmd;
} Channel;

typedef struct World {
    FakeDisk *fake[N_DISKS];
    ShmigDisk *disks[N_DISKS];
    ShmigBuffers *buffers;
    ShmigDurable *durable;
    Channel channel[N_CHANNELS];
} World;

static void resume(void *opaque)
{
}

static void drained(void *opaque)
{
    Channel *c = opaque;

    c->n_drained++;
}

static void failed(void *opaque, uint32_t disk, ShmigDiskCmd cmd,
                   uint64_t offset, int err)
{
    Channel *c = opaque;

    c->n_failed++;
    c->failed_cmd = cmd;
}

static const ShmigApplyOps ops = { resume, drained, failed };

static World *world_new(void)
{
    World *w = g_new0(World, 1);
    g_autoptr(GError) error = NULL;

    w->durable = shmig_durable_new(N_DISKS, N_CHANNELS);
    w->buffers = shmig_buffers_new(8, SHMIG_APPLY_BUFFER_BYTES, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < N_DISKS; i++) {
        w->fake[i] = fake_disk_new(BYTES);
        w->disks[i] = fake_disk_base(w->fake[i]);
    }
    for (unsigned i = 0; i < N_CHANNELS; i++) {
        Channel *c = &w->channel[i];

        c->ring = shmig_ring_new(64, &error);
        g_assert_no_error(error);
        c->apply = shmig_apply_new(c->ring, w->disks, N_DISKS, 0, i, N_CHANNELS,
                                   4, w->buffers, w->durable, &ops, c);
    }
    return w;
}

static void set_mode(World *w, FakeDiskMode mode)
{
    fake_disk_set_mode(w->fake[0], mode);
    fake_disk_set_mode(w->fake[1], mode);
}

/* Runs both until neither has anything to do. */
static void run(World *w)
{
    for (unsigned i = 0; i < 40; i++) {
        g_assert_cmpint(shmig_ring_run(w->channel[i % 2].ring, 0), ==, 0);
    }
}

static void world_free(World *w)
{
    set_mode(w, FAKE_DISK_PROMPT);
    run(w);
    for (unsigned i = 0; i < N_CHANNELS; i++) {
        g_assert_true(shmig_apply_quiet(w->channel[i].apply));
        shmig_apply_free(w->channel[i].apply);
        shmig_ring_free(w->channel[i].ring);
    }
    shmig_buffers_free(w->buffers);
    shmig_durable_free(w->durable);
    for (unsigned i = 0; i < N_DISKS; i++) {
        shmig_disk_free(w->disks[i]);
        fake_disk_unref(w->fake[i]);
    }
    g_free(w);
}

static int change(World *w, unsigned channel, unsigned disk, uint8_t kind,
                  uint64_t offset, uint64_t length)
{
    const ShmigRecord record = { disk, kind, offset, length };
    Channel *c = &w->channel[channel];
    int n = shmig_apply_place(c->apply, &record, 1, c->iov);

    if (n < 0) {
        return n;
    }
    for (int i = 0; i < n; i++) {
        memset(c->iov[i].iov_base, 0x55, c->iov[i].iov_len);
    }
    shmig_apply_go(c->apply);
    return n;
}

static unsigned flushes(World *w, unsigned disk)
{
    return fake_disk_calls(w->fake[disk], SHMIG_DISK_FLUSH);
}

/* All disks, zeroes included, and what is in flight when it is asked. */
static void test_barrier(void)
{
    World *w = world_new();
    g_autofree uint8_t *old = g_malloc0(64 * KIB);

    memset(old, 0x11, 64 * KIB);
    fake_disk_poke(w->fake[1], STRIPE, 64 * KIB, old);
    change(w, 0, 0, DATA, 0, 64 * KIB);
    change(w, 0, 1, ZERO, STRIPE, 64 * KIB);
    run(w);
    set_mode(w, FAKE_DISK_HELD);
    change(w, 0, 0, DATA, 2 * STRIPE, 64 * KIB);
    shmig_apply_drain(w->channel[0].apply, false);
    set_mode(w, FAKE_DISK_PROMPT);
    run(w);
    g_assert_cmpuint(w->channel[0].n_drained, ==, 1);
    g_assert_true(fake_disk_durable(w->fake[0], 0, BYTES));
    g_assert_true(fake_disk_durable(w->fake[1], 0, BYTES));
    world_free(w);
}

/* What is durable already is not flushed again. */
static void test_barrier_again(void)
{
    World *w = world_new();

    change(w, 0, 0, DATA, 0, 4 * KIB);
    for (unsigned i = 0; i < 3; i++) {
        shmig_apply_drain(w->channel[0].apply, false);
        run(w);
    }
    g_assert_cmpuint(w->channel[0].n_drained, ==, 3);
    g_assert_cmpuint(flushes(w, 0), ==, 1);
    g_assert_cmpuint(flushes(w, 1), ==, 0);
    world_free(w);
}

/* A long flush does not hold the copy up. */
static void test_frame_while_flushing(void)
{
    World *w = world_new();

    change(w, 0, 0, DATA, 0, 4 * KIB);
    run(w);
    set_mode(w, FAKE_DISK_HELD);
    shmig_apply_drain(w->channel[0].apply, false);
    g_assert_cmpuint(flushes(w, 0), ==, 1);
    g_assert_cmpint(change(w, 0, 0, DATA, 8 * KIB, 4 * KIB), ==, 1);
    g_assert_cmpuint(w->channel[0].n_drained, ==, 0);
    fake_disk_release(w->fake[0], 0); /* the flush; the write is on its way */
    run(w);
    g_assert_cmpuint(w->channel[0].n_drained, ==, 1);
    g_assert_cmpuint(fake_disk_held(w->fake[0]), ==, 1);
    world_free(w);
}

/* The guest waits: each disk is flushed once, by whoever is last. */
static void test_final_is_one_flush(void)
{
    World *w = world_new();

    for (unsigned i = 0; i < N_CHANNELS; i++) {
        change(w, i, 0, DATA, i * STRIPE, 4 * KIB);
        change(w, i, 1, DATA, (1 - i) * STRIPE, 4 * KIB);
    }
    run(w);
    shmig_apply_drain(w->channel[0].apply, true);
    run(w);
    g_assert_cmpuint(w->channel[0].n_drained, ==, 0);
    shmig_apply_drain(w->channel[1].apply, true);
    run(w);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpuint(w->channel[i].n_drained, ==, 1);
        g_assert_cmpuint(flushes(w, i), ==, 1);
        g_assert_true(fake_disk_durable(w->fake[i], 0, BYTES));
    }
    world_free(w);
}

/* It wrote nothing: it has nobody to wait for. */
static void test_final_of_nothing(void)
{
    World *w = world_new();

    change(w, 1, 0, DATA, STRIPE, 4 * KIB);
    shmig_apply_drain(w->channel[0].apply, true);
    run(w);
    g_assert_cmpuint(w->channel[0].n_drained, ==, 1);
    g_assert_cmpuint(flushes(w, 0), ==, 0);
    world_free(w);
}

/* Two channels find it worth a flush, and one is enough. */
static void test_background(void)
{
    World *w = world_new();

    for (unsigned i = 0; i < N_CHANNELS; i++) {
        change(w, i, 0, DATA, i * STRIPE, MIB);
    }
    run(w);
    set_mode(w, FAKE_DISK_HELD);
    shmig_apply_flush_soon(w->channel[0].apply);
    shmig_apply_flush_soon(w->channel[1].apply);
    shmig_apply_flush_soon(w->channel[0].apply);
    g_assert_cmpuint(flushes(w, 0), ==, 1);
    set_mode(w, FAKE_DISK_PROMPT);
    run(w);
    g_assert_true(fake_disk_durable(w->fake[0], 0, BYTES));
    shmig_apply_flush_soon(w->channel[1].apply);
    g_assert_cmpuint(flushes(w, 0), ==, 1);
    world_free(w);
}

/* Little is left to the end, where it is one flush with the rest. */
static void test_background_of_little(void)
{
    World *w = world_new();

    change(w, 0, 0, DATA, 0, 4 * KIB);
    run(w);
    shmig_apply_flush_soon(w->channel[0].apply);
    g_assert_cmpuint(flushes(w, 0), ==, 0);
    world_free(w);
}

/* A flush in the background says nothing of what completes meanwhile. */
static void test_drain_during_background(void)
{
    World *w = world_new();

    change(w, 0, 0, DATA, 0, MIB);
    run(w);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_HELD);
    shmig_apply_flush_soon(w->channel[0].apply);
    change(w, 1, 0, DATA, STRIPE, 4 * KIB);
    fake_disk_release(w->fake[0], 1); /* the write, not the flush */
    run(w);
    shmig_apply_drain(w->channel[1].apply, false);
    g_assert_cmpuint(flushes(w, 0), ==, 1);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_PROMPT);
    run(w);
    g_assert_cmpuint(w->channel[1].n_drained, ==, 1);
    g_assert_cmpuint(flushes(w, 0), ==, 2);
    g_assert_true(fake_disk_durable(w->fake[0], 0, BYTES));
    world_free(w);
}

/* The kernel reports lost pages once: the next flush would go well. */
static void test_failure(void)
{
    World *w = world_new();

    change(w, 0, 0, DATA, 0, MIB);
    change(w, 1, 0, DATA, STRIPE, 4 * KIB);
    run(w);
    fake_disk_fail(w->fake[0], SHMIG_DISK_FLUSH, 1, EIO);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_HELD);
    shmig_apply_flush_soon(w->channel[0].apply);
    shmig_apply_drain(w->channel[1].apply, false);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_PROMPT);
    run(w);
    g_assert_cmpuint(w->channel[0].n_failed, ==, 1);
    g_assert_cmpint(w->channel[0].failed_cmd, ==, SHMIG_DISK_FLUSH);
    g_assert_cmpuint(w->channel[1].n_drained, ==, 0);
    g_assert_cmpuint(flushes(w, 0), ==, 1);
    world_free(w);
}

/* A channel that ends while it waits is not looked for afterwards. */
static void test_end_while_waiting(void)
{
    World *w = world_new();

    change(w, 0, 0, DATA, 0, MIB);
    change(w, 1, 0, DATA, STRIPE, 4 * KIB);
    run(w);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_HELD);
    shmig_apply_flush_soon(w->channel[0].apply);
    shmig_apply_drain(w->channel[1].apply, false);
    shmig_apply_stop(w->channel[1].apply);
    fake_disk_set_mode(w->fake[0], FAKE_DISK_PROMPT);
    run(w);
    g_assert_cmpuint(w->channel[1].n_drained, ==, 0);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/durable/barrier", test_barrier);
    g_test_add_func("/disk/durable/barrier/again", test_barrier_again);
    g_test_add_func("/disk/durable/barrier/frame-meanwhile",
                    test_frame_while_flushing);
    g_test_add_func("/disk/durable/final/one-flush", test_final_is_one_flush);
    g_test_add_func("/disk/durable/final/nothing", test_final_of_nothing);
    g_test_add_func("/disk/durable/background/one-flush", test_background);
    g_test_add_func("/disk/durable/background/little",
                    test_background_of_little);
    g_test_add_func("/disk/durable/background/drain-meanwhile",
                    test_drain_during_background);
    g_test_add_func("/disk/durable/failure", test_failure);
    g_test_add_func("/disk/durable/end-while-waiting", test_end_while_waiting);
    return g_test_run();
}
