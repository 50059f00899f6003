/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a channel of the source sends first, as a destination sees it that
 * reads frame by frame, while the guest writes its disk all the time.
 */
#include "raw-dest.h"
#include "shmig/pace/bucket.h"

#include <string.h>

#define MIB (1u << 20)
#define DISK_BYTES (8u * MIB)
#define RAM 0 /* regions */
#define DISK 1

typedef struct World {
    FakeDisk *disk;
    RawDest *raw;
    uint64_t next;        /* where the guest writes next */
    uint64_t guest_bytes; /* of the disk that the guest writes to */
    uint64_t bytes[2];    /* payload that came, by region */
    uint64_t zeroes;      /* of the disk, in frames without payload */
    unsigned frames;
    uint8_t buf[65536];
} World;

/* Up to GO: the source may send, the test is its control thread. */
static World *world_new_with(const void *disk_bytes)
{
    World *w = g_new0(World, 1);

    w->guest_bytes = DISK_BYTES;
    memset(w->buf, 0x55, sizeof(w->buf));
    w->disk = fake_disk_new(DISK_BYTES);
    if (disk_bytes) {
        fake_disk_poke(w->disk, 0, DISK_BYTES, disk_bytes);
    }
    w->raw = raw_dest_new_disk(1, w->disk, DISK_BYTES);
    raw_dest_going(w->raw);
    raw_dest_end(w->raw);
    g_assert_no_error(w->raw->error);
    return w;
}

static World *world_new(void)
{
    return world_new_with(NULL);
}

/* With a disk full of data, and RAM: both at the same time. */
static World *world_new_full(void)
{
    g_autofree uint8_t *bytes = g_malloc(DISK_BYTES);

    memset(bytes, 0x44, DISK_BYTES);
    return world_new_with(bytes);
}

static void world_free(World *w)
{
    shmig_source_abort(w->raw->source, "the test is over");
    raw_peer_close(&w->raw->peer[0]);
    raw_dest_free(w->raw);
    fake_disk_unref(w->disk);
    g_free(w);
}

/* Reads one frame; its type. */
static uint8_t hear(World *w)
{
    g_autofree char *body = NULL;
    ShmigRecord record;
    ShmigFrame frame;
    const char *why;

    g_assert_true(raw_recv(&w->raw->peer[0], &frame, &body));
    if (frame.type == SHMIG_FRAME_DATA) {
        g_assert_cmpint(shmig_record_decode((uint8_t *)body, &record, &why), ==,
                        0);
        g_assert_cmpuint(record.region, <=, DISK);
        w->bytes[record.region] += frame.payload;
        w->zeroes +=
            record.region == DISK && !frame.payload ? record.length : 0;
        w->frames++;
    }
    return frame.type;
}

static uint64_t left(World *w, unsigned region)
{
    return shmig_source_region_pending(w->raw->source, region);
}

/* Until the disk, which is one hole, is copied. */
static void copy_disk(World *w)
{
    ShmigPending p;

    do {
        hear(w);
        shmig_source_pending(w->raw->source, &p);
    } while (p.disk_bytes || p.queued_bytes);
}

static void start_ram(World *w)
{
    ShmigRegion *region = shmig_source_ram_region(w->raw->source, 0);
    g_autoptr(GError) error = NULL;

    g_assert_true(shmig_source_start_ram(w->raw->source, &error));
    shmig_region_set(region, 0, region->n_granules);
    g_assert_true(shmig_source_wait(w->raw->source, 0, 0, &error));
}

static int64_t write_once(World *w, uint64_t length)
{
    int64_t delay =
        shmig_mirror_written(w->raw->mirror, w->next, length, w->buf, 0);

    w->next = (w->next + sizeof(w->buf)) % w->guest_bytes;
    return delay;
}

/* The guest writes until @bytes wait to be sent. */
static void write_until_queued(World *w, uint64_t bytes)
{
    ShmigPending p;

    for (;;) {
        shmig_source_pending(w->raw->source, &p);
        if (p.queued_bytes >= bytes) {
            return;
        }
        write_once(w, sizeof(w->buf));
    }
}

/* The queue is never empty: RAM is copied all the same. */
static void test_ram_while_guest_writes(void)
{
    World *w = world_new();

    copy_disk(w);
    start_ram(w);
    w->frames = 0;
    while (left(w, RAM)) {
        write_until_queued(w, 6 * MIB);
        hear(w);
        g_assert_cmpuint(w->frames, <, 100);
    }
    world_free(w);
}

/* What costs next to nothing does not take a turn for each frame. */
static void test_holes_while_guest_writes(void)
{
    const uint32_t granule = 64 << 10, holes = 32;
    World *w = world_new();

    copy_disk(w);
    w->frames = 0;
    w->guest_bytes = 4 * MIB;
    /* Before there are holes, or they would go while there is nothing else. */
    write_until_queued(w, 6 * MIB);
    /* Apart from each other, so that each is a frame. */
    for (unsigned i = 0; i < holes; i++) {
        shmig_mirror_discarded(w->raw->mirror, 4 * MIB + 2 * i * granule,
                               granule);
    }
    while (left(w, DISK) || w->zeroes < DISK_BYTES + holes * granule) {
        write_until_queued(w, 6 * MIB);
        hear(w);
    }
    /* A turn for each frame would take more than nine for each of them. */
    g_assert_cmpuint(w->frames, <, 6 * holes);
    world_free(w);
}

/*
 * max-bandwidth is over everything: guest writes as well, and they leave
 * something of it to the copy.
 */
static void test_bandwidth(void)
{
    const uint64_t rate = 8 * MIB;
    World *w = world_new();
    uint64_t bytes, ns;
    int64_t start;

    copy_disk(w);
    shmig_source_set_bandwidth(w->raw->source, rate);
    start_ram(w);
    w->bytes[RAM] = w->bytes[DISK] = 0;
    start = g_get_monotonic_time();
    do {
        write_until_queued(w, 6 * MIB);
        hear(w);
        bytes = w->bytes[RAM] + w->bytes[DISK];
    } while (bytes < 6 * MIB || (left(w, RAM) && bytes < 24 * MIB));
    ns = (g_get_monotonic_time() - start) * 1000;
    /* One frame and the burst may go at once. */
    g_assert_cmpuint(bytes, <=,
                     rate * (ns + SHMIG_BUCKET_BURST_NS) / 1000000000 + MIB);
    g_assert_cmpuint(left(w, RAM), ==, 0);
    g_assert_cmpuint(w->bytes[DISK], >, w->bytes[RAM]);
    world_free(w);
}

/* A time without anything to send says nothing about the link. */
static void test_idle_is_not_slow(void)
{
    World *w = world_new();
    g_autoptr(GError) error = NULL;

    copy_disk(w);
    for (unsigned i = 0; i < 4; i++) {
        /* Pending is never less than 0: takes all of the time. */
        g_assert_true(shmig_source_wait(w->raw->source, 0, 150, &error));
        write_once(w, 512);
        hear(w);
    }
    write_until_queued(w, 9 * MIB);
    g_assert_cmpint(write_once(w, sizeof(w->buf)), <, 30000000);
    world_free(w);
}

/* A destination that applies nothing gets RAM, and then the disk. */
static void test_disk_is_behind(void)
{
    World *w = world_new_full();

    start_ram(w);
    while (w->bytes[RAM] < RAW_DEST_RAM / 2) {
        hear(w);
        /* 4 MiB, and the frame that went beyond it. */
        g_assert_cmpuint(w->bytes[DISK], <=, 5 * MIB);
    }
    g_assert_cmpuint(w->bytes[DISK], >, 4 * MIB);
    while (w->bytes[DISK] < DISK_BYTES) {
        hear(w);
    }
    world_free(w);
}

/* One that keeps up gets the disk first. */
static void test_disk_keeps_up(void)
{
    World *w = world_new_full();
    ShmigFrame frame = { .type = SHMIG_FRAME_APPLIED };

    /* From the first frame on there is always a range that was read. */
    hear(w);
    start_ram(w);
    while (w->bytes[DISK] < DISK_BYTES) {
        hear(w);
        g_assert_cmpuint(w->bytes[RAM], ==, 0);
        frame.value = w->bytes[DISK];
        g_assert_true(raw_send(&w->raw->peer[0], frame, NULL));
    }
    while (w->bytes[RAM] < RAW_DEST_RAM / 2) {
        hear(w);
    }
    world_free(w);
}

static void *finish(void *opaque)
{
    World *w = opaque;
    g_autoptr(GError) error = NULL;

    g_assert_true(shmig_source_finish(w->raw->source, &error));
    return NULL;
}

/* The guest waits for the switch-over: at this rate it would be a minute. */
static void test_bandwidth_at_the_end(void)
{
    World *w = world_new();
    int64_t start;
    GThread *thread;

    copy_disk(w);
    shmig_source_set_bandwidth(w->raw->source, 128 << 10);
    start_ram(w);
    write_until_queued(w, 6 * MIB);
    start = g_get_monotonic_time();
    thread = g_thread_new("finish", finish, w);
    while (hear(w) != SHMIG_FRAME_DRAIN) {
    }
    g_thread_join(thread);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 20 * G_USEC_PER_SEC);
    g_assert_cmpuint(w->bytes[DISK], >=, 6 * MIB);
    g_assert_cmpuint(left(w, RAM), ==, 0);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/turns/ram", test_ram_while_guest_writes);
    g_test_add_func("/session/turns/holes", test_holes_while_guest_writes);
    g_test_add_func("/session/turns/bandwidth", test_bandwidth);
    g_test_add_func("/session/turns/bandwidth-end", test_bandwidth_at_the_end);
    g_test_add_func("/session/turns/idle", test_idle_is_not_slow);
    g_test_add_func("/session/turns/behind", test_disk_is_behind);
    g_test_add_func("/session/turns/keeps-up", test_disk_keeps_up);
    return g_test_run();
}
