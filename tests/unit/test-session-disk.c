/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole sessions with disks that complete in any order, fail, and are written
 * to while they move: both images hold the same bytes in the end.
 */
#include "fake-disk.h"
#include "session-pair.h"

#include <errno.h>
#include <string.h>

#define MIB (1u << 20)
#define DISK_BYTES (24 * MIB + 512 * 5)
#define RAM_BYTES MIB

typedef struct Disks {
    Pair *pair;
    FakeDisk *source, *dest;
} Disks;

typedef struct Shape {
    const char *name;
    unsigned channels;
    bool tcp;
    FakeDiskMode mode;
} Shape;

static const Shape shapes[] = {
    { "prompt/1", 1, false, FAKE_DISK_PROMPT },
    { "prompt/4", 4, true, FAKE_DISK_PROMPT },
    { "thread/1", 1, false, FAKE_DISK_THREAD },
    { "thread/4", 4, true, FAKE_DISK_THREAD },
};

static uint32_t next(uint32_t *x)
{
    *x = *x * 1664525 + 1013904223;
    return *x >> 8;
}

static void fill(uint8_t *p, uint64_t bytes, uint32_t seed)
{
    for (uint64_t i = 0; i < bytes; i++) {
        p[i] = next(&seed) | 1;
    }
}

/* Data, holes, and zeroes that take space. */
static void prepare(FakeDisk *fake)
{
    g_autofree uint8_t *buf = g_malloc0(MIB);

    for (unsigned i = 0; i < 20; i += 3) {
        fill(buf, MIB, i + 1);
        memset(buf + 8192, 0, 12288);
        fake_disk_poke(fake, i * (uint64_t)MIB + (i % 2) * 512, MIB, buf);
    }
    fill(buf, 512, 99);
    fake_disk_poke(fake, DISK_BYTES - 512, 512, buf);
}

static Disks disks_new(const Shape *shape)
{
    Disks d = {
        .pair = pair_new(shape->channels, shape->tcp, RAM_BYTES),
        .source = fake_disk_new(DISK_BYTES),
        .dest = fake_disk_new(DISK_BYTES),
    };
    uint8_t rubbish[4096];

    prepare(d.source);
    /* What the destination held before must not show. */
    fill(rubbish, sizeof(rubbish), 7);
    fake_disk_poke(d.dest, 5 * MIB, sizeof(rubbish), rubbish);
    fake_disk_set_mode(d.source, shape->mode);
    fake_disk_set_mode(d.dest, shape->mode);
    d.pair->n_disks = 1;
    d.pair->disk_bytes = DISK_BYTES;
    d.pair->source_disk[0] = fake_disk_base(d.source);
    d.pair->dest_disk[0] = fake_disk_base(d.dest);
    return d;
}

static void disks_free(Disks *d)
{
    pair_free(d->pair);
    fake_disk_unref(d->source);
    fake_disk_unref(d->dest);
}

static void switch_over(Disks *d)
{
    g_autoptr(GError) error = NULL;

    pair_start_ram(d->pair);
    pair_switch_over(d->pair, &error);
    g_assert_no_error(error);
    g_assert_true(fake_disk_equal(d->source, d->dest));
    g_assert_true(fake_disk_durable(d->dest, 0, DISK_BYTES));
}

static void test_idle(gconstpointer opaque)
{
    Disks d = disks_new(opaque);
    g_autoptr(GError) error = NULL;

    g_assert_true(pair_start(d.pair, &error));
    g_assert_true(pair_settle(d.pair, 1, &error));
    switch_over(&d);
    g_assert_cmpuint(fake_disk_allocated_bytes(d.dest), <=,
                     fake_disk_allocated_bytes(d.source));
    disks_free(&d);
}

/* One guest write of any kind, as the filter node reports it. */
static void guest_write(Disks *d, uint32_t *x)
{
    static const uint32_t sizes[] = { 512, 4096, 65536, 300 * 512 };
    uint64_t length = sizes[next(x) % 4];
    uint64_t offset = next(x) % ((DISK_BYTES - length) / 512) * 512;
    ShmigMirror *mirror = d->pair->mirror[0];
    g_autofree uint8_t *buf = g_malloc(length);

    switch (next(x) % 8) {
    case 0:
        fake_disk_poke_zero(d->source, offset, length);
        shmig_mirror_zeroed(mirror, offset, length, 0);
        break;
    case 1:
        fake_disk_poke_zero(d->source, offset, length);
        shmig_mirror_discarded(mirror, offset, length);
        break;
    case 2: /* a failed write that left something behind */
        fill(buf, length, *x);
        fake_disk_poke(d->source, offset, MAX(length / 1024 * 512, 512), buf);
        shmig_mirror_written(mirror, offset, length, buf, -EIO);
        break;
    default:
        fill(buf, length, *x);
        fake_disk_poke(d->source, offset, length, buf);
        shmig_mirror_written(mirror, offset, length, buf, 0);
    }
}

typedef struct Writer {
    Disks *disks;
    int stop;
    unsigned writes;
} Writer;

static void *writer_thread(void *opaque)
{
    Writer *w = opaque;
    uint32_t x = 5;

    while (w->writes < 50 || !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        guest_write(w->disks, &x);
        w->writes++;
        g_thread_yield();
    }
    return NULL;
}

static void test_busy(gconstpointer opaque)
{
    Disks d = disks_new(opaque);
    g_autoptr(GError) error = NULL;
    Writer writer = { .disks = &d };
    GThread *thread;

    g_assert_true(pair_start(d.pair, &error));
    thread = g_thread_new("writer", writer_thread, &writer);
    for (int i = 0; i < 20; i++) {
        g_assert_true(shmig_source_wait(d.pair->source, 0, 20, &error));
    }
    __atomic_store_n(&writer.stop, 1, __ATOMIC_RELEASE);
    g_thread_join(thread);
    switch_over(&d);
    disks_free(&d);
}

typedef struct WorstMoment {
    Disks *disks;
    uint32_t x;
    unsigned writes;
} WorstMoment;

/* Writes into the very range that is being copied. */
static void write_into(void *opaque, const ShmigDiskReq *req)
{
    WorstMoment *w = opaque;
    uint8_t buf[1024];

    if (w->writes >= 200 || req->length < sizeof(buf)) {
        return;
    }
    w->writes++;
    fill(buf, sizeof(buf), next(&w->x));
    fake_disk_poke(w->disks->source, req->offset, sizeof(buf), buf);
    shmig_mirror_written(w->disks->pair->mirror[0], req->offset, sizeof(buf),
                         buf, 0);
}

static void test_worst_moment(void)
{
    static const Shape one = { "", 1, false, FAKE_DISK_PROMPT };
    Disks d = disks_new(&one);
    WorstMoment worst = { .disks = &d, .x = 3 };
    g_autoptr(GError) error = NULL;

    fake_disk_on_submit(d.source, write_into, &worst);
    g_assert_true(pair_start(d.pair, &error));
    g_assert_true(pair_settle(d.pair, 1, &error));
    g_assert_cmpuint(worst.writes, >, 30);
    switch_over(&d);
    disks_free(&d);
}

static void test_source_read_error(void)
{
    static const Shape one = { "", 2, true, FAKE_DISK_PROMPT };
    Disks d = disks_new(&one);
    g_autoptr(GError) error = NULL;

    fake_disk_fail(d.source, SHMIG_DISK_READ, 3, EIO);
    g_assert_true(pair_start(d.pair, &error));
    g_assert_false(pair_settle(d.pair, 1, &error));
    g_assert_nonnull(strstr(error->message, "disk \"vda\": reading"));
    g_assert_nonnull(strstr(pair_dest_failure(d.pair), "disk \"vda\""));
    disks_free(&d);
}

static void test_dest_full(void)
{
    static const Shape one = { "", 2, true, FAKE_DISK_PROMPT };
    Disks d = disks_new(&one);
    g_autoptr(GError) error = NULL;

    fake_disk_fail(d.dest, SHMIG_DISK_WRITE, 2, ENOSPC);
    g_assert_true(pair_start(d.pair, &error));
    pair_start_ram(d.pair);
    g_assert_cmpint(pair_switch_over(d.pair, &error), ==,
                    SHMIG_COMMIT_NOT_SENT);
    g_assert_nonnull(strstr(error->message, "disk \"vda\": writing the dest"));
    g_assert_nonnull(strstr(error->message, "No space"));
    disks_free(&d);
}

/* A flush that fails is a destination that may lose data: no switch-over. */
static void test_flush_fails(void)
{
    static const Shape one = { "", 1, false, FAKE_DISK_PROMPT };
    Disks d = disks_new(&one);
    g_autoptr(GError) error = NULL;

    fake_disk_fail(d.dest, SHMIG_DISK_FLUSH, 1, EIO);
    g_assert_true(pair_start(d.pair, &error));
    pair_start_ram(d.pair);
    g_assert_cmpint(pair_switch_over(d.pair, &error), ==,
                    SHMIG_COMMIT_NOT_SENT);
    g_assert_nonnull(strstr(error->message, "disk \"vda\""));
    disks_free(&d);
}

/* Held requests are waited for at the end, whatever happened. */
static void test_abort_with_requests_in_flight(void)
{
    static const Shape one = { "", 1, false, FAKE_DISK_PROMPT };
    Disks d = disks_new(&one);
    g_autoptr(GError) error = NULL;

    fake_disk_set_mode(d.dest, FAKE_DISK_HELD);
    g_assert_true(pair_start(d.pair, &error));
    fake_disk_wait_held(d.dest, 2);
    shmig_source_abort(d.pair->source, "enough");
    pair_dest_failure(d.pair);
    fake_disk_set_mode(d.dest, FAKE_DISK_PROMPT);
    disks_free(&d);
}

/* The same behind a frame that waits for one of the destination's buffers. */
static void test_abort_behind_the_disk(void)
{
    static const Shape one = { "", 1, false, FAKE_DISK_PROMPT };
    Disks d = disks_new(&one);
    g_autofree uint8_t *buf = g_malloc(DISK_BYTES);
    g_autoptr(GError) error = NULL;

    fill(buf, DISK_BYTES, 6);
    fake_disk_poke(d.source, 0, DISK_BYTES, buf);
    fake_disk_set_mode(d.dest, FAKE_DISK_HELD);
    g_assert_true(pair_start(d.pair, &error));
    fake_disk_wait_held(d.dest, 6);
    shmig_source_abort(d.pair->source, "enough");
    pair_dest_failure(d.pair);
    g_assert_cmpuint(fake_disk_done_bytes(d.dest, SHMIG_DISK_WRITE), ==, 0);
    fake_disk_set_mode(d.dest, FAKE_DISK_PROMPT);
    disks_free(&d);
}

/* A slow destination makes the source wait; memory stays bounded. */
static void test_slow_destination(void)
{
    static const Shape one = { "", 1, false, FAKE_DISK_PROMPT };
    Disks d = disks_new(&one);
    g_autoptr(GError) error = NULL;

    fake_disk_set_mode(d.dest, FAKE_DISK_HELD);
    g_assert_true(pair_start(d.pair, &error));
    fake_disk_wait_held(d.dest, 6);
    g_assert_true(shmig_source_wait(d.pair->source, 0, 50, &error));
    g_assert_cmpuint(fake_disk_max_in_flight(d.dest), <=, 64);
    fake_disk_set_mode(d.dest, FAKE_DISK_PROMPT);
    g_assert_true(pair_settle(d.pair, 1, &error));
    switch_over(&d);
    disks_free(&d);
}

/*
 * Not one write of the disk is done, and all of RAM gets there: more than
 * the connection and the destination's buffers could hold.
 */
static void test_ram_passes_the_disk(void)
{
    static const Shape one = { "", 1, false, FAKE_DISK_PROMPT };
    const uint64_t ram_bytes = 32 * MIB;
    Disks d = disks_new(&one);
    g_autofree uint8_t *buf = g_malloc(DISK_BYTES);
    int64_t until = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
    g_autoptr(GError) error = NULL;

    d.pair->dest_disk[0] = NULL; /* still ours */
    pair_free(d.pair);
    d.pair = pair_new(1, false, ram_bytes);
    d.pair->n_disks = 1;
    d.pair->disk_bytes = DISK_BYTES;
    d.pair->source_disk[0] = fake_disk_base(d.source);
    d.pair->dest_disk[0] = fake_disk_base(d.dest);
    fill(d.pair->source_ram, ram_bytes, 5);
    fill(buf, DISK_BYTES, 6);
    fake_disk_poke(d.source, 0, DISK_BYTES, buf);
    fake_disk_set_mode(d.dest, FAKE_DISK_HELD);
    g_assert_true(pair_start(d.pair, &error));
    pair_start_ram(d.pair);
    while (shmig_source_region_pending(d.pair->source, 0)) {
        g_assert_true(shmig_source_wait(d.pair->source, 0, 20, &error));
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
    g_assert_cmpuint(fake_disk_done_bytes(d.dest, SHMIG_DISK_WRITE), ==, 0);
    fake_disk_set_mode(d.dest, FAKE_DISK_PROMPT);
    pair_switch_over(d.pair, &error);
    g_assert_no_error(error);
    g_assert_true(fake_disk_equal(d.source, d.dest));
    g_assert_cmpmem(d.pair->source_ram, ram_bytes, d.pair->dest_ram, ram_bytes);
    disks_free(&d);
}

/* More than a frame may carry, in one write to what was copied already. */
static void test_large_write(void)
{
    static const Shape two = { "", 2, false, FAKE_DISK_PROMPT };
    Disks d = disks_new(&two);
    g_autofree uint8_t *buf = g_malloc(5 * MIB);
    g_autoptr(GError) error = NULL;

    g_assert_true(pair_start(d.pair, &error));
    g_assert_true(pair_settle(d.pair, 1, &error));
    fill(buf, 5 * MIB, 77);
    fake_disk_poke(d.source, 4 * MIB + 512, 5 * MIB, buf);
    shmig_mirror_written(d.pair->mirror[0], 4 * MIB + 512, 5 * MIB, buf, 0);
    switch_over(&d);
    disks_free(&d);
}

/* What the barrier made durable, the guest does not wait for at the end. */
static void test_flushed_before_the_end(void)
{
    static const Shape one = { "", 1, false, FAKE_DISK_PROMPT };
    Disks d = disks_new(&one);
    g_autoptr(GError) error = NULL;
    unsigned flushes;

    g_assert_true(pair_start(d.pair, &error));
    g_assert_true(pair_settle(d.pair, 1, &error));
    while (!shmig_source_barrier(d.pair->source, 50, &error)) {
        g_assert_no_error(error);
    }
    g_assert_true(fake_disk_durable(d.dest, 0, DISK_BYTES));
    flushes = fake_disk_calls(d.dest, SHMIG_DISK_FLUSH);
    g_assert_cmpuint(flushes, >=, 1);
    switch_over(&d);
    g_assert_cmpuint(fake_disk_calls(d.dest, SHMIG_DISK_FLUSH), ==, flushes);
    disks_free(&d);
}

static void test_bandwidth(void)
{
    static const Shape two = { "", 2, false, FAKE_DISK_PROMPT };
    Disks d = disks_new(&two);
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();

    g_assert_true(pair_start(d.pair, &error));
    shmig_source_set_bandwidth(d.pair->source, 20 * MIB);
    g_assert_true(shmig_source_wait(d.pair->source, 1, 100, &error));
    /* At once 7 MiB would have gone; the limit lets about 3 through. */
    g_assert_cmpuint(shmig_source_region_pending(d.pair->source, 1), >, 0);
    shmig_source_set_bandwidth(d.pair->source, 0);
    g_assert_true(pair_settle(d.pair, 1, &error));
    g_assert_cmpint(g_get_monotonic_time() - start, >, 90000);
    switch_over(&d);
    disks_free(&d);
}

static void add_shapes(const char *path, GTestDataFunc fn)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_autofree char *full = g_strdup_printf("%s/%s", path, shapes[i].name);

        g_test_add_data_func(full, &shapes[i], fn);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_shapes("/session/disk/idle", test_idle);
    add_shapes("/session/disk/busy", test_busy);
    g_test_add_func("/session/disk/worst-moment", test_worst_moment);
    g_test_add_func("/session/disk/source-read-error", test_source_read_error);
    g_test_add_func("/session/disk/dest-full", test_dest_full);
    g_test_add_func("/session/disk/flush-fails", test_flush_fails);
    g_test_add_func("/session/disk/abort-in-flight",
                    test_abort_with_requests_in_flight);
    g_test_add_func("/session/disk/abort-behind", test_abort_behind_the_disk);
    g_test_add_func("/session/disk/slow-destination", test_slow_destination);
    g_test_add_func("/session/disk/ram-passes", test_ram_passes_the_disk);
    g_test_add_func("/session/disk/large-write", test_large_write);
    g_test_add_func("/session/disk/flushed-before-the-end",
                    test_flushed_before_the_end);
    g_test_add_func("/session/disk/bandwidth", test_bandwidth);
    return g_test_run();
}
