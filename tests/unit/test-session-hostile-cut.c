/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections that end anywhere: within each message, at each stage, by
 * either side; and destinations that are freed meanwhile.
 */
#include "raw-source.h"
#include "shmig/session/dest-internal.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define STRIPE (2u << 20)

/* Ends @peer, in one of two ways. */
static void cut_off(RawPeer *peer, bool half)
{
    if (half) {
        raw_peer_end(peer);
    } else {
        raw_peer_close(peer);
    }
}

/* Until nobody is in the hall. */
static void wait_for_doors(ShmigDest *dest)
{
    pthread_mutex_lock(&dest->lock);
    while (dest->n_doors) {
        pthread_cond_wait(&dest->cond, &dest->lock);
    }
    pthread_mutex_unlock(&dest->lock);
}

/* Hello and offer, cut at each byte: the destination goes on listening. */
static void test_before_the_answer(gconstpointer half)
{
    RawSource *raw = raw_source_new(1, false);
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(ShmigOffer) offer = raw_source_offer(1);
    g_autoptr(GBytes) body = shmig_offer_encode(offer, NULL);
    ShmigHello hello = raw_hello(9, 0, 1);
    ShmigFrame frame = { .type = SHMIG_FRAME_OFFER };

    frame.body = g_bytes_get_size(body);
    raw_add_hello(out, &hello);
    raw_add_frame(out, &frame, g_bytes_get_data(body, NULL), NULL);
    for (unsigned cut = 0; cut < out->len; cut++) {
        RawPeer peer = raw_source_dial(raw);

        raw_write(&peer, out->data, cut);
        cut_off(&peer, half);
        wait_for_doors(raw->pair->dest);
        raw_peer_close(&peer);
    }
    g_assert_false(raw_source_saw(raw, &raw->pair->failed));
    raw_source_joined(raw);
    raw_source_free(raw);
}

/* A channel that does not get through its hello harms nobody. */
static void test_hello_of_a_later_channel(gconstpointer half)
{
    RawSource *raw = raw_source_new(2, false);
    g_autoptr(GByteArray) out = g_byte_array_new();
    ShmigHello hello = raw_hello(0x42, 1, 2);

    raw_add_hello(out, &hello);
    raw_source_offered(raw);
    for (unsigned cut = 0; cut < out->len; cut++) {
        RawPeer peer = raw_source_dial(raw);

        raw_write(&peer, out->data, cut);
        cut_off(&peer, half);
        raw_peer_close(&peer);
    }
    raw_source_hello(raw, 1);
    pair_wait(raw->pair, &raw->pair->connected);
    g_assert_false(raw_source_saw(raw, &raw->pair->failed));
    raw_source_free(raw);
}

/* All kinds of messages that follow GO. */
static GByteArray *transcript(void)
{
    const ShmigRecord ram[] = {
        { RAW_RAM, SHMIG_RECORD_DATA, 2 * STRIPE, 40 },
        { RAW_RAM, SHMIG_RECORD_ZERO, 0, PAGE },
    };
    const ShmigRecord disk = { RAW_DISK, SHMIG_RECORD_DATA, 0, 512 };
    ShmigFrame frame = {
        .type = SHMIG_FRAME_STREAM,
        .body = 4,
        .sequence = 1,
    };
    GByteArray *out = g_byte_array_new();

    raw_add_frame(out, &frame, "four", NULL);
    raw_add_data(out, 2, ram, 2, 0x66);
    raw_add_data(out, 3, &disk, 1, 0x66);
    frame = (ShmigFrame) { .type = SHMIG_FRAME_DRAIN,
                           .flags = SHMIG_FRAME_FINAL,
                           .sequence = 4 };
    raw_add_frame(out, &frame, NULL, NULL);
    return out;
}

static bool holds(const uint8_t *p, uint64_t length, uint8_t byte)
{
    for (uint64_t i = 0; i < length; i++) {
        if (p[i] != byte) {
            return false;
        }
    }
    return true;
}

/* Only what the messages name was written, if at all. */
static void check_memory(RawSource *raw)
{
    raw_source_end(raw);
    g_assert_true(holds(raw->ram + PAGE, 2 * STRIPE - PAGE, RAW_OLD));
    g_assert_true(holds(raw->ram + 2 * STRIPE + 40, PAGE - 40, RAW_OLD));
}

static void test_messages(gconstpointer half)
{
    g_autoptr(GByteArray) out = transcript();

    /* Half an end is the finer instrument: each byte; else each seventh. */
    for (unsigned cut = 0; cut < out->len; cut += half ? 1 : 7) {
        RawSource *raw = raw_source_new(1, false);

        raw_source_going(raw);
        raw_write(&raw->peer[0], out->data, cut);
        cut_off(&raw->peer[0], half);
        raw_source_expect_failure(raw, "channel 0");
        if (half) {
            g_autofree char *words = raw_last_words(&raw->peer[0]);

            g_assert_cmpstr(words, ==, NULL);
        }
        if (cut % 64 == 0) {
            check_memory(raw);
        }
        raw_source_free(raw);
        if (cut > 36 + 120 + 56 && cut < out->len - 100) {
            cut += 60; /* within one payload it makes no difference */
        }
    }
}

static void owned(RawSource *raw)
{
    raw_source_ready(raw);
    g_assert_true(raw_send_type(&raw->peer[0], SHMIG_FRAME_COMMIT));
    pair_wait(raw->pair, &raw->pair->commit);
}

/* A write to the disk hangs, and a drain waits for it. */
static void writing(RawSource *raw)
{
    ShmigRecord record = { RAW_DISK, SHMIG_RECORD_DATA, STRIPE, PAGE };

    fake_disk_set_mode(raw->disk, FAKE_DISK_HELD);
    raw_source_going(raw);
    g_assert_true(raw_send_data(&raw->peer[0], &record, 1, 0x66));
    fake_disk_wait_held(raw->disk, 1);
    raw_send_type(&raw->peer[0], SHMIG_FRAME_DRAIN);
}

static void listening(RawSource *raw)
{
}

static void admitted(RawSource *raw)
{
    raw_source_hello(raw, 0);
}

typedef struct Stage {
    const char *name;
    void (*reach)(RawSource *raw);
    unsigned channels_open;
    /* What comes after the loss of channel 0 or 1; NULL: failure. */
    void (*after[2])(RawSource *raw);
} Stage;

/* It listens again. */
static void listens(RawSource *raw)
{
    raw_peer_close(&raw->peer[0]);
    wait_for_doors(raw->pair->dest);
    raw_source_joined(raw);
}

/* What is left to say is said on channel 0. */
static void goes_on_when_drained(RawSource *raw)
{
    shmig_dest_ready(raw->pair->dest);
    raw_expect(&raw->peer[0], SHMIG_FRAME_READY);
    g_assert_true(raw_send_type(&raw->peer[0], SHMIG_FRAME_COMMIT));
    pair_wait(raw->pair, &raw->pair->commit);
    shmig_dest_running(raw->pair->dest);
    raw_expect(&raw->peer[0], SHMIG_FRAME_RUNNING);
}

static void goes_on_when_ready(RawSource *raw)
{
    g_assert_true(raw_send_type(&raw->peer[0], SHMIG_FRAME_COMMIT));
    pair_wait(raw->pair, &raw->pair->commit);
    shmig_dest_running(raw->pair->dest);
    raw_expect(&raw->peer[0], SHMIG_FRAME_RUNNING);
}

static void runs(RawSource *raw)
{
    shmig_dest_running(raw->pair->dest);
}

static const Stage stages[] = {
    { "listening", listening, 0, { NULL, NULL } },
    { "admitted", admitted, 1, { listens, NULL } },
    { "offered", raw_source_offered, 1, { NULL, NULL } },
    { "joined", raw_source_joined, 2, { NULL, NULL } },
    { "going", raw_source_going, 2, { NULL, NULL } },
    { "writing", writing, 2, { NULL, NULL } },
    { "drained", raw_source_drained, 2, { NULL, goes_on_when_drained } },
    { "ready", raw_source_ready, 2, { NULL, goes_on_when_ready } },
    { "owned", owned, 2, { runs, runs } },
};

static void release(RawSource *raw)
{
    fake_disk_set_mode(raw->disk, FAKE_DISK_PROMPT);
}

static void test_disconnect(gconstpointer opaque)
{
    const Stage *stage = opaque;

    for (unsigned i = 0; i < stage->channels_open * 4; i++) {
        unsigned channel = i / 4;
        RawSource *raw = raw_source_new(2, i & 1);

        stage->reach(raw);
        cut_off(&raw->peer[channel], i & 2);
        if (stage->after[channel]) {
            stage->after[channel](raw);
            g_assert_false(raw_source_saw(raw, &raw->pair->failed));
        } else {
            raw_source_expect_failure(raw, "");
        }
        release(raw);
        raw_source_free(raw);
    }
}

/* Freed with the peers still there, and told nothing. */
static void test_free(gconstpointer opaque)
{
    const Stage *stage = opaque;
    RawSource *raw = raw_source_new(2, false);

    stage->reach(raw);
    release(raw);
    shmig_dest_free(g_steal_pointer(&raw->pair->dest));
    g_assert_false(raw->pair->failed);
    raw_source_free(raw);
}

/* The other end is told why, wherever it is. */
static void test_abort(gconstpointer opaque)
{
    const Stage *stage = opaque;
    RawSource *raw = raw_source_new(2, true);

    stage->reach(raw);
    shmig_dest_abort(raw->pair->dest, "enough");
    if (stage->after[0] == runs) {
        /* Nobody can take from us what we own. */
        runs(raw);
        raw_expect(&raw->peer[0], SHMIG_FRAME_RUNNING);
        raw_source_free(raw);
        return;
    }
    raw_source_expect_failure(raw, "enough");
    release(raw);
    if (stage->channels_open == 2) {
        raw_source_expect_told(raw, "enough");
    }
    raw_source_free(raw);
}

static void *sender_thread(void *opaque)
{
    RawSource *raw = opaque;
    ShmigRecord record = { RAW_DISK, SHMIG_RECORD_DATA, STRIPE, 1 << 20 };

    while (raw_send_data(&raw->peer[0], &record, 1, 0x66)) {
    }
    return NULL;
}

/* It never reads, and it never stops. */
static void test_abort_while_flooded(gconstpointer tcp)
{
    RawSource *raw = raw_source_new(1, tcp != NULL);
    GThread *thread;

    raw_source_going(raw);
    thread = g_thread_new("sender", sender_thread, raw);
    shmig_dest_abort(raw->pair->dest, "enough");
    raw_source_expect_failure(raw, "enough");
    shmig_dest_free(g_steal_pointer(&raw->pair->dest));
    g_thread_join(thread);
    raw_source_free(raw);
}

#define LARGE_RAM (1ull << 30)
#define LARGE_DISK (1ull << 50)

/* A disk that is as large as one likes and holds nothing. */
static void null_submit(ShmigDisk *disk, ShmigRing *ring, ShmigDiskReq *req)
{
    shmig_ring_post(ring, &req->op, 0);
}

static void null_free(ShmigDisk *disk)
{
}

static const ShmigDiskOps null_ops = {
    .name = "null",
    .submit = null_submit,
    .free = null_free,
};

/* Full frames of zero records, each over a whole region, take hours. */
static void test_endless_zeroes(gconstpointer region)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigOffer *offer = shmig_offer_new("fake-machine", 1);
    ShmigDisk disk = { .ops = &null_ops, .size_bytes = LARGE_DISK };
    ShmigRecord records[SHMIG_MAX_RECORDS];
    g_autofree char *problems = NULL;
    uint8_t *ram = mmap(NULL, LARGE_RAM, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int64_t start;

    g_assert_true(ram != MAP_FAILED);
    shmig_disk_free(g_steal_pointer(&raw->pair->dest_disk[0]));
    raw->pair->dest_disk[0] = &disk;
    shmig_offer_add_ram(offer, "ram0", LARGE_RAM, LARGE_RAM, PAGE);
    shmig_offer_add_disk(offer, "vda", "raw", "", LARGE_DISK);
    raw_source_hello(raw, 0);
    raw_send_offer(&raw->peer[0], offer);
    problems = raw_expect_answer(&raw->peer[0]);
    g_assert_cmpstr(problems, ==, "");
    pair_wait(raw->pair, &raw->pair->connected);
    shmig_dest_set_ram(raw->pair->dest, 0, ram);
    shmig_dest_go(raw->pair->dest);
    for (unsigned i = 0; i < SHMIG_MAX_RECORDS; i++) {
        records[i] = raw_record(GPOINTER_TO_UINT(region), SHMIG_RECORD_ZERO, 0,
                                region ? LARGE_DISK : LARGE_RAM);
    }
    for (unsigned i = 0; i < 4; i++) {
        raw_send_data(&raw->peer[0], records, SHMIG_MAX_RECORDS, 0);
    }
    raw_expect(&raw->peer[0], SHMIG_FRAME_GO);
    start = g_get_monotonic_time();
    shmig_dest_abort(raw->pair->dest, "enough");
    raw_source_expect_failure(raw, "enough");
    raw_source_end(raw);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 20 * G_USEC_PER_SEC);
    munmap(ram, LARGE_RAM);
    shmig_offer_free(offer);
    raw_source_free(raw);
}

static void add_stages(const char *path, GTestDataFunc test)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stages); i++) {
        g_autofree char *full = g_strconcat(path, stages[i].name, NULL);

        g_test_add_data_func(full, &stages[i], test);
    }
}

static void add_halves(const char *path, GTestDataFunc test)
{
    g_autofree char *half = g_strconcat(path, "/half", NULL);
    g_autofree char *whole = g_strconcat(path, "/whole", NULL);

    g_test_add_data_func(half, "half", test);
    g_test_add_data_func(whole, NULL, test);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_halves("/session/cut/before-the-answer", test_before_the_answer);
    add_halves("/session/cut/later-hello", test_hello_of_a_later_channel);
    add_halves("/session/cut/messages", test_messages);
    add_stages("/session/cut/disconnect/", test_disconnect);
    add_stages("/session/cut/free/", test_free);
    add_stages("/session/cut/abort/", test_abort);
    g_test_add_data_func("/session/cut/flooded/socketpair", NULL,
                         test_abort_while_flooded);
    g_test_add_data_func("/session/cut/flooded/tcp", "tcp",
                         test_abort_while_flooded);
    g_test_add_data_func("/session/cut/endless-zeroes/ram",
                         GUINT_TO_POINTER(RAW_RAM), test_endless_zeroes);
    g_test_add_data_func("/session/cut/endless-zeroes/disk",
                         GUINT_TO_POINTER(RAW_DISK), test_endless_zeroes);
    return g_test_run();
}
