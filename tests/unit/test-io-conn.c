/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A framed connection against a peer that speaks in bytes, plain and in TLS. */
#include "conn-world.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB (1u << 20)

/* Each test is run without and with. */
static bool with_tls;

typedef ConnWorld World;

static World *world_new(void)
{
    return conn_world_new(with_tls);
}

static void run_until(World *w, const unsigned *count, unsigned n)
{
    conn_world_run_until(w, count, n);
}

static void world_free(World *w)
{
    conn_world_free(w);
}

static const ShmigFrame stream_of_5 = {
    .type = SHMIG_FRAME_STREAM,
    .body = 5,
};

static GByteArray *two_frames_and_data(void)
{
    const ShmigRecord record = {
        .kind = SHMIG_RECORD_DATA,
        .length = 100,
    };
    GByteArray *out = g_byte_array_new();

    raw_add_frame(out, &stream_of_5, "hello", NULL);
    raw_add_data(out, 1, &record, 1, 0x5a);
    raw_add_frame(out,
                  &(ShmigFrame) { .type = SHMIG_FRAME_COMMIT, .sequence = 2 },
                  NULL, NULL);
    return out;
}

static void check_two_frames_and_data(World *w)
{
    g_assert_cmpuint(w->frames->len, ==, 2);
    g_assert_cmpuint(g_array_index(w->frames, ShmigFrame, 1).type, ==,
                     SHMIG_FRAME_COMMIT);
    g_assert_cmpmem(w->bodies->data, w->bodies->len, "hello", 5);
    g_assert_cmpuint(w->n_payload, ==, 1);
    g_assert_cmpuint(w->placed, ==, 100);
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmpuint(w->room[i], ==, 0x5a);
    }
    g_assert_cmpuint(w->room[100], ==, 0);
}

static void test_byte_by_byte(void)
{
    World *w = world_new();
    g_autoptr(GByteArray) out = two_frames_and_data();

    for (unsigned i = 0; i < out->len; i++) {
        g_assert_true(raw_write(&w->peer, out->data + i, 1));
        g_assert_cmpint(shmig_ring_run(w->ring, 0), ==, 0);
    }
    run_until(w, &w->frames->len, 2);
    check_two_frames_and_data(w);
    if (with_tls) {
        g_assert_cmpuint(w->stats.wire_bytes, >, out->len);
    } else {
        g_assert_cmpuint(w->stats.wire_bytes, ==, out->len);
    }
    world_free(w);
}

static void test_all_at_once(void)
{
    World *w = world_new();
    g_autoptr(GByteArray) out = two_frames_and_data();

    g_assert_true(raw_write_array(&w->peer, out));
    run_until(w, &w->frames->len, 2);
    check_two_frames_and_data(w);
    world_free(w);
}

/* The end of the line at each byte of a message. */
static void test_cut_anywhere(void)
{
    g_autoptr(GByteArray) out = two_frames_and_data();

    for (unsigned cut = 0; cut <= out->len; cut++) {
        World *w = world_new();

        g_assert_true(raw_write(&w->peer, out->data, cut));
        raw_peer_end(&w->peer);
        run_until(w, &w->n_closed, 1);
        g_assert_cmpint(w->err, ==, 0);
        g_assert_cmpuint(w->n_broken, ==, 0);
        g_assert_cmpuint(w->frames->len, ==, (cut >= 37) + (cut == out->len));
        g_assert_cmpuint(w->n_payload, ==, cut >= 37 + 56 + 100);
        world_free(w);
    }
}

/* More than the read-ahead holds, in pieces that do not fit it. */
static void test_payload_in_pieces(void)
{
    World *w = world_new();
    const ShmigRecord record = { .kind = SHMIG_RECORD_DATA, .length = 100001 };
    g_autoptr(GByteArray) out = g_byte_array_new();

    w->pieces = 7;
    raw_add_data(out, 0, &record, 1, 0x77);
    for (unsigned at = 0; at < out->len; at += 9999) {
        g_assert_true(
            raw_write(&w->peer, out->data + at, MIN(9999, out->len - at)));
        g_assert_cmpint(shmig_ring_run(w->ring, 0), ==, 0);
    }
    run_until(w, &w->n_payload, 1);
    for (unsigned i = 0; i < 100001; i++) {
        g_assert_cmpuint(w->room[i], ==, 0x77);
    }
    g_assert_cmpuint(w->room[100001], ==, 0);
    world_free(w);
}

static void test_no_payload(void)
{
    World *w = world_new();
    const ShmigRecord record = { .kind = SHMIG_RECORD_ZERO, .length = 4096 };

    g_assert_true(raw_send_data(&w->peer, &record, 1, 0));
    run_until(w, &w->n_payload, 1);
    g_assert_cmpuint(w->n_data, ==, 1);
    world_free(w);
}

/* Nothing is read while there is no room, and nothing is lost by it. */
static void test_no_room(void)
{
    World *w = world_new();
    g_autoptr(GByteArray) out = two_frames_and_data();

    w->room_bytes = 0;
    g_assert_true(raw_write_array(&w->peer, out));
    run_until(w, &w->n_data, 1);
    shmig_conn_resume(w->conn);
    g_assert_cmpuint(w->n_data, ==, 2);
    g_assert_cmpuint(w->n_payload, ==, 0);
    w->room_bytes = MIB;
    shmig_conn_resume(w->conn);
    run_until(w, &w->frames->len, 2);
    check_two_frames_and_data(w);
    shmig_conn_resume(w->conn);
    g_assert_cmpuint(w->n_data, ==, 3);
    world_free(w);
}

static void test_close_while_there_is_no_room(void)
{
    World *w = world_new();
    g_autoptr(GByteArray) out = two_frames_and_data();

    w->room_bytes = 0;
    g_assert_true(raw_write_array(&w->peer, out));
    run_until(w, &w->n_data, 1);
    shmig_conn_close(w->conn, -ECANCELED);
    run_until(w, &w->n_closed, 1);
    g_assert_cmpint(w->err, ==, -ECANCELED);
    shmig_conn_resume(w->conn);
    g_assert_cmpuint(w->n_data, ==, 1);
    world_free(w);
}

/* DATA that there is no room for, a DRAIN, DATA again, and why it ends. */
static GByteArray *data_and_last_words(void)
{
    const ShmigRecord record = {
        .kind = SHMIG_RECORD_DATA,
        .length = 100000,
    };
    GByteArray *out = g_byte_array_new();

    raw_add_data(out, 0, &record, 1, 0x5a);
    raw_add_frame(out,
                  &(ShmigFrame) { .type = SHMIG_FRAME_DRAIN, .sequence = 1 },
                  NULL, NULL);
    raw_add_data(out, 2, &record, 1, 0x5a);
    raw_add_frame(
        out,
        &(ShmigFrame) { .type = SHMIG_FRAME_ERROR, .sequence = 3, .body = 6 },
        "enough", NULL);
    return out;
}

static void write_all(World *w, GByteArray *out)
{
    const int bytes = 4 << 20;

    g_assert_cmpint(
        setsockopt(w->peer.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)),
        ==, 0);
    g_assert_true(raw_write_array(&w->peer, out));
}

/* Why the peer ends is heard at once, and nothing else that it said. */
static void test_end_while_there_is_no_room(void)
{
    World *w = world_new();
    g_autoptr(GByteArray) out = data_and_last_words();

    w->room_bytes = 0;
    write_all(w, out);
    raw_peer_end(&w->peer);
    run_until(w, &w->n_closed, 1);
    g_assert_cmpint(w->err, ==, 0);
    g_assert_cmpuint(w->frames->len, ==, 1);
    g_assert_cmpuint(g_array_index(w->frames, ShmigFrame, 0).type, ==,
                     SHMIG_FRAME_ERROR);
    g_assert_cmpmem(w->bodies->data, w->bodies->len, "enough", 6);
    g_assert_cmpuint(w->n_payload + w->n_broken, ==, 0);
    world_free(w);
}

/* The end at each byte of what there is no room for, and right behind it. */
static void test_cut_while_there_is_no_room(void)
{
    g_autoptr(GByteArray) out = two_frames_and_data();

    for (unsigned cut = 37 + 56; cut <= out->len; cut++) {
        World *w = world_new();

        w->room_bytes = 0;
        g_assert_true(raw_write(&w->peer, out->data, cut));
        run_until(w, &w->n_data, 1);
        raw_peer_end(&w->peer);
        run_until(w, &w->n_closed, 1);
        g_assert_cmpint(w->err, ==, 0);
        g_assert_cmpuint(w->n_payload + w->n_broken, ==, 0);
        g_assert_cmpuint(w->frames->len, ==, 1);
        world_free(w);
    }
}

/* Room after all: what comes before the end counts, as ever. */
static void test_end_after_a_wait(void)
{
    World *w = world_new();
    g_autoptr(GByteArray) out = two_frames_and_data();

    w->room_bytes = 0;
    g_assert_true(raw_write_array(&w->peer, out));
    run_until(w, &w->n_data, 1);
    w->room_bytes = MIB;
    raw_peer_end(&w->peer);
    run_until(w, &w->n_closed, 1);
    check_two_frames_and_data(w);
    g_assert_cmpint(w->err, ==, 0);
    world_free(w);
}

/* A peer that is only silent is waited for without a turn of the ring. */
static void test_wait_is_idle(void)
{
    World *w = world_new();
    g_autoptr(GByteArray) out = two_frames_and_data();

    w->room_bytes = 0;
    g_assert_true(raw_write_array(&w->peer, out));
    run_until(w, &w->n_data, 1);
    for (unsigned i = 0; i < 5; i++) {
        shmig_ring_run(w->ring, 1000000);
        shmig_conn_resume(w->conn);
    }
    g_assert_cmpuint(w->n_data, ==, 6);
    g_assert_cmpuint(shmig_ring_in_flight(w->ring), ==, 1);
    world_free(w);
}

static void check_broken(World *w, const char *why)
{
    run_until(w, &w->n_broken, 1);
    g_assert_cmpstr(w->why, ==, why);
    g_assert_cmpuint(w->n_closed, ==, 0);
}

/*
 * The peer that broke the protocol goes on talking, far more than a socket
 * holds, and still gets to read why it was dropped.
 */
static void test_broken_can_be_told(void)
{
    World *w = world_new();
    ShmigFrame error = { .type = SHMIG_FRAME_ERROR, .body = 4 };
    g_autofree uint8_t *garbage = g_malloc0(64 * 1024);
    g_autofree char *words = NULL;

    g_assert_true(raw_write(&w->peer, garbage, 64 * 1024));
    check_broken(w, "frame: wrong magic; the connection is out of step");
    g_assert_true(shmig_conn_ready(w->conn));
    shmig_conn_send(w->conn, &error, "what", NULL, 0);
    run_until(w, &w->n_sent, 1);
    for (unsigned i = 0; i < 64; i++) {
        g_assert_true(raw_write(&w->peer, garbage, 64 * 1024));
        for (uint64_t had = w->stats.wire_bytes;
             w->stats.wire_bytes < had + 64 * 1024;) {
            g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
        }
    }
    shmig_conn_close(w->conn, -ECANCELED);
    run_until(w, &w->n_closed, 1);
    words = raw_last_words(&w->peer);
    g_assert_cmpstr(words, ==, "what");
    world_free(w);
}

static void test_broken_then_gone(void)
{
    World *w = world_new();

    g_assert_true(raw_send_type(&w->peer, 99));
    check_broken(w, "frame: unknown type");
    raw_peer_close(&w->peer);
    run_until(w, &w->n_closed, 1);
    world_free(w);
}

static void test_broken_by_sequence(void)
{
    World *w = world_new();

    w->peer.tx_sequence = 1;
    g_assert_true(raw_send_type(&w->peer, SHMIG_FRAME_COMMIT));
    check_broken(w, "frame: wrong sequence; a frame is lost or doubled");
    world_free(w);
}

static void test_broken_by_a_record(void)
{
    World *w = world_new();
    const ShmigRecord record = { .kind = 3, .length = 4096 };

    g_assert_true(raw_send_data(&w->peer, &record, 1, 0));
    check_broken(w, "record: unknown kind");
    g_assert_cmpuint(w->n_data, ==, 0);
    world_free(w);
}

static void test_broken_by_refusal(void)
{
    World *w = world_new();

    w->refuse = -EPROTO;
    g_assert_true(raw_send_type(&w->peer, SHMIG_FRAME_COMMIT));
    check_broken(w, "refused by the test");
    world_free(w);
}

static void test_broken_by_refused_data(void)
{
    World *w = world_new();
    const ShmigRecord record = { .kind = SHMIG_RECORD_DATA, .length = 512 };

    w->refuse = -EPROTO;
    g_assert_true(raw_send_data(&w->peer, &record, 1, 0));
    check_broken(w, "refused by the test");
    g_assert_cmpuint(w->n_payload, ==, 0);
    world_free(w);
}

/* Bodies that only a handshake has would not fit. */
static void test_offer_is_too_large(void)
{
    World *w = world_new();
    ShmigFrame frame = { .type = SHMIG_FRAME_OFFER,
                         .body = SHMIG_MAX_STREAM_BODY + 1 };

    g_assert_true(raw_send(&w->peer, frame, NULL));
    check_broken(w, "an offer or answer after the handshake");
    world_free(w);
}

static void test_largest_body(void)
{
    World *w = world_new();
    ShmigFrame frame = { .type = SHMIG_FRAME_STREAM,
                         .body = SHMIG_MAX_STREAM_BODY };
    g_autofree uint8_t *body = g_malloc(frame.body);

    memset(body, 0x11, frame.body);
    for (unsigned i = 1; i <= 8; i++) {
        g_assert_true(raw_send(&w->peer, frame, body));
        run_until(w, &w->frames->len, i);
    }
    g_assert_cmpuint(w->bodies->len, ==, 8 * frame.body);
    g_assert_cmpuint(w->n_broken, ==, 0);
    world_free(w);
}

static void test_other_error_ends_it(void)
{
    World *w = world_new();

    w->refuse = -ESHUTDOWN;
    g_assert_true(raw_send_type(&w->peer, SHMIG_FRAME_COMMIT));
    run_until(w, &w->n_closed, 1);
    g_assert_cmpint(w->err, ==, -ESHUTDOWN);
    g_assert_cmpuint(w->n_broken, ==, 0);
    world_free(w);
}

typedef struct Reader {
    RawPeer *peer;
    GByteArray *got;
    size_t want;
} Reader;

static void *reader_thread(void *opaque)
{
    Reader *r = opaque;
    uint8_t buf[777];

    while (r->got->len < r->want) {
        size_t n = MIN(sizeof(buf), r->want - r->got->len);

        g_assert_true(raw_read(r->peer, buf, n));
        g_byte_array_append(r->got, buf, n);
    }
    return NULL;
}

/* A socket that takes little at a time. */
static void test_send_through_a_small_buffer(void)
{
    World *w = world_new();
    ShmigRecord records[SHMIG_MAX_RECORDS];
    struct iovec iov[SHMIG_MAX_RECORDS];
    Reader reader = { &w->peer, g_byte_array_new(),
                      SHMIG_FRAME_BYTES +
                          SHMIG_MAX_RECORDS * SHMIG_RECORD_BYTES + MIB };
    int small = 1, fd = w->peer.fd;
    GThread *thread;

    /* On a unix socket it is the sender's buffer that counts. */
    g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, 4), ==, 0);
    for (unsigned i = 0; i < SHMIG_MAX_RECORDS; i++) {
        records[i] = (ShmigRecord) { .kind = SHMIG_RECORD_DATA,
                                     .offset = i * 8192,
                                     .length = 2048 };
        memset(w->room + i * 2048, i, 2048);
        iov[i] = (struct iovec) { w->room + i * 2048, 2048 };
    }
    shmig_conn_send_data(w->conn, records, SHMIG_MAX_RECORDS, iov,
                         SHMIG_MAX_RECORDS);
    g_assert_false(shmig_conn_ready(w->conn));
    thread = g_thread_new("reader", reader_thread, &reader);
    run_until(w, &w->n_sent, 1);
    g_thread_join(thread);
    g_assert_cmpmem(reader.got->data + reader.want - MIB, MIB, w->room, MIB);
    g_assert_true(shmig_conn_ready(w->conn));
    g_byte_array_unref(reader.got);
    world_free(w);
}

static void test_sequences_go_up(void)
{
    World *w = world_new();

    for (unsigned i = 0; i < 5; i++) {
        ShmigFrame frame = { .type = SHMIG_FRAME_DRAINED, .value = i };

        shmig_conn_send(w->conn, &frame, NULL, NULL, 0);
        run_until(w, &w->n_sent, i + 1);
        frame = raw_expect(&w->peer, SHMIG_FRAME_DRAINED);
        g_assert_cmpuint(frame.value, ==, i);
        g_assert_cmpuint(frame.sequence, ==, i);
    }
    g_assert_cmpuint(w->stats.frames, ==, 5);
    world_free(w);
}

/* The reader is gone, and nobody gets a SIGPIPE. */
static void test_send_to_nobody(void)
{
    World *w = world_new();
    ShmigFrame frame = { .type = SHMIG_FRAME_GO };

    raw_peer_close(&w->peer);
    shmig_conn_send(w->conn, &frame, NULL, NULL, 0);
    run_until(w, &w->n_closed, 1);
    g_assert_false(shmig_conn_ready(w->conn));
    world_free(w);
}

static void test_close_while_sending(void)
{
    World *w = world_new();
    const ShmigRecord record = { .kind = SHMIG_RECORD_DATA, .length = MIB };
    struct iovec iov = { w->room, MIB };

    shmig_conn_send_data(w->conn, &record, 1, &iov, 1);
    g_assert_cmpint(shmig_ring_run(w->ring, 0), ==, 0);
    shmig_conn_close(w->conn, -ETIMEDOUT);
    run_until(w, &w->n_closed, 1);
    g_assert_cmpint(w->err, ==, -ETIMEDOUT);
    world_free(w);
}

static void *shutdown_thread(void *opaque)
{
    World *w = opaque;

    shmig_conn_shutdown(w->conn);
    return NULL;
}

static void test_shutdown_from_another_thread(void)
{
    World *w = world_new();
    GThread *thread = g_thread_new("shutdown", shutdown_thread, w);

    run_until(w, &w->n_closed, 1);
    g_thread_join(thread);
    world_free(w);
}

typedef struct Test {
    const char *name;
    void (*run)(void);
} Test;

static const Test tests[] = {
    { "receive/byte-by-byte", test_byte_by_byte },
    { "receive/all-at-once", test_all_at_once },
    { "receive/cut-anywhere", test_cut_anywhere },
    { "receive/payload-in-pieces", test_payload_in_pieces },
    { "receive/no-payload", test_no_payload },
    { "receive/largest-body", test_largest_body },
    { "room/none-for-a-while", test_no_room },
    { "room/close-without", test_close_while_there_is_no_room },
    { "room/peer-ends", test_end_while_there_is_no_room },
    { "room/cut-anywhere", test_cut_while_there_is_no_room },
    { "room/after-all", test_end_after_a_wait },
    { "room/idle", test_wait_is_idle },
    { "broken/can-be-told", test_broken_can_be_told },
    { "broken/then-gone", test_broken_then_gone },
    { "broken/sequence", test_broken_by_sequence },
    { "broken/record", test_broken_by_a_record },
    { "broken/refused-frame", test_broken_by_refusal },
    { "broken/refused-data", test_broken_by_refused_data },
    { "broken/offer-too-large", test_offer_is_too_large },
    { "error-ends-it", test_other_error_ends_it },
    { "send/small-buffer", test_send_through_a_small_buffer },
    { "send/sequences", test_sequences_go_up },
    { "send/to-nobody", test_send_to_nobody },
    { "send/close-while-sending", test_close_while_sending },
    { "shutdown-from-another-thread", test_shutdown_from_another_thread },
};

static void run_plain(gconstpointer opaque)
{
    with_tls = false;
    ((const Test *)opaque)->run();
}

static void run_tls(gconstpointer opaque)
{
    with_tls = true;
    ((const Test *)opaque)->run();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *plain = g_strdup_printf("/io/conn/%s", tests[i].name);
        g_autofree char *tls =
            g_strdup_printf("/io/conn/tls/%s", tests[i].name);

        g_test_add_data_func(plain, &tests[i], run_plain);
        g_test_add_data_func(tls, &tests[i], run_tls);
    }
    return g_test_run();
}
