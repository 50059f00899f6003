/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hellos and frames that come, come late, in pieces, wrong or never. */
#include "raw-peer.h"
#include "shmig/base/error.h"
#include "shmig/io/sync.h"

#include <string.h>
#include <sys/socket.h>

#define ANSWER SHMIG_FRAME_ANSWER

typedef struct World {
    RawPeer peer;
    ShmigLink link;
    int64_t soon, later; /* deadlines */
} World;

static World world_new(void)
{
    int64_t now = g_get_monotonic_time();
    World w = { .soon = now + 20000, .later = now + 60 * G_USEC_PER_SEC };
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    w.peer = raw_peer(fds[0]);
    w.link = (ShmigLink) { .fd = fds[1] };
    return w;
}

static void world_free(World *w)
{
    raw_peer_close(&w->peer);
    shmig_link_close(&w->link);
}

/* The frame that comes fails like this. */
static void expect(World *w, int64_t deadline, int code, const char *sentence)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(shmig_sync_recv_frame(&w->link, ANSWER, 0, deadline, &error));
    g_assert_error(error, SHMIG_ERROR, code);
    if (!strstr(error->message, sentence)) {
        g_error("\"%s\" instead of \"%s\"", error->message, sentence);
    }
}

static void test_frame(void)
{
    World w = world_new();
    ShmigFrame frame = { .type = ANSWER, .body = 5 };
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) body = NULL, back = NULL;
    g_autofree char *heard = NULL;
    gsize bytes;

    raw_send(&w.peer, frame, "hello");
    body = shmig_sync_recv_frame(&w.link, ANSWER, 0, w.later, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(g_bytes_get_data(body, &bytes), 5, "hello", 5);
    g_assert_cmpuint(bytes, ==, 5);
    back = g_bytes_new("there", 5);
    g_assert_true(
        shmig_sync_send_frame(&w.link, ANSWER, 0, back, w.later, NULL));
    g_assert_true(raw_recv(&w.peer, &frame, &heard));
    g_assert_cmpuint(frame.type, ==, ANSWER);
    g_assert_cmpmem(heard, frame.body, "there", 5);
    world_free(&w);
}

static void test_silence(void)
{
    World w = world_new();

    expect(&w, w.soon, SHMIG_ERROR_LOST, "did not answer in time");
    g_assert_cmpint(g_get_monotonic_time(), >=, w.soon);
    world_free(&w);
}

/* Half of it does not move the deadline. */
static void test_half(void)
{
    World w = world_new();
    g_autoptr(GByteArray) out = g_byte_array_new();
    ShmigFrame frame = { .type = ANSWER, .body = 4 };

    raw_add_frame(out, &frame, "\0\0\0", NULL);
    raw_write(&w.peer, out->data, out->len - 1);
    expect(&w, w.soon, SHMIG_ERROR_LOST, "did not answer in time");
    world_free(&w);
}

static void test_gone(void)
{
    World w = world_new();

    raw_peer_end(&w.peer);
    expect(&w, w.later, SHMIG_ERROR_LOST, "closed the connection");
    world_free(&w);
}

static void test_words(void)
{
    World w = world_new();
    ShmigFrame frame = { .type = SHMIG_FRAME_ERROR, .body = 6 };

    raw_send(&w.peer, frame, "no\033way");
    expect(&w, w.later, SHMIG_ERROR_PEER, "no?way");
    world_free(&w);
}

static void test_other_type(void)
{
    World w = world_new();

    raw_send_type(&w.peer, SHMIG_FRAME_GO);
    expect(&w, w.later, SHMIG_ERROR_PROTOCOL, "GO instead of ANSWER");
    world_free(&w);
}

static void test_rubbish(void)
{
    World w = world_new();
    uint8_t rubbish[SHMIG_FRAME_BYTES] = { 1, 2, 3 };

    raw_write(&w.peer, rubbish, sizeof(rubbish));
    expect(&w, w.later, SHMIG_ERROR_PROTOCOL, "broke the protocol");
    world_free(&w);
}

/* A peer that does not read does not hold us up for ever either. */
static void test_never_reads(void)
{
    World w = world_new();
    g_autofree uint8_t *much = g_malloc0(16 << 20);
    g_autoptr(GError) error = NULL;

    g_assert_false(shmig_sync_write(&w.link, much, 16 << 20, w.soon, &error));
    g_assert_error(error, SHMIG_ERROR, SHMIG_ERROR_LOST);
    world_free(&w);
}

static void *hang_up(void *opaque)
{
    shutdown(*(int *)opaque, SHUT_RDWR);
    return NULL;
}

/* What abort() does. */
static void test_shut_down(void)
{
    World w = world_new();
    GThread *thread = g_thread_new("hang-up", hang_up, &w.link.fd);

    expect(&w, w.later, SHMIG_ERROR_LOST, "closed the connection");
    g_thread_join(thread);
    world_free(&w);
}

static void test_hello(void)
{
    World w = world_new();
    ShmigHello ours = raw_hello(7, 1, 3), got;
    uint8_t zeroes[SHMIG_HELLO_BYTES] = { 0 };
    g_autoptr(GError) error = NULL;

    raw_send_hello(&w.peer, &ours);
    g_assert_true(shmig_sync_recv_hello(&w.link, &got, w.later, &error));
    g_assert_cmpuint(got.channel, ==, 1);
    g_assert_cmpuint(got.channels, ==, 3);
    g_assert_true(shmig_sync_send_hello(&w.link, &got, w.later, &error));
    g_assert_true(raw_recv_hello(&w.peer, &got));
    g_assert_cmpmem(got.session, 16, ours.session, 16);
    raw_write(&w.peer, zeroes, sizeof(zeroes));
    g_assert_false(shmig_sync_recv_hello(&w.link, &got, w.later, &error));
    g_assert_error(error, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL);
    world_free(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/io/sync/frame", test_frame);
    g_test_add_func("/io/sync/silence", test_silence);
    g_test_add_func("/io/sync/half", test_half);
    g_test_add_func("/io/sync/gone", test_gone);
    g_test_add_func("/io/sync/words", test_words);
    g_test_add_func("/io/sync/other-type", test_other_type);
    g_test_add_func("/io/sync/rubbish", test_rubbish);
    g_test_add_func("/io/sync/never-reads", test_never_reads);
    g_test_add_func("/io/sync/shut-down", test_shut_down);
    g_test_add_func("/io/sync/hello", test_hello);
    return g_test_run();
}
