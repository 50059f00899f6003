/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a channel of the source sends first, as a destination sees it that
 * reads frame by frame, while the guest writes its disk all the time.
 */
#include "raw-dest.h"

#include <string.h>

#define MIB (1u << 20)
#define DISK_BYTES (8u * MIB)
#define RAM 0 /* regions */
#define DISK 1

typedef struct World {
    FakeDisk *disk;
    RawDest *raw;
    uint64_t next;     /* where the guest writes next */
    uint64_t bytes[2]; /* payload that came, by region */
    unsigned frames;
    uint8_t buf[65536];
} World;

/* Up to GO: the source may send, the test is its control thread. */
static World *world_new(void)
{
    World *w = g_new0(World, 1);

    memset(w->buf, 0x55, sizeof(w->buf));
    w->disk = fake_disk_new(DISK_BYTES);
    w->raw = raw_dest_new_disk(1, w->disk, DISK_BYTES);
    raw_dest_going(w->raw);
    raw_dest_end(w->raw);
    g_assert_no_error(w->raw->error);
    return w;
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
    while (left(w, DISK)) {
        hear(w);
    }
}

static void start_ram(World *w)
{
    ShmigRegion *region = shmig_source_ram_region(w->raw->source, 0);
    g_autoptr(GError) error = NULL;

    g_assert_true(shmig_source_start_ram(w->raw->source, &error));
    shmig_region_set(region, 0, region->n_granules);
    g_assert_true(shmig_source_wait(w->raw->source, 0, 0, &error));
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
        shmig_mirror_written(w->raw->mirror, w->next, sizeof(w->buf), w->buf,
                             0);
        w->next = (w->next + sizeof(w->buf)) % DISK_BYTES;
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/turns/ram", test_ram_while_guest_writes);
    return g_test_run();
}
