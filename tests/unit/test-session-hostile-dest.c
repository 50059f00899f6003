/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A source and destinations that are none, refuse, lie, vanish or hang: it
 * knows at any moment who has the guest, and comes back with a sentence.
 */
#include "raw-dest.h"
#include "shmig/base/error.h"

#include <string.h>
#include <unistd.h>

#define NOT_SENT SHMIG_COMMIT_NOT_SENT
#define UNKNOWN SHMIG_COMMIT_UNKNOWN
#define DONE SHMIG_COMMIT_DONE

/* The answer to the source's hello is @bytes, then nothing more. */
static void try_reply(const void *bytes, size_t n, const char *sentence)
{
    RawDest *raw = raw_dest_new(1);

    raw_dest_heard(raw, 0);
    raw_write(&raw->peer[0], bytes, n);
    raw_peer_end(&raw->peer[0]);
    raw_dest_expect(raw, NOT_SENT, sentence);
    raw_dest_free(raw);
}

static void test_not_shmig(void)
{
    static const char http[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n"
        "Connection: close\r\n\r\n<html>What?</html>\r\n";
    uint8_t zeroes[100] = { 0 };

    try_reply(http, strlen(http), "does not speak shmig");
    try_reply("220 mail.example.org ESMTP\r\n", 28, "closed the connection");
    try_reply(zeroes, sizeof(zeroes), "does not speak shmig");
}

static void test_reply_cut(gconstpointer half)
{
    for (unsigned cut = 0; cut < SHMIG_HELLO_BYTES; cut++) {
        RawDest *raw = raw_dest_new(1);
        g_autoptr(GByteArray) out = g_byte_array_new();
        ShmigHello hello = raw_dest_heard(raw, 0);

        raw_add_hello(out, &hello);
        raw_write(&raw->peer[0], out->data, cut);
        if (half) {
            raw_peer_end(&raw->peer[0]);
        } else {
            raw_peer_close(&raw->peer[0]);
        }
        raw_dest_expect(raw, NOT_SENT, "connection");
        g_assert_error(raw->error, SHMIG_ERROR, SHMIG_ERROR_LOST);
        raw_dest_free(raw);
    }
}

static void test_silence(void)
{
    RawDest *raw = raw_dest_new_with(1, 20, NULL);

    raw_dest_expect(raw, NOT_SENT, "did not answer in time");
    raw_dest_free(raw);
    raw = raw_dest_new_with(1, 500, NULL);
    raw_dest_greeted(raw);
    raw_dest_expect(raw, NOT_SENT, "did not answer in time");
    raw_dest_free(raw);
}

typedef void ReplyFunc(ShmigHello *hello);

static void refuse(ShmigHello *hello)
{
    hello->refused = true;
}

static void refuse_unread(ShmigHello *hello)
{
    *hello = (ShmigHello) { 1, 1, .refused = true, .channels = 1 };
}

static void other_session(ShmigHello *hello)
{
    hello->session[15]++;
}

static void other_channels(ShmigHello *hello)
{
    hello->channels++;
}

static void other_channel(ShmigHello *hello)
{
    hello->channels = 2;
    hello->channel = 1;
}

static void newer(ShmigHello *hello)
{
    hello->version_min = 2;
    hello->version_max = 7;
}

typedef struct Reply {
    const char *name;
    ReplyFunc *change;
    const char *error; /* frame that follows, or NULL */
    const char *sentence;
} Reply;

static const Reply replies[] = {
    { "refused", refuse, "not today", "not today" },
    { "refused/unread", refuse_unread, "I did not get that",
      "I did not get that" },
    { "refused/dirty", refuse, "no\033[2Jway\n", "no?[2Jway" },
    { "refused/silently", refuse, NULL, "closed the connection" },
    { "other-session", other_session, NULL, "another session" },
    { "other-channel", other_channel, NULL, "another session or channel" },
    { "other-channels", other_channels, NULL, "another session or channel" },
    { "newer", newer, NULL, "speaks version 2 to 7" },
};

static void test_reply(gconstpointer opaque)
{
    const Reply *reply = opaque;
    RawDest *raw = raw_dest_new(1);
    ShmigHello hello = raw_dest_heard(raw, 0);

    reply->change(&hello);
    raw_send_hello(&raw->peer[0], &hello);
    if (reply->error) {
        ShmigFrame frame = { .type = SHMIG_FRAME_ERROR };

        frame.body = strlen(reply->error);
        raw_send(&raw->peer[0], frame, reply->error);
    }
    raw_peer_end(&raw->peer[0]);
    raw_dest_expect(raw, NOT_SENT, reply->sentence);
    raw_dest_free(raw);
}

/* The same on the second channel, when the offer was accepted. */
static void test_later_reply(gconstpointer opaque)
{
    const Reply *reply = opaque;
    RawDest *raw = raw_dest_new(2);
    ShmigHello hello;

    raw_dest_answered(raw);
    hello = raw_dest_heard(raw, 1);
    if (reply->change == other_channel) {
        hello.channel = 0;
    } else {
        reply->change(&hello);
    }
    raw_send_hello(&raw->peer[1], &hello);
    if (reply->error) {
        ShmigFrame frame = { .type = SHMIG_FRAME_ERROR };

        frame.body = strlen(reply->error);
        raw_send(&raw->peer[1], frame, reply->error);
    }
    raw_peer_end(&raw->peer[1]);
    raw_dest_expect(raw, NOT_SENT, reply->sentence);
    raw_dest_free(raw);
}

static void test_refused_offer(void)
{
    RawDest *raw = raw_dest_new(1);

    raw_dest_offered(raw);
    raw_dest_answer(raw, "disk \"vda\": too small\nthe \007 moon");
    raw_dest_expect(raw, NOT_SENT,
                    "the destination refuses: disk \"vda\": too small\n"
                    "the ? moon");
    g_assert_error(raw->error, SHMIG_ERROR, SHMIG_ERROR_REFUSED);
    raw_dest_free(raw);
}

/* One frame where the answer should be. */
typedef struct NoAnswer {
    const char *name;
    ShmigFrame frame;
    const char *body;
    const char *sentence;
} NoAnswer;

static const NoAnswer no_answers[] = {
    { "go", { .type = SHMIG_FRAME_GO }, "", "GO instead of ANSWER" },
    { "running",
      { .type = SHMIG_FRAME_RUNNING },
      "",
      "RUNNING instead of ANSWER" },
    { "error", { .type = SHMIG_FRAME_ERROR, .body = 5 }, "no\033no", "no?no" },
    { "type", { .type = 77 }, "", "unknown type" },
    { "sequence",
      { .type = SHMIG_FRAME_ANSWER, .body = 4, .sequence = 1 },
      "\0\0\0",
      "wrong sequence" },
    { "empty", { .type = SHMIG_FRAME_ANSWER }, "", "length of its body" },
    { "limit",
      { .type = SHMIG_FRAME_ANSWER, .body = SHMIG_MAX_BODY + 1 },
      "",
      "length of its body" },
    { "max",
      { .type = SHMIG_FRAME_ANSWER, .body = UINT32_MAX },
      "",
      "length of its body" },
    { "short", { .type = SHMIG_FRAME_ANSWER, .body = 3 }, "\0\0\0", "answer" },
    { "long",
      { .type = SHMIG_FRAME_ANSWER, .body = 5 },
      "\0\0\0\0\0",
      "answer" },
    { "many",
      { .type = SHMIG_FRAME_ANSWER, .body = 4 },
      "\x41\0\0\0",
      "answer" },
    { "too-many",
      { .type = SHMIG_FRAME_ANSWER, .body = 4 },
      "\xff\xff\xff\xff",
      "answer" },
    { "no-problem",
      { .type = SHMIG_FRAME_ANSWER, .body = 6 },
      "\1\0\0\0\0\0",
      "answer" },
    { "past-end",
      { .type = SHMIG_FRAME_ANSWER, .body = 7 },
      "\1\0\0\0\2\0x",
      "answer" },
};

static void test_no_answer(gconstpointer opaque)
{
    const NoAnswer *no = opaque;
    RawDest *raw = raw_dest_new(2);
    g_autoptr(GByteArray) out = g_byte_array_new();

    raw_dest_offered(raw);
    raw_add_frame(out, &no->frame, no->frame.body < 10 ? no->body : NULL, NULL);
    raw_write_array(&raw->peer[0], out);
    raw_dest_expect(raw, NOT_SENT, no->sentence);
    raw_dest_free(raw);
}

static void test_answer_cut(void)
{
    for (unsigned cut = 0; cut < SHMIG_FRAME_BYTES + 4; cut++) {
        RawDest *raw = raw_dest_new(1);
        g_autoptr(GByteArray) out = g_byte_array_new();
        ShmigFrame frame = { .type = SHMIG_FRAME_ANSWER, .body = 4 };

        raw_dest_offered(raw);
        raw_add_frame(out, &frame, "\0\0\0", NULL);
        raw_write(&raw->peer[0], out->data, cut);
        raw_peer_end(&raw->peer[0]);
        raw_dest_expect(raw, NOT_SENT, "closed the connection");
        raw_dest_free(raw);
    }
}

typedef struct Stage {
    const char *name;
    void (*reach)(RawDest *raw);
    bool channels;             /* the source's channels run */
    ShmigCommit after_silence; /* what the loss of channel 0 leads to */
    bool second_matters;       /* the loss of channel 1 is a failure */
} Stage;

static const Stage stages[] = {
    { "listening", raw_dest_listening, false, NOT_SENT, false },
    { "greeted", raw_dest_greeted, false, NOT_SENT, false },
    { "offered", raw_dest_offered, false, NOT_SENT, false },
    { "joined", raw_dest_joined, true, NOT_SENT, true },
    { "going", raw_dest_going, true, NOT_SENT, true },
    { "asked", raw_dest_asked, true, NOT_SENT, true },
    { "drained", raw_dest_drained, true, NOT_SENT, false },
    { "committed", raw_dest_committed, true, UNKNOWN, false },
};

static void test_gone(gconstpointer opaque)
{
    const Stage *stage = opaque;

    for (unsigned half = 0; half < 2; half++) {
        RawDest *raw = raw_dest_new(2);

        stage->reach(raw);
        if (half) {
            raw_peer_end(&raw->peer[0]);
        } else {
            raw_peer_close(&raw->peer[0]);
        }
        raw_dest_expect(raw, stage->after_silence,
                        stage->after_silence == UNKNOWN ? "may own it" : "");
        g_assert_error(raw->error, SHMIG_ERROR, SHMIG_ERROR_LOST);
        raw_dest_free(raw);
    }
}

static void test_second_gone(gconstpointer opaque)
{
    const Stage *stage = opaque;
    RawDest *raw = raw_dest_new(2);

    stage->reach(raw);
    raw_peer_close(&raw->peer[1]);
    if (stage->second_matters) {
        raw_dest_expect(raw, NOT_SENT, "channel 1");
    } else {
        if (stage->reach == raw_dest_drained) {
            raw_send_type(&raw->peer[0], SHMIG_FRAME_READY);
            raw_expect(&raw->peer[0], SHMIG_FRAME_COMMIT);
        }
        raw_send_type(&raw->peer[0], SHMIG_FRAME_RUNNING);
        raw_dest_end(raw);
        g_assert_no_error(raw->error);
        g_assert_cmpint(raw->result, ==, DONE);
    }
    raw_dest_free(raw);
}

/* Even after COMMIT: a destination that says ERROR does not own the guest. */
static void test_error(gconstpointer opaque)
{
    const Stage *stage = opaque;

    for (unsigned channel = 0; channel < 1 + stage->channels; channel++) {
        RawDest *raw = raw_dest_new(2);
        ShmigFrame frame = { .type = SHMIG_FRAME_ERROR, .body = 9 };

        stage->reach(raw);
        raw_send(&raw->peer[channel], frame, "I give up");
        raw_peer_end(&raw->peer[channel]);
        raw_dest_expect(raw, NOT_SENT,
                        stage->reach == raw_dest_listening ? "" : "I give up");
        raw_dest_free(raw);
    }
}

static void test_rubbish(gconstpointer opaque)
{
    const Stage *stage = opaque;

    for (unsigned channel = 0; channel < 1 + stage->channels; channel++) {
        RawDest *raw = raw_dest_new(2);
        uint8_t rubbish[200] = { 1, 2, 3 };

        stage->reach(raw);
        raw_write(&raw->peer[channel], rubbish, sizeof(rubbish));
        if (stage->channels) {
            raw_dest_expect_told(raw, stage->after_silence, "wrong magic");
        } else {
            raw_dest_expect(raw, NOT_SENT, "");
        }
        raw_dest_free(raw);
    }
}

/* What the source's caller asks for, whatever the destination does not do. */
static void test_abort(gconstpointer opaque)
{
    const Stage *stage = opaque;
    RawDest *raw = raw_dest_new(2);

    stage->reach(raw);
    shmig_source_abort(raw->source, "the operator changed her mind");
    raw_dest_expect(raw, stage->after_silence, "changed her mind");
    raw_dest_free(raw);
}

typedef struct BadFrame {
    const char *name;
    void (*stage)(RawDest *raw);
    unsigned channel;
    ShmigFrame frame;
    const char *sentence;
    ShmigCommit result;
} BadFrame;

#define FINAL SHMIG_FRAME_FINAL
#define NOT_NOW "does not send, or not now"

static const BadFrame bad_frames[] = {
    { "go/twice", raw_dest_going, 0, { .type = SHMIG_FRAME_GO }, NOT_NOW },
    { "go/channel-1", raw_dest_joined, 1, { .type = SHMIG_FRAME_GO }, NOT_NOW },
    { "answer/twice",
      raw_dest_joined,
      0,
      { .type = SHMIG_FRAME_ANSWER, .body = 4 },
      NOT_NOW },
    { "answer/large",
      raw_dest_joined,
      1,
      { .type = SHMIG_FRAME_ANSWER, .body = 70000 },
      "after the handshake" },
    { "ready/before-go",
      raw_dest_joined,
      0,
      { .type = SHMIG_FRAME_READY },
      NOT_NOW },
    { "ready/before-drained",
      raw_dest_asked,
      0,
      { .type = SHMIG_FRAME_READY },
      NOT_NOW },
    { "ready/channel-1",
      raw_dest_drained,
      1,
      { .type = SHMIG_FRAME_READY },
      NOT_NOW },
    { "ready/twice",
      raw_dest_committed,
      0,
      { .type = SHMIG_FRAME_READY },
      NOT_NOW,
      UNKNOWN },
    { "running/before-go",
      raw_dest_joined,
      0,
      { .type = SHMIG_FRAME_RUNNING },
      NOT_NOW },
    { "running/before-ready",
      raw_dest_drained,
      0,
      { .type = SHMIG_FRAME_RUNNING },
      NOT_NOW },
    { "running/channel-1",
      raw_dest_committed,
      1,
      { .type = SHMIG_FRAME_RUNNING },
      NOT_NOW,
      UNKNOWN },
    { "drained/before-go",
      raw_dest_joined,
      0,
      { .type = SHMIG_FRAME_DRAINED, .flags = FINAL, .value = 1 },
      NOT_NOW },
    { "drained/number",
      raw_dest_asked,
      0,
      { .type = SHMIG_FRAME_DRAINED, .flags = FINAL, .value = 2 },
      NOT_NOW },
    { "drained/number-0",
      raw_dest_asked,
      1,
      { .type = SHMIG_FRAME_DRAINED, .flags = FINAL },
      NOT_NOW },
    { "drained/not-final",
      raw_dest_asked,
      1,
      { .type = SHMIG_FRAME_DRAINED, .value = 1 },
      NOT_NOW },
    { "drained/twice",
      raw_dest_drained,
      1,
      { .type = SHMIG_FRAME_DRAINED, .flags = FINAL, .value = 1 },
      NOT_NOW },
    { "direction/offer",
      raw_dest_going,
      0,
      { .type = SHMIG_FRAME_OFFER, .body = 4 },
      NOT_NOW },
    { "direction/drain",
      raw_dest_going,
      1,
      { .type = SHMIG_FRAME_DRAIN },
      NOT_NOW },
    { "direction/commit",
      raw_dest_committed,
      0,
      { .type = SHMIG_FRAME_COMMIT },
      NOT_NOW,
      UNKNOWN },
    { "stream/channel-1",
      raw_dest_joined,
      1,
      { .type = SHMIG_FRAME_STREAM, .body = 4 },
      "carries no stream" },
    { "credit/channel-1",
      raw_dest_joined,
      1,
      { .type = SHMIG_FRAME_CREDIT, .value = 1 },
      "carries no stream" },
    { "credit/unused",
      raw_dest_joined,
      0,
      { .type = SHMIG_FRAME_CREDIT, .value = 1 },
      "more stream credit" },
    { "type/0", raw_dest_going, 0, { .type = 0 }, "unknown type" },
    { "type/14", raw_dest_drained, 1, { .type = 14 }, "unknown type" },
    { "value/ready",
      raw_dest_drained,
      0,
      { .type = SHMIG_FRAME_READY, .value = 1 },
      "out of range" },
    { "flags/running",
      raw_dest_committed,
      0,
      { .type = SHMIG_FRAME_RUNNING, .flags = FINAL },
      "flag",
      UNKNOWN },
};

static void test_bad_frame(gconstpointer opaque)
{
    const BadFrame *bad = opaque;
    RawDest *raw = raw_dest_new(2);

    bad->stage(raw);
    raw_send(&raw->peer[bad->channel], bad->frame,
             bad->frame.body == 4 ? "good" : NULL);
    raw_dest_expect_told(raw, bad->result, bad->sentence);
    raw_dest_free(raw);
}

static void test_data(void)
{
    RawDest *raw = raw_dest_new(1);
    ShmigRecord record = { 0, SHMIG_RECORD_DATA, 0, 4096 };

    raw_dest_going(raw);
    raw_send_data(&raw->peer[0], &record, 1, 0x66);
    raw_dest_expect_told(raw, NOT_SENT, "data sent to the source");
    g_assert_cmpuint(raw->ram[0], ==, 0x77);
    raw_dest_free(raw);
}

static void test_stream_over_credit(void)
{
    RawDest *raw = raw_dest_new(1);
    ShmigFrame frame = { .type = SHMIG_FRAME_STREAM,
                         .body = SHMIG_MAX_STREAM_BODY };
    g_autofree uint8_t *body = g_malloc0(frame.body);

    raw_dest_joined(raw);
    for (unsigned i = 0; i < 64 && raw_send(&raw->peer[0], frame, body); i++) {
    }
    raw_dest_expect_told(raw, NOT_SENT, "than there was credit");
    raw_dest_free(raw);
}

/* Both halves of the handover went well: what follows is no harm. */
static void test_rubbish_after_running(void)
{
    RawDest *raw = raw_dest_new(2);
    uint8_t rubbish[100] = { 0 };

    raw_dest_running(raw);
    raw_write(&raw->peer[0], rubbish, sizeof(rubbish));
    raw_peer_close(&raw->peer[1]);
    raw_peer_close(&raw->peer[0]);
    raw_dest_end(raw);
    g_assert_cmpint(raw->result, ==, DONE);
    g_assert_no_error(raw->error);
    raw_dest_free(raw);
}

/* READY may come before the other channels' DRAINED; COMMIT may not. */
static void test_ready_overtakes(void)
{
    RawDest *raw = raw_dest_new(2);

    raw_dest_asked(raw);
    raw_dest_say_drained(raw, 0);
    raw_send_type(&raw->peer[0], SHMIG_FRAME_READY);
    raw_dest_say_drained(raw, 1);
    raw_expect(&raw->peer[0], SHMIG_FRAME_COMMIT);
    raw_send_type(&raw->peer[0], SHMIG_FRAME_RUNNING);
    raw_dest_end(raw);
    g_assert_cmpint(raw->result, ==, DONE);
    raw_dest_free(raw);
}

/* Without the second DRAINED there is no COMMIT, however READY it is. */
static void test_ready_without_drained(void)
{
    RawDest *raw = raw_dest_new(2);

    raw_dest_asked(raw);
    raw_dest_say_drained(raw, 0);
    raw_send_type(&raw->peer[0], SHMIG_FRAME_READY);
    raw_peer_close(&raw->peer[1]);
    raw_dest_expect(raw, NOT_SENT, "channel 1");
    raw_dest_free(raw);
}

/* It accepts, says GO, and then reads nothing: the source hangs in a send. */
static void test_never_reads(void)
{
    RawDest *raw = raw_dest_new(2);
    int64_t start;

    raw_dest_going(raw);
    shmig_source_abort(raw->source, "enough");
    raw_dest_expect(raw, NOT_SENT, "enough");
    start = g_get_monotonic_time();
    shmig_source_free(g_steal_pointer(&raw->source));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 20 * G_USEC_PER_SEC);
    raw_dest_free(raw);
}

static void add_stages(const char *path, GTestDataFunc test)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stages); i++) {
        g_autofree char *full = g_strconcat(path, stages[i].name, NULL);

        g_test_add_data_func(full, &stages[i], test);
    }
}

static void add_tables(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(replies); i++) {
        g_autofree char *first =
            g_strconcat("/session/hostile-dest/reply/", replies[i].name, NULL);
        g_autofree char *later =
            g_strconcat("/session/hostile-dest/later/", replies[i].name, NULL);

        g_test_add_data_func(first, &replies[i], test_reply);
        g_test_add_data_func(later, &replies[i], test_later_reply);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(no_answers); i++) {
        g_autofree char *path = g_strconcat("/session/hostile-dest/answer/",
                                            no_answers[i].name, NULL);

        g_test_add_data_func(path, &no_answers[i], test_no_answer);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_frames); i++) {
        g_autofree char *path = g_strconcat("/session/hostile-dest/frame/",
                                            bad_frames[i].name, NULL);

        g_test_add_data_func(path, &bad_frames[i], test_bad_frame);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/hostile-dest/not-shmig", test_not_shmig);
    g_test_add_data_func("/session/hostile-dest/cut/half", "half",
                         test_reply_cut);
    g_test_add_data_func("/session/hostile-dest/cut/whole", NULL,
                         test_reply_cut);
    g_test_add_func("/session/hostile-dest/cut/answer", test_answer_cut);
    g_test_add_func("/session/hostile-dest/silence", test_silence);
    g_test_add_func("/session/hostile-dest/refused", test_refused_offer);
    add_tables();
    add_stages("/session/hostile-dest/gone/", test_gone);
    for (unsigned i = 3; i < G_N_ELEMENTS(stages); i++) {
        g_autofree char *path = g_strconcat(
            "/session/hostile-dest/second-gone/", stages[i].name, NULL);

        g_assert_true(stages[i].channels);
        g_test_add_data_func(path, &stages[i], test_second_gone);
    }
    add_stages("/session/hostile-dest/error/", test_error);
    add_stages("/session/hostile-dest/rubbish/", test_rubbish);
    add_stages("/session/hostile-dest/abort/", test_abort);
    g_test_add_func("/session/hostile-dest/data", test_data);
    g_test_add_func("/session/hostile-dest/stream-over-credit",
                    test_stream_over_credit);
    g_test_add_func("/session/hostile-dest/rubbish/running",
                    test_rubbish_after_running);
    g_test_add_func("/session/hostile-dest/ready/overtakes",
                    test_ready_overtakes);
    g_test_add_func("/session/hostile-dest/ready/without-drained",
                    test_ready_without_drained);
    g_test_add_func("/session/hostile-dest/never-reads", test_never_reads);
    return g_test_run();
}
