/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One channel's thread: what it says in which order, and how it ends. */
#include "raw-peer.h"
#include "shmig/base/error.h"
#include "shmig/base/wait.h"
#include "shmig/session/channel.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct World {
    ShmigFault fault;
    ShmigStats stats;
    ShmigChannel *channel;
    RawPeer peer;
    RawPeer qemu; /* its end of the stream, if there is one */
    bool silent;  /* constant once it started */

    pthread_mutex_t lock;
    pthread_cond_t cond;
    /* Under the lock. */
    unsigned n_data; /* frames that ops->send() is to give */
    unsigned n_sent;
    unsigned n_asked; /* how often it was asked */
    unsigned ask_again;
    unsigned n_over, n_failed, n_frames;
    uint8_t last_control;
    bool busy;
    GError *error; /* the first that failed() got */

    struct iovec iov;
} World;

static void changed(World *w)
{
    pthread_cond_broadcast(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static int on_frame(void *opaque, const ShmigFrame *frame, const char **why)
{
    World *w = opaque;

    pthread_mutex_lock(&w->lock);
    w->n_frames++;
    changed(w);
    *why = "refused by the test";
    return frame->type == SHMIG_FRAME_GO ? 0 : -EPROTO;
}

static bool on_send(void *opaque, ShmigConn *conn, int64_t *wait_ns)
{
    static uint8_t page[4096];
    World *w = opaque;
    const ShmigRecord record = {
        .kind = SHMIG_RECORD_DATA,
        .length = sizeof(page),
    };
    bool give;

    pthread_mutex_lock(&w->lock);
    w->n_asked++;
    give = w->n_data > 0;
    w->n_data -= give;
    if (w->ask_again) {
        w->ask_again--;
        *wait_ns = 1000000;
    }
    changed(w);
    if (give) {
        w->iov = (struct iovec) { page, sizeof(page) };
        shmig_conn_send_data(conn, &record, 1, &w->iov, 1);
    }
    return give;
}

static void on_sent(void *opaque)
{
    World *w = opaque;

    pthread_mutex_lock(&w->lock);
    w->n_sent++;
    changed(w);
}

static bool may_say_fault(void *opaque)
{
    World *w = opaque;

    return !w->silent;
}

static void on_control_sent(void *opaque, uint8_t type)
{
    World *w = opaque;

    pthread_mutex_lock(&w->lock);
    w->last_control = type;
    changed(w);
}

static void on_over(void *opaque)
{
    World *w = opaque;

    pthread_mutex_lock(&w->lock);
    w->n_over++;
    changed(w);
}

static bool on_quiet(void *opaque)
{
    World *w = opaque;
    bool busy;

    pthread_mutex_lock(&w->lock);
    busy = w->busy;
    pthread_mutex_unlock(&w->lock);
    return !busy;
}

/* As a session does: the first error ends it. */
static void on_failed(void *opaque, GError *error)
{
    World *w = opaque;
    GError *copy = g_error_copy(error);

    if (shmig_fault_raise(&w->fault, error)) {
        shmig_channel_end(w->channel);
    }
    pthread_mutex_lock(&w->lock);
    w->n_failed++;
    if (w->error) {
        g_error_free(copy);
    } else {
        w->error = copy;
    }
    changed(w);
}

static const ShmigChannelOps ops = {
    .frame = on_frame,
    .send = on_send,
    .sent = on_sent,
    .may_say_fault = may_say_fault,
    .control_sent = on_control_sent,
    .over = on_over,
    .quiet = on_quiet,
    .failed = on_failed,
};

static World *world_new(bool stream)
{
    World *w = g_new0(World, 1);
    g_autoptr(GError) error = NULL;
    int fds[2], stream_fds[2] = { -1, -1 };

    pthread_mutex_init(&w->lock, NULL);
    shmig_cond_init(&w->cond);
    shmig_fault_init(&w->fault);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    w->peer = raw_peer(fds[1]);
    w->qemu.fd = -1;
    if (stream) {
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, stream_fds), ==, 0);
        w->qemu = raw_peer(stream_fds[1]);
    }
    w->channel =
        shmig_channel_new(0, (ShmigLink) { .fd = fds[0] }, 0, 0, stream_fds[0],
                          &w->fault, &w->stats, true, &ops, w, &error);
    g_assert_no_error(error);
    return w;
}

static void world_free(World *w)
{
    shmig_channel_end(w->channel);
    shmig_channel_join(w->channel);
    shmig_channel_free(w->channel);
    raw_peer_close(&w->peer);
    raw_peer_close(&w->qemu);
    shmig_fault_destroy(&w->fault);
    g_clear_error(&w->error);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->cond);
    g_free(w);
}

static void wait_for(World *w, const unsigned *count, unsigned n)
{
    int64_t until = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    pthread_mutex_lock(&w->lock);
    while (*count < n) {
        g_assert_true(shmig_cond_wait_until(&w->cond, &w->lock, until));
    }
    pthread_mutex_unlock(&w->lock);
}

static void give_data(World *w, unsigned n)
{
    pthread_mutex_lock(&w->lock);
    w->n_data = n;
    pthread_mutex_unlock(&w->lock);
    shmig_channel_wake(w->channel);
}

static void expect_type(World *w, uint8_t type)
{
    ShmigFrame frame;

    g_assert_true(raw_recv(&w->peer, &frame, NULL));
    g_assert_cmpuint(frame.type, ==, type);
}

static void expect_end(World *w)
{
    char byte;

    g_assert_false(raw_read(&w->peer, &byte, 1));
}

static void expect_failed(World *w, int code, const char *sentence)
{
    wait_for(w, &w->n_failed, 1);
    g_assert_error(w->error, SHMIG_ERROR, code);
    g_assert_cmpstr(w->error->message, ==, sentence);
}

static void start(World *w)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(shmig_channel_start(w->channel, &error));
    g_assert_no_error(error);
}

/* Control frames first, then the stream, then data. */
static void test_order(void)
{
    World *w = world_new(true);

    shmig_channel_control(w->channel, SHMIG_FRAME_GO, 0, 0);
    shmig_channel_control(w->channel, SHMIG_FRAME_READY, 0, 0);
    w->n_data = 1;
    start(w);
    expect_type(w, SHMIG_FRAME_GO);
    expect_type(w, SHMIG_FRAME_READY);
    expect_type(w, SHMIG_FRAME_DATA);
    g_assert_true(raw_write(&w->qemu, "x", 1));
    expect_type(w, SHMIG_FRAME_STREAM);
    world_free(w);
}

static void test_wake_asks_again(void)
{
    World *w = world_new(false);

    start(w);
    wait_for(w, &w->n_asked, 1);
    give_data(w, 3);
    wait_for(w, &w->n_sent, 3);
    for (unsigned i = 0; i < 3; i++) {
        expect_type(w, SHMIG_FRAME_DATA);
    }
    world_free(w);
}

/* Nothing happens, and it is asked again when it wanted to. */
static void test_asked_again_in_time(void)
{
    World *w = world_new(false);

    w->ask_again = 3;
    start(w);
    wait_for(w, &w->n_asked, 4);
    world_free(w);
}

static void test_end_says_what_is_queued(void)
{
    World *w = world_new(true);

    start(w);
    wait_for(w, &w->n_asked, 1);
    raw_peer_close(&w->qemu);
    shmig_channel_control(w->channel, SHMIG_FRAME_RUNNING, 0, 0);
    shmig_channel_end(w->channel);
    raw_expect(&w->peer, SHMIG_FRAME_RUNNING);
    for (ShmigFrame frame; raw_recv(&w->peer, &frame, NULL);) {
        g_assert_cmpuint(frame.type, ==, SHMIG_FRAME_STREAM);
    }
    raw_peer_end(&w->peer);
    shmig_channel_join(w->channel);
    g_assert_cmpuint(w->last_control, ==, SHMIG_FRAME_RUNNING);
    g_assert_cmpuint(w->n_over, >=, 1);
    world_free(w);
}

static void end_with(World *w, int code, const char *sentence)
{
    shmig_fault_raise(&w->fault,
                      g_error_new_literal(SHMIG_ERROR, code, sentence));
    shmig_channel_end(w->channel);
}

static void test_last_words(void)
{
    World *w = world_new(false);
    g_autofree char *words = NULL;

    start(w);
    end_with(w, SHMIG_ERROR_DISK, "the disk\nis full");
    words = raw_last_words(&w->peer);
    g_assert_cmpstr(words, ==, "the disk is full");
    shmig_channel_join(w->channel);
    world_free(w);
}

/* Another connection of the session was lost; this one stands. */
static void test_another_is_lost(void)
{
    World *w = world_new(false);
    g_autofree char *words = NULL;

    start(w);
    end_with(w, SHMIG_ERROR_LOST, "the peer closed channel 2");
    words = raw_last_words(&w->peer);
    g_assert_cmpstr(words, ==, "the peer closed channel 2");
    shmig_channel_join(w->channel);
    world_free(w);
}

/* What the peer knows already is not said to it. */
static void test_peer_knows(void)
{
    World *w = world_new(false);

    start(w);
    end_with(w, SHMIG_ERROR_PEER, "known");
    expect_end(w);
    shmig_channel_join(w->channel);
    world_free(w);
}

/* The owner of the channel may have a reason to be silent. */
static void test_silent(void)
{
    World *w = world_new(false);

    w->silent = true;
    start(w);
    end_with(w, SHMIG_ERROR_LOST, "not for you");
    expect_end(w);
    shmig_channel_join(w->channel);
    world_free(w);
}

/* The peer neither reads nor closes: it is not waited for without end. */
static void test_deaf_peer(void)
{
    World *w = world_new(false);

    start(w);
    give_data(w, 100000);
    wait_for(w, &w->n_sent, 10);
    end_with(w, SHMIG_ERROR_DISK, "enough");
    shmig_channel_join(w->channel);
    world_free(w);
}

/* It reads what is said, and then just stays. */
static void test_peer_stays(void)
{
    World *w = world_new(false);

    start(w);
    end_with(w, SHMIG_ERROR_DISK, "enough");
    raw_expect(&w->peer, SHMIG_FRAME_ERROR);
    shmig_channel_join(w->channel);
    world_free(w);
}

static void test_peer_closes(void)
{
    World *w = world_new(false);

    start(w);
    raw_peer_close(&w->peer);
    expect_failed(w, SHMIG_ERROR_LOST, "the peer closed channel 0");
    shmig_channel_join(w->channel);
    g_assert_cmpuint(w->n_failed, ==, 1);
    g_assert_cmpuint(w->n_over, >=, 1);
    world_free(w);
}

static void test_peer_says_error(void)
{
    World *w = world_new(false);
    ShmigFrame frame = { .type = SHMIG_FRAME_ERROR, .body = 6 };

    start(w);
    raw_send(&w->peer, frame, "no\tway");
    wait_for(w, &w->n_failed, 1);
    g_assert_error(w->error, SHMIG_ERROR, SHMIG_ERROR_PEER);
    g_assert_cmpstr(w->error->message, ==, "no way");
    expect_end(w);
    world_free(w);
}

static void test_peer_breaks_the_protocol(void)
{
    World *w = world_new(false);
    g_autofree char *words = NULL;

    start(w);
    raw_send_type(&w->peer, SHMIG_FRAME_GO);
    raw_send_type(&w->peer, SHMIG_FRAME_READY);
    raw_send_type(&w->peer, SHMIG_FRAME_GO);
    expect_failed(w, SHMIG_ERROR_PROTOCOL,
                  "the peer broke the protocol on channel 0: "
                  "refused by the test");
    words = raw_last_words(&w->peer);
    g_assert_cmpstr(words, ==, w->error->message);
    shmig_channel_join(w->channel);
    g_assert_cmpuint(w->n_frames, ==, 2);
    world_free(w);
}

/* Who has no use for data says so. */
static void test_data_to_whom_it_is_not_for(void)
{
    World *w = world_new(false);
    const ShmigRecord record = { 0, SHMIG_RECORD_DATA, 0, 4096 };

    start(w);
    raw_send_data(&w->peer, &record, 1, 0);
    expect_failed(w, SHMIG_ERROR_PROTOCOL,
                  "the peer broke the protocol on channel 0: "
                  "data sent to the source");
    world_free(w);
}

/* The thread stays until the side's own operations are over. */
static void test_waits_until_quiet(void)
{
    World *w = world_new(false);

    w->busy = true;
    start(w);
    raw_peer_close(&w->peer);
    wait_for(w, &w->n_failed, 1);
    pthread_mutex_lock(&w->lock);
    w->busy = false;
    pthread_mutex_unlock(&w->lock);
    shmig_channel_wake(w->channel);
    shmig_channel_join(w->channel);
    world_free(w);
}

static void test_ended_before_it_started(void)
{
    World *w = world_new(true);

    shmig_channel_end(w->channel);
    start(w);
    raw_peer_end(&w->peer);
    shmig_channel_join(w->channel);
    world_free(w);
}

static void test_never_started(void)
{
    World *w = world_new(true);

    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/channel/order", test_order);
    g_test_add_func("/session/channel/wake", test_wake_asks_again);
    g_test_add_func("/session/channel/ask-again", test_asked_again_in_time);
    g_test_add_func("/session/channel/end/queued",
                    test_end_says_what_is_queued);
    g_test_add_func("/session/channel/end/last-words", test_last_words);
    g_test_add_func("/session/channel/end/another-is-lost",
                    test_another_is_lost);
    g_test_add_func("/session/channel/end/peer-knows", test_peer_knows);
    g_test_add_func("/session/channel/end/silent", test_silent);
    g_test_add_func("/session/channel/end/deaf-peer", test_deaf_peer);
    g_test_add_func("/session/channel/end/peer-stays", test_peer_stays);
    g_test_add_func("/session/channel/end/before-start",
                    test_ended_before_it_started);
    g_test_add_func("/session/channel/end/never-started", test_never_started);
    g_test_add_func("/session/channel/end/quiet", test_waits_until_quiet);
    g_test_add_func("/session/channel/peer/closes", test_peer_closes);
    g_test_add_func("/session/channel/peer/error", test_peer_says_error);
    g_test_add_func("/session/channel/peer/breaks",
                    test_peer_breaks_the_protocol);
    g_test_add_func("/session/channel/peer/data",
                    test_data_to_whom_it_is_not_for);
    return g_test_run();
}
