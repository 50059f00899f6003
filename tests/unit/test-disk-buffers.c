/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Few buffers for many: who waits gets one, in turn. */
#include "refusal.h"
#include "shmig/base/error.h"
#include "shmig/disk/buffers.h"

#define BYTES 8192
#define N_USERS 3

typedef struct Channel {
    ShmigBuffersUser user;
    bool wants;
    uint8_t *buffer;
    unsigned looks;
} Channel;

typedef struct World {
    ShmigRing *ring;
    ShmigBuffers *buffers;
    Channel channel[N_USERS];
} World;

static bool take(World *w, unsigned i)
{
    Channel *channel = &w->channel[i];

    channel->buffer = shmig_buffers_take(&channel->user);
    channel->wants = !channel->buffer;
    return channel->buffer != NULL;
}

static void give(World *w, unsigned i)
{
    shmig_buffers_give(w->buffers, g_steal_pointer(&w->channel[i].buffer));
}

static void look(void *opaque)
{
    Channel *channel = opaque;

    channel->looks++;
    if (channel->wants) {
        channel->buffer = shmig_buffers_take(&channel->user);
        channel->wants = !channel->buffer;
    }
}

static World *world_new(unsigned n)
{
    World *w = g_new0(World, 1);
    g_autoptr(GError) error = NULL;

    w->ring = shmig_ring_new(4, &error);
    g_assert_no_error(error);
    w->buffers = shmig_buffers_new(n, BYTES, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < N_USERS; i++) {
        w->channel[i].user.ring = w->ring;
        w->channel[i].user.look = look;
        w->channel[i].user.opaque = &w->channel[i];
        shmig_buffers_join(w->buffers, &w->channel[i].user);
    }
    return w;
}

static void run(World *w)
{
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(shmig_ring_run(w->ring, 0), ==, 0);
    }
}

static void world_free(World *w)
{
    for (unsigned i = 0; i < N_USERS; i++) {
        if (w->channel[i].buffer) {
            give(w, i);
        }
        shmig_buffers_leave(&w->channel[i].user);
    }
    shmig_buffers_free(w->buffers);
    shmig_ring_free(w->ring);
    g_free(w);
}

/* Each one back is for one, in the order in which they came. */
static void test_turns(void)
{
    World *w = world_new(1);

    g_assert_true(take(w, 0));
    for (unsigned i = 1; i < N_USERS; i++) {
        g_assert_false(take(w, i));
    }
    g_assert_false(take(w, 1));
    for (unsigned i = 1; i < N_USERS; i++) {
        give(w, i - 1);
        run(w);
        for (unsigned j = 1; j < N_USERS; j++) {
            g_assert_cmpint(w->channel[j].buffer != NULL, ==, i == j);
            g_assert_cmpuint(w->channel[j].looks, ==, j <= i);
        }
    }
    world_free(w);
}

/* The one that gave it asks again before the other's thread has run. */
static void test_nobody_is_quicker(void)
{
    World *w = world_new(1);

    g_assert_true(take(w, 0));
    g_assert_false(take(w, 1));
    give(w, 0);
    g_assert_false(take(w, 0));
    g_assert_false(take(w, 2));
    run(w);
    g_assert_nonnull(w->channel[1].buffer);
    give(w, 1);
    run(w);
    g_assert_nonnull(w->channel[0].buffer);
    give(w, 0);
    run(w);
    g_assert_nonnull(w->channel[2].buffer);
    world_free(w);
}

/* It takes what it was called for without having been told. */
static void test_comes_by_itself(void)
{
    World *w = world_new(1);

    g_assert_true(take(w, 0));
    g_assert_false(take(w, 1));
    g_assert_false(take(w, 2));
    give(w, 0);
    g_assert_true(take(w, 1));
    run(w);
    g_assert_null(w->channel[2].buffer);
    give(w, 1);
    run(w);
    g_assert_nonnull(w->channel[2].buffer);
    world_free(w);
}

/* A channel that has no use for it any more, as when its peer has gone. */
static void test_passed_on(void)
{
    World *w = world_new(1);

    g_assert_true(take(w, 0));
    g_assert_false(take(w, 1));
    g_assert_false(take(w, 2));
    w->channel[1].wants = false;
    give(w, 0);
    run(w);
    g_assert_cmpuint(w->channel[1].looks, ==, 1);
    g_assert_nonnull(w->channel[2].buffer);
    world_free(w);
}

/* A channel that ended is passed over, called or not. */
static void test_leave(void)
{
    World *w = world_new(1);

    for (unsigned called = 0; called < 2; called++) {
        g_assert_true(take(w, 0));
        g_assert_false(take(w, 1));
        g_assert_false(take(w, 2));
        w->channel[1].wants = false;
        if (!called) {
            shmig_buffers_leave(&w->channel[1].user);
        }
        give(w, 0);
        if (called) {
            shmig_buffers_leave(&w->channel[1].user);
        }
        run(w);
        g_assert_nonnull(w->channel[2].buffer);
        give(w, 2);
    }
    world_free(w);
}

static void *new_refused(void *opaque)
{
    g_autoptr(GError) error = NULL;

    refuse_mapping(BYTES * 5);
    g_assert_null(shmig_buffers_new(3, BYTES * 5, &error));
    g_assert_error(error, SHMIG_ERROR, SHMIG_ERROR_SYSTEM);
    return NULL;
}

static void test_refused(void)
{
    g_thread_join(g_thread_new("refused", new_refused, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/buffers/turns", test_turns);
    g_test_add_func("/disk/buffers/nobody-is-quicker", test_nobody_is_quicker);
    g_test_add_func("/disk/buffers/comes-by-itself", test_comes_by_itself);
    g_test_add_func("/disk/buffers/passed-on", test_passed_on);
    g_test_add_func("/disk/buffers/leave", test_leave);
    g_test_add_func("/disk/buffers/refused", test_refused);
    return g_test_run();
}
