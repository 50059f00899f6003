/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stream between a socket that QEMU holds and the session's credit. */
#include "raw-peer.h"
#include "shmig/session/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WINDOW SHMIG_STREAM_WINDOW
#define BODY SHMIG_MAX_STREAM_BODY

typedef struct World {
    ShmigRing *ring;
    ShmigStream *stream;
    RawPeer qemu;
    const uint8_t *bytes;
    bool eof;
    const char *why;
} World;

static World *world_new(void)
{
    World *w = g_new0(World, 1);
    g_autoptr(GError) error = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    w->ring = shmig_ring_new(16, &error);
    g_assert_no_error(error);
    w->stream = shmig_stream_new(w->ring, fds[0]);
    w->qemu = raw_peer(fds[1]);
    shmig_stream_start(w->stream);
    return w;
}

static void world_free(World *w)
{
    shmig_stream_shutdown(w->stream);
    while (shmig_ring_in_flight(w->ring)) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
    shmig_stream_free(w->stream);
    shmig_ring_free(w->ring);
    raw_peer_close(&w->qemu);
    g_free(w);
}

/* What QEMU wrote and the peer may get next; waits for some. */
static uint32_t peek(World *w)
{
    uint32_t n;

    while (!(n = shmig_stream_peek(w->stream, &w->bytes, &w->eof)) && !w->eof) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
    return n;
}

/* The same without waiting: all that is ready is handled. */
static uint32_t peek_now(World *w)
{
    g_assert_cmpint(shmig_ring_run(w->ring, 0), ==, 0);
    return shmig_stream_peek(w->stream, &w->bytes, &w->eof);
}

static int receive(World *w, uint32_t n, uint8_t byte, bool eof)
{
    g_autofree uint8_t *body = g_malloc(n + 1);

    memset(body, byte, n);
    w->why = NULL;
    return shmig_stream_received(w->stream, body, n, eof, &w->why);
}

static void test_from_qemu(void)
{
    World *w = world_new();

    g_assert_true(raw_write(&w->qemu, "hello", 5));
    g_assert_cmpuint(peek(w), ==, 5);
    g_assert_cmpmem(w->bytes, 5, "hello", 5);
    g_assert_false(w->eof);
    shmig_stream_next(w->stream);
    g_assert_cmpuint(peek_now(w), ==, 0);
    g_assert_false(shmig_stream_ended(w->stream));
    world_free(w);
}

static void test_eof_from_qemu(void)
{
    World *w = world_new();

    g_assert_true(raw_write(&w->qemu, "bye", 3));
    raw_peer_end(&w->qemu);
    g_assert_cmpuint(peek(w), ==, 3);
    g_assert_false(w->eof);
    shmig_stream_next(w->stream);
    g_assert_cmpuint(peek(w), ==, 0);
    g_assert_true(w->eof);
    g_assert_false(shmig_stream_ended(w->stream));
    shmig_stream_next(w->stream);
    g_assert_true(shmig_stream_ended(w->stream));
    g_assert_cmpuint(peek_now(w), ==, 0);
    g_assert_false(w->eof);
    world_free(w);
}

typedef struct Writer {
    RawPeer *peer;
    size_t n;
} Writer;

static void *writer_thread(void *opaque)
{
    Writer *writer = opaque;
    g_autofree uint8_t *bytes = g_malloc0(writer->n);

    g_assert_true(raw_write(writer->peer, bytes, writer->n));
    return NULL;
}

/* A window and not one byte more, however much QEMU has to say. */
static void test_credit_runs_out(void)
{
    World *w = world_new();
    Writer writer = { &w->qemu, WINDOW + 10 };
    GThread *thread = g_thread_new("writer", writer_thread, &writer);
    uint32_t sent = 0;

    while (sent < WINDOW) {
        uint32_t n = peek(w);

        g_assert_cmpuint(n, <=, BODY);
        sent += n;
        shmig_stream_next(w->stream);
    }
    g_assert_cmpuint(sent, ==, WINDOW);
    g_thread_join(thread);
    g_assert_cmpuint(peek_now(w), ==, 0);
    g_assert_cmpint(shmig_stream_credited(w->stream, 3, &w->why), ==, 0);
    g_assert_cmpuint(peek(w), ==, 3);
    shmig_stream_next(w->stream);
    g_assert_cmpuint(peek_now(w), ==, 0);
    world_free(w);
}

static void test_credit_limits(void)
{
    World *w = world_new();

    g_assert_cmpint(shmig_stream_credited(w->stream, 1, &w->why), ==, -EPROTO);
    g_assert_true(raw_write(&w->qemu, "hello", 5));
    g_assert_cmpuint(peek(w), ==, 5);
    shmig_stream_next(w->stream);
    g_assert_cmpint(shmig_stream_credited(w->stream, 6, &w->why), ==, -EPROTO);
    g_assert_cmpint(shmig_stream_credited(w->stream, UINT64_MAX, &w->why), ==,
                    -EPROTO);
    g_assert_cmpstr(w->why, ==, "more stream credit than was used");
    g_assert_cmpint(shmig_stream_credited(w->stream, 4, &w->why), ==, 0);
    g_assert_cmpint(shmig_stream_credited(w->stream, 1, &w->why), ==, 0);
    g_assert_cmpint(shmig_stream_credited(w->stream, 1, &w->why), ==, -EPROTO);
    world_free(w);
}

static void test_to_qemu(void)
{
    World *w = world_new();
    uint8_t got[1000];

    g_assert_cmpint(receive(w, 1000, 0x55, false), ==, 0);
    while (shmig_stream_credit_due(w->stream) == 0) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
    g_assert_true(raw_read(&w->qemu, got, 1000));
    g_assert_cmpuint(got[0], ==, 0x55);
    g_assert_cmpuint(got[999], ==, 0x55);
    g_assert_cmpuint(shmig_stream_credit_due(w->stream), ==, 0);
    world_free(w);
}

static void test_eof_to_qemu(void)
{
    World *w = world_new();
    char got[4];

    g_assert_cmpint(receive(w, 3, 'x', true), ==, 0);
    while (!shmig_stream_credit_due(w->stream)) {
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
    g_assert_true(raw_read(&w->qemu, got, 3));
    g_assert_false(raw_read(&w->qemu, got, 1));
    g_assert_cmpint(receive(w, 0, 0, true), ==, -EPROTO);
    g_assert_cmpint(receive(w, 1, 0, false), ==, -EPROTO);
    g_assert_cmpstr(w->why, ==, "stream bytes after the stream's end");
    world_free(w);
}

static void test_bare_eof_to_qemu(void)
{
    World *w = world_new();
    char got;

    g_assert_cmpint(receive(w, 0, 0, true), ==, 0);
    g_assert_false(raw_read(&w->qemu, &got, 1));
    world_free(w);
}

/* Nothing is given back before the ring ran: the window is all there is. */
static void test_window_limits(void)
{
    World *w = world_new();

    for (unsigned i = 0; i < WINDOW / BODY - 1; i++) {
        g_assert_cmpint(receive(w, BODY, 1, false), ==, 0);
    }
    g_assert_cmpint(receive(w, BODY - 1, 2, false), ==, 0);
    g_assert_cmpint(receive(w, 2, 3, false), ==, -EPROTO);
    g_assert_cmpstr(w->why, ==, "more stream bytes than there was credit for");
    g_assert_cmpint(receive(w, 1, 3, false), ==, 0);
    g_assert_cmpint(receive(w, 1, 4, false), ==, -EPROTO);
    g_assert_cmpint(receive(w, 0, 0, true), ==, 0);
    world_free(w);
}

/* Many times round the buffer, in sizes that do not divide it. */
static void test_wraps(void)
{
    World *w = world_new();
    g_autofree uint8_t *got = g_malloc(BODY);
    uint64_t credit = WINDOW, sent = 0, given = 0;

    for (unsigned i = 0; i < 100; i++) {
        uint32_t n = BODY - 7 * i;

        while (credit < n) {
            uint32_t due = shmig_stream_credit_due(w->stream);

            credit += due;
            given += due;
            if (!due) {
                g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
            }
        }
        credit -= n;
        g_assert_cmpint(receive(w, n, i, false), ==, 0);
        for (uint32_t left = n; left;) {
            ssize_t k = recv(w->qemu.fd, got, left, MSG_DONTWAIT);

            if (k < 0) {
                g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
                continue;
            }
            for (ssize_t b = 0; b < k; b++) {
                g_assert_cmpuint(got[b], ==, (uint8_t)i);
            }
            left -= k;
        }
        sent += n;
    }
    while (given < sent) {
        uint32_t due = shmig_stream_credit_due(w->stream);

        given += due;
        if (!due) {
            g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
        }
    }
    g_assert_cmpuint(given, ==, sent);
    world_free(w);
}

/* QEMU closed its end: what comes is dropped, and its credit given back. */
static void test_qemu_is_gone(void)
{
    World *w = world_new();
    uint64_t given = 0;

    raw_peer_close(&w->qemu);
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmpint(receive(w, BODY, 1, false), ==, 0);
        while (given < (i + 1ull) * BODY) {
            uint32_t due = shmig_stream_credit_due(w->stream);

            given += due;
            if (!due) {
                g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
            }
        }
    }
    g_assert_cmpuint(peek(w), ==, 0);
    g_assert_true(w->eof);
    world_free(w);
}

/* The connection ended: QEMU gets what has come, then the end. */
static void test_peer_is_gone(void)
{
    World *w = world_new();
    g_autofree uint8_t *got = g_malloc(BODY);
    Writer reader = { &w->qemu, 0 };

    for (unsigned i = 0; i < WINDOW / BODY; i++) {
        g_assert_cmpint(receive(w, BODY, i, false), ==, 0);
    }
    shmig_stream_peer_gone(w->stream);
    while (reader.n < WINDOW) {
        ssize_t k = recv(w->qemu.fd, got, 4096, MSG_DONTWAIT);

        if (k < 0) {
            g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
        } else {
            g_assert_cmpint(k, >, 0);
            g_assert_cmpuint(got[0], ==, reader.n / BODY);
            reader.n += k;
        }
    }
    while (recv(w->qemu.fd, got, 1, MSG_DONTWAIT) < 0) {
        g_assert_cmpint(errno, ==, EAGAIN);
        g_assert_cmpint(shmig_ring_run(w->ring, -1), ==, 0);
    }
    world_free(w);
}

static void test_shutdown_ends_both(void)
{
    World *w = world_new();
    char byte;

    shmig_stream_shutdown(w->stream);
    g_assert_cmpuint(peek(w), ==, 0);
    g_assert_true(w->eof);
    g_assert_false(raw_read(&w->qemu, &byte, 1));
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/stream/from-qemu", test_from_qemu);
    g_test_add_func("/session/stream/from-qemu/eof", test_eof_from_qemu);
    g_test_add_func("/session/stream/credit/runs-out", test_credit_runs_out);
    g_test_add_func("/session/stream/credit/limits", test_credit_limits);
    g_test_add_func("/session/stream/to-qemu", test_to_qemu);
    g_test_add_func("/session/stream/to-qemu/eof", test_eof_to_qemu);
    g_test_add_func("/session/stream/to-qemu/bare-eof", test_bare_eof_to_qemu);
    g_test_add_func("/session/stream/to-qemu/window", test_window_limits);
    g_test_add_func("/session/stream/to-qemu/wraps", test_wraps);
    g_test_add_func("/session/stream/qemu-gone", test_qemu_is_gone);
    g_test_add_func("/session/stream/peer-gone", test_peer_is_gone);
    g_test_add_func("/session/stream/shutdown", test_shutdown_ends_both);
    return g_test_run();
}
