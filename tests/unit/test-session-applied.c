/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a source believes of APPLIED: nothing that cannot be; and when a
 * destination says it.
 */
#include "raw-dest.h"
#include "raw-source.h"
#include "shmig/base/error.h"

#include <string.h>

#define MIB (1u << 20)
#define DISK_BYTES (8u * MIB)
#define SENT (3u * MIB) /* by the source, payload of its disk */

/* A source that has sent SENT bytes of its disk on one channel. */
static RawDest *sent_new(FakeDisk **disk)
{
    g_autofree uint8_t *buf = g_malloc(SENT);
    uint64_t bytes = 0;
    RawDest *raw;

    memset(buf, 0x66, SENT);
    *disk = fake_disk_new(DISK_BYTES);
    fake_disk_poke(*disk, 4 * MIB, SENT, buf);
    raw = raw_dest_new_disk(1, *disk, DISK_BYTES);
    raw_dest_going(raw);
    raw_dest_end(raw);
    g_assert_no_error(raw->error);
    while (bytes < SENT) {
        ShmigFrame frame = raw_expect(&raw->peer[0], SHMIG_FRAME_DATA);

        bytes += frame.payload;
    }
    g_assert_cmpuint(bytes, ==, SENT);
    return raw;
}

static void sent_free(RawDest *raw, FakeDisk *disk)
{
    raw_dest_free(raw);
    fake_disk_unref(disk);
}

static void say(RawDest *raw, uint64_t value)
{
    ShmigFrame frame = { .type = SHMIG_FRAME_APPLIED, .value = value };

    g_assert_true(raw_send(&raw->peer[0], frame, NULL));
}

typedef struct Said {
    const char *name;
    uint64_t values[3]; /* up to a 0 */
    bool good;
} Said;

static const Said said[] = {
    { "one", { 1 }, true },
    { "limit-1", { SENT - 1 }, true },
    { "limit", { SENT }, true },
    { "limit+1", { SENT + 1 }, false },
    { "max", { UINT64_MAX }, false },
    { "sign", { INT64_MIN }, false },
    { "next", { MIB, MIB + 1, SENT }, true },
    { "same", { MIB, MIB }, false },
    { "less", { MIB, MIB - 1 }, false },
    { "least", { MIB, 1 }, false },
    { "same-as-limit", { SENT, SENT }, false },
    { "above-limit", { SENT - 1, SENT + 1 }, false },
    { "wraps", { MIB, (uint64_t)0 - MIB }, false },
    { "wraps-to-before", { SENT, UINT64_MAX }, false },
};

static void test_said(gconstpointer opaque)
{
    const Said *s = opaque;
    FakeDisk *disk;
    RawDest *raw = sent_new(&disk);
    g_autofree char *words = NULL;

    for (unsigned i = 0; i < 3 && s->values[i]; i++) {
        say(raw, s->values[i]);
    }
    if (s->good) {
        /* It comes after what was said, and is answered as ever. */
        raw_send(&raw->peer[0], (ShmigFrame) { .type = SHMIG_FRAME_READY },
                 NULL);
    }
    words = raw_last_words(&raw->peer[0]);
    g_assert_nonnull(words);
    g_assert_nonnull(strstr(words, s->good ? "does not send, or not now"
                                           : "APPLIED of no more than"));
    sent_free(raw, disk);
}

/* Nothing of a disk was sent on this channel. */
static void test_nothing_sent(gconstpointer channel)
{
    RawDest *raw = raw_dest_new(2);
    ShmigFrame frame = { .type = SHMIG_FRAME_APPLIED, .value = 1 };

    raw_dest_asked(raw);
    raw_send(&raw->peer[GPOINTER_TO_UINT(channel)], frame, NULL);
    raw_dest_expect_told(raw, SHMIG_COMMIT_NOT_SENT, "APPLIED");
    raw_dest_free(raw);
}

static void test_before_go(void)
{
    RawDest *raw = raw_dest_new(1);

    raw_dest_joined(raw);
    say(raw, 1);
    raw_dest_expect_told(raw, SHMIG_COMMIT_NOT_SENT, "APPLIED");
    raw_dest_free(raw);
}

static void *finish(void *opaque)
{
    RawDest *raw = opaque;
    g_autoptr(GError) error = NULL;

    g_assert_true(shmig_source_finish(raw->source, &error));
    return NULL;
}

/* The final DRAINED has said it all. */
static void test_after_the_end(void)
{
    FakeDisk *disk;
    RawDest *raw = sent_new(&disk);
    GThread *thread = g_thread_new("finish", finish, raw);
    g_autofree char *words = NULL;

    raw_expect(&raw->peer[0], SHMIG_FRAME_DRAIN);
    g_thread_join(thread);
    say(raw, MIB);
    raw_dest_say_drained(raw, 0);
    say(raw, SENT);
    words = raw_last_words(&raw->peer[0]);
    g_assert_nonnull(words);
    g_assert_nonnull(strstr(words, "APPLIED"));
    sent_free(raw, disk);
}

static void expect_applied(RawSource *raw, uint64_t value)
{
    ShmigFrame frame;

    g_assert_true(raw_recv(&raw->peer[0], &frame, NULL));
    g_assert_cmpuint(frame.type, ==, SHMIG_FRAME_APPLIED);
    g_assert_cmpuint(frame.value, ==, value);
}

/* A destination with @n writes of 1 MiB that its disk holds. */
static RawSource *held_new(unsigned n)
{
    RawSource *raw = raw_source_new(1, false);

    raw_source_going(raw);
    fake_disk_set_mode(raw->disk, FAKE_DISK_HELD);
    for (unsigned i = 0; i < n; i++) {
        ShmigRecord record =
            raw_record(RAW_DISK, SHMIG_RECORD_DATA, i * (uint64_t)MIB, MIB);

        g_assert_true(raw_send_data(&raw->peer[0], &record, 1, 0x77));
    }
    fake_disk_wait_held(raw->disk, n);
    return raw;
}

/* Every 2 MiB, and what is left when nothing is left to do. */
static void test_said_when_due(void)
{
    RawSource *raw = held_new(4);

    fake_disk_release(raw->disk, 0);
    fake_disk_release(raw->disk, 0);
    expect_applied(raw, 2 * MIB);
    fake_disk_release(raw->disk, 0);
    fake_disk_release(raw->disk, 0);
    expect_applied(raw, 4 * MIB);
    raw_source_free(raw);
}

static void test_said_when_idle(void)
{
    RawSource *raw = held_new(1);

    fake_disk_release(raw->disk, 0);
    expect_applied(raw, MIB);
    raw_source_free(raw);
}

/* Zeroes are nothing to tell. */
static void test_not_said(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigRecord zero = raw_record(RAW_DISK, SHMIG_RECORD_ZERO, 0, 4 * MIB);
    ShmigFrame frame;

    raw_source_going(raw);
    g_assert_true(raw_send_data(&raw->peer[0], &zero, 1, 0));
    g_assert_true(raw_send_type(&raw->peer[0], SHMIG_FRAME_DRAIN));
    g_assert_true(raw_recv(&raw->peer[0], &frame, NULL));
    g_assert_cmpuint(frame.type, ==, SHMIG_FRAME_DRAINED);
    raw_source_free(raw);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(said); i++) {
        g_autofree char *path =
            g_strconcat("/session/applied/", said[i].name, NULL);

        g_test_add_data_func(path, &said[i], test_said);
    }
    g_test_add_data_func("/session/applied/nothing-sent/0", GUINT_TO_POINTER(0),
                         test_nothing_sent);
    g_test_add_data_func("/session/applied/nothing-sent/1", GUINT_TO_POINTER(1),
                         test_nothing_sent);
    g_test_add_func("/session/applied/said/due", test_said_when_due);
    g_test_add_func("/session/applied/said/idle", test_said_when_idle);
    g_test_add_func("/session/applied/said/not", test_not_said);
    g_test_add_func("/session/applied/before-go", test_before_go);
    g_test_add_func("/session/applied/after-the-end", test_after_the_end);
    return g_test_run();
}
