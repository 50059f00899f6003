/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Good frames at a bad time, on the wrong channel or in the wrong direction:
 * the destination says what is wrong, fails once, and never owns the guest.
 */
#include "raw-source.h"

#include <string.h>
#include <unistd.h>

#define PAGE 4096u
#define STRIPE (2u << 20)
#define WINDOW SHMIG_STREAM_WINDOW

typedef void StageFunc(RawSource *raw);

typedef struct BadFrame {
    const char *name;
    StageFunc *stage;
    unsigned channel;
    ShmigFrame frame;
    const char *sentence;
} BadFrame;

#define FINAL SHMIG_FRAME_FINAL
#define IS_EOF SHMIG_FRAME_EOF

static const char only_dest[] = "a frame that only a destination sends";

/* One frame that is refused where it comes. */
static const BadFrame bad_frames[] = {
    { "type/0", raw_source_going, 0, { .type = 0 }, "unknown type" },
    { "type/14", raw_source_going, 1, { .type = 14 }, "unknown type" },
    { "type/255", raw_source_going, 0, { .type = 255 }, "unknown type" },
    { "direction/answer",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_ANSWER, .body = 4 },
      only_dest },
    { "direction/go",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_GO },
      only_dest },
    { "direction/drained",
      raw_source_going,
      1,
      { .type = SHMIG_FRAME_DRAINED },
      only_dest },
    { "direction/applied",
      raw_source_going,
      1,
      { .type = SHMIG_FRAME_APPLIED, .value = 1 },
      only_dest },
    { "direction/ready",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_READY },
      only_dest },
    { "direction/running",
      raw_source_ready,
      0,
      { .type = SHMIG_FRAME_RUNNING },
      only_dest },
    { "offer/second",
      raw_source_joined,
      0,
      { .type = SHMIG_FRAME_OFFER, .body = 4 },
      "a second offer" },
    { "offer/channel-1",
      raw_source_going,
      1,
      { .type = SHMIG_FRAME_OFFER, .body = 4 },
      "a second offer" },
    { "offer/large",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_OFFER, .body = 70000 },
      "after the handshake" },
    { "channel/stream",
      raw_source_going,
      1,
      { .type = SHMIG_FRAME_STREAM, .body = 4 },
      "carries no stream" },
    { "channel/credit",
      raw_source_going,
      1,
      { .type = SHMIG_FRAME_CREDIT, .value = 1 },
      "carries no stream" },
    { "channel/commit",
      raw_source_ready,
      1,
      { .type = SHMIG_FRAME_COMMIT },
      "COMMIT on another channel than 0" },
    { "before-go/drain",
      raw_source_joined,
      0,
      { .type = SHMIG_FRAME_DRAIN },
      "before GO" },
    { "before-go/drain-1",
      raw_source_joined,
      1,
      { .type = SHMIG_FRAME_DRAIN },
      "before GO" },
    { "before-go/commit",
      raw_source_joined,
      0,
      { .type = SHMIG_FRAME_COMMIT },
      "COMMIT before READY" },
    { "before-ready/commit",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_COMMIT },
      "COMMIT before READY" },
    { "drained/commit",
      raw_source_drained,
      0,
      { .type = SHMIG_FRAME_COMMIT },
      "COMMIT before READY" },
    { "drained/drain",
      raw_source_drained,
      0,
      { .type = SHMIG_FRAME_DRAIN },
      "after the final" },
    { "drained/final",
      raw_source_drained,
      1,
      { .type = SHMIG_FRAME_DRAIN, .flags = FINAL },
      "after the final" },
    { "credit/unused",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_CREDIT, .value = 1 },
      "more stream credit" },
    { "credit/window",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_CREDIT, .value = WINDOW },
      "more stream credit" },
    { "credit/limit",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_CREDIT, .value = WINDOW + 1 },
      "out of range" },
    { "credit/max",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_CREDIT, .value = UINT64_MAX },
      "out of range" },
    { "credit/0",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_CREDIT },
      "out of range" },
    { "stream/empty",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_STREAM },
      "empty STREAM" },
    { "stream/limit",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_STREAM, .body = SHMIG_MAX_STREAM_BODY + 1 },
      "length of its body" },
    { "error/empty",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_ERROR },
      "length of its body" },
    { "error/limit",
      raw_source_going,
      1,
      { .type = SHMIG_FRAME_ERROR, .body = SHMIG_MAX_TEXT + 1 },
      "length of its body" },
    { "flags/commit",
      raw_source_ready,
      0,
      { .type = SHMIG_FRAME_COMMIT, .flags = FINAL },
      "flag" },
    { "flags/drain",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_DRAIN, .flags = IS_EOF },
      "flag" },
    { "flags/stream",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_STREAM, .flags = FINAL, .body = 4 },
      "flag" },
    { "value/commit",
      raw_source_ready,
      0,
      { .type = SHMIG_FRAME_COMMIT, .value = 1 },
      "out of range" },
    { "body/commit",
      raw_source_ready,
      0,
      { .type = SHMIG_FRAME_COMMIT, .body = 4 },
      "length of its body" },
    { "payload/drain",
      raw_source_going,
      0,
      { .type = SHMIG_FRAME_DRAIN, .payload = 4 },
      "records or payload" },
};

static void expect_not_owned(RawSource *raw)
{
    g_assert_false(raw_source_saw(raw, &raw->pair->commit));
    raw_source_expect_untouched(raw);
    g_assert_false(raw->pair->commit);
}

static void test_bad_frame(gconstpointer opaque)
{
    const BadFrame *bad = opaque;
    RawSource *raw = raw_source_new(2, false);

    bad->stage(raw);
    raw_send(&raw->peer[bad->channel], bad->frame,
             bad->frame.body == 4 ? "good" : NULL);
    raw_source_expect_told(raw, bad->sentence);
    expect_not_owned(raw);
    raw_source_free(raw);
}

static void test_data_before_go(gconstpointer opaque)
{
    RawSource *raw = raw_source_new(2, false);
    ShmigRecord record =
        raw_record(GPOINTER_TO_UINT(opaque), SHMIG_RECORD_DATA, 0, PAGE);
    unsigned channel = record.region % 2;

    raw_source_joined(raw);
    raw_send_data(&raw->peer[channel], &record, 1, 0x66);
    raw_source_expect_told(raw, "data before GO");
    expect_not_owned(raw);
    raw_source_free(raw);
}

static void test_data_after_final(void)
{
    RawSource *raw = raw_source_new(2, true);
    ShmigRecord record = raw_record(RAW_RAM, SHMIG_RECORD_DATA, STRIPE, PAGE);

    raw_source_ready(raw);
    raw_send_data(&raw->peer[1], &record, 1, 0x66);
    raw_source_expect_told(raw, "data after the final drain");
    expect_not_owned(raw);
    raw_source_free(raw);
}

/* The first cannot be answered while a write hangs. */
static void test_second_drain(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigRecord record = raw_record(RAW_DISK, SHMIG_RECORD_DATA, 0, PAGE);

    fake_disk_set_mode(raw->disk, FAKE_DISK_HELD);
    raw_source_going(raw);
    g_assert_true(raw_send_data(&raw->peer[0], &record, 1, 0x66));
    fake_disk_wait_held(raw->disk, 1);
    raw_send_type(&raw->peer[0], SHMIG_FRAME_DRAIN);
    raw_send_type(&raw->peer[0], SHMIG_FRAME_DRAIN);
    raw_source_expect_told(raw, "before the last one was answered");
    fake_disk_set_mode(raw->disk, FAKE_DISK_PROMPT);
    raw_source_end(raw);
    raw_source_free(raw);
}

/* Drains that are never read must not pile up. */
static void test_many_drains(void)
{
    RawSource *raw = raw_source_new(2, false);
    g_autoptr(GByteArray) out = g_byte_array_new();
    ShmigFrame frame = { .type = SHMIG_FRAME_DRAIN };

    raw_source_going(raw);
    for (unsigned i = 0; i < 500; i++) {
        frame.sequence = raw->peer[1].tx_sequence++;
        raw_add_frame(out, &frame, NULL, NULL);
    }
    raw_write_array(&raw->peer[1], out);
    raw_source_expect_told(raw, "before the last one was answered");
    expect_not_owned(raw);
    raw_source_free(raw);
}

static bool send_stream(RawSource *raw, uint32_t bytes, uint16_t flags)
{
    g_autofree uint8_t *body = g_malloc0(bytes + 1);
    ShmigFrame frame = {
        .type = SHMIG_FRAME_STREAM,
        .flags = flags,
        .body = bytes,
    };

    return raw_send(&raw->peer[0], frame, body);
}

/* Whatever the socket behind takes, four windows are too much. */
static void test_stream_over_credit(void)
{
    RawSource *raw = raw_source_new(1, false);

    raw_source_joined(raw);
    for (unsigned sent = 0; sent < 4 * WINDOW;) {
        if (!send_stream(raw, SHMIG_MAX_STREAM_BODY, 0)) {
            break;
        }
        sent += SHMIG_MAX_STREAM_BODY;
    }
    raw_source_expect_told(raw, "more stream bytes than there was credit");
    expect_not_owned(raw);
    raw_source_free(raw);
}

static void test_stream_after_eof(gconstpointer flags)
{
    RawSource *raw = raw_source_new(1, false);

    raw_source_joined(raw);
    g_assert_true(send_stream(raw, 0, IS_EOF));
    send_stream(raw, flags ? 0 : 1, GPOINTER_TO_UINT(flags));
    raw_source_expect_told(raw, "after the stream's end");
    expect_not_owned(raw);
    raw_source_free(raw);
}

/* All of it arrives, then the end; and the rest of the session goes on. */
static void test_stream_of_a_window(void)
{
    RawSource *raw = raw_source_new(1, false);
    g_autofree uint8_t *got = g_malloc(WINDOW);
    RawPeer qemu;
    uint8_t byte;

    raw_source_joined(raw);
    for (unsigned sent = 0; sent < WINDOW; sent += SHMIG_MAX_STREAM_BODY) {
        g_assert_true(
            send_stream(raw, SHMIG_MAX_STREAM_BODY,
                        sent + SHMIG_MAX_STREAM_BODY == WINDOW ? IS_EOF : 0));
    }
    qemu = raw_peer(dup(raw->pair->dest_stream));
    g_assert_true(raw_read(&qemu, got, WINDOW));
    g_assert_false(raw_read(&qemu, &byte, 1));
    raw_peer_close(&qemu);
    raw_source_free(raw);
}

/* What the source says is shown, as one line without control characters. */
static void test_error_frame(void)
{
    static const char text[] = "I \033[31mquit\n\007because\xff";
    RawSource *raw = raw_source_new(2, false);
    ShmigFrame frame = { .type = SHMIG_FRAME_ERROR, .body = strlen(text) };
    g_autofree char *words = NULL;

    raw_source_going(raw);
    raw_send(&raw->peer[1], frame, text);
    g_assert_cmpstr(pair_dest_failure(raw->pair), ==, "I ?[31mquit ?because?");
    /* It knows already: nothing is said back. */
    words = raw_last_words(&raw->peer[0]);
    g_assert_cmpstr(words, ==, NULL);
    expect_not_owned(raw);
    raw_source_free(raw);
}

/* From here on the guest is the destination's, whatever the source does. */
static void owned(RawSource *raw)
{
    raw_source_ready(raw);
    g_assert_true(raw_send_type(&raw->peer[0], SHMIG_FRAME_COMMIT));
    pair_wait(raw->pair, &raw->pair->commit);
}

static void expect_running(RawSource *raw)
{
    shmig_dest_running(raw->pair->dest);
    raw_expect(&raw->peer[0], SHMIG_FRAME_RUNNING);
    g_assert_false(raw_source_saw(raw, &raw->pair->failed));
}

static void test_owned_then_rubbish(void)
{
    RawSource *raw = raw_source_new(2, false);
    uint8_t rubbish[1000] = { 0 };

    owned(raw);
    raw_write(&raw->peer[0], rubbish, sizeof(rubbish));
    raw_write(&raw->peer[1], rubbish, sizeof(rubbish));
    expect_running(raw);
    raw_source_free(raw);
}

static void test_commit_twice(void)
{
    RawSource *raw = raw_source_new(1, false);

    owned(raw);
    raw_send_type(&raw->peer[0], SHMIG_FRAME_COMMIT);
    expect_running(raw);
    raw_source_free(raw);
}

static void test_owned_then_gone(void)
{
    RawSource *raw = raw_source_new(2, false);

    owned(raw);
    raw_peer_close(&raw->peer[1]);
    raw_peer_close(&raw->peer[0]);
    shmig_dest_running(raw->pair->dest);
    raw_source_end(raw);
    g_assert_false(raw->pair->failed);
    raw_source_free(raw);
}

static void test_owned_then_error(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigFrame frame = { .type = SHMIG_FRAME_ERROR, .body = 4 };

    owned(raw);
    raw_send(&raw->peer[0], frame, "oops");
    shmig_dest_running(raw->pair->dest);
    raw_source_end(raw);
    g_assert_false(raw->pair->failed);
    raw_source_free(raw);
}

/* A destination that gave up is deaf for a COMMIT that crosses its ERROR. */
static void test_commit_after_failure(void)
{
    RawSource *raw = raw_source_new(1, false);

    raw_source_ready(raw);
    shmig_dest_abort(raw->pair->dest, "the device state is not ours");
    raw_send_type(&raw->peer[0], SHMIG_FRAME_COMMIT);
    raw_source_expect_told(raw, "the device state is not ours");
    expect_not_owned(raw);
    raw_source_free(raw);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_frames); i++) {
        g_autofree char *path =
            g_strconcat("/session/order/", bad_frames[i].name, NULL);

        g_test_add_data_func(path, &bad_frames[i], test_bad_frame);
    }
    g_test_add_data_func("/session/order/before-go/ram",
                         GUINT_TO_POINTER(RAW_RAM), test_data_before_go);
    g_test_add_data_func("/session/order/before-go/disk",
                         GUINT_TO_POINTER(RAW_DISK), test_data_before_go);
    g_test_add_func("/session/order/drained/data", test_data_after_final);
    g_test_add_func("/session/order/drain/second", test_second_drain);
    g_test_add_func("/session/order/drain/many", test_many_drains);
    g_test_add_func("/session/order/stream/over-credit",
                    test_stream_over_credit);
    g_test_add_data_func("/session/order/stream/after-eof", NULL,
                         test_stream_after_eof);
    g_test_add_data_func("/session/order/stream/eof-twice",
                         GUINT_TO_POINTER(IS_EOF), test_stream_after_eof);
    g_test_add_func("/session/order/stream/window", test_stream_of_a_window);
    g_test_add_func("/session/order/error", test_error_frame);
    g_test_add_func("/session/order/owned/rubbish", test_owned_then_rubbish);
    g_test_add_func("/session/order/owned/commit", test_commit_twice);
    g_test_add_func("/session/order/owned/gone", test_owned_then_gone);
    g_test_add_func("/session/order/owned/error", test_owned_then_error);
    g_test_add_func("/session/order/commit-after-failure",
                    test_commit_after_failure);
    return g_test_run();
}
