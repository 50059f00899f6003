/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Few buffers for many: who waits gets one, and nobody is called too late. */
#include "refusal.h"
#include "shmig/base/error.h"
#include "shmig/disk/buffers.h"

#define BYTES 8192
#define N_USERS 3

typedef struct World {
    ShmigRing *ring;
    ShmigBuffers *buffers;
    ShmigBuffersUser user[N_USERS];
    unsigned looks[N_USERS];
} World;

static void look(void *opaque)
{
    (*(unsigned *)opaque)++;
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
        w->user[i].ring = w->ring;
        w->user[i].look = look;
        w->user[i].opaque = &w->looks[i];
        shmig_buffers_join(w->buffers, &w->user[i]);
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
        shmig_buffers_leave(&w->user[i]);
    }
    shmig_buffers_free(w->buffers);
    shmig_ring_free(w->ring);
    g_free(w);
}

/* Each one back wakes one, in the order in which they came. */
static void test_turns(void)
{
    World *w = world_new(1);
    uint8_t *buffer = shmig_buffers_take(&w->user[0]);

    g_assert_nonnull(buffer);
    g_assert_null(shmig_buffers_take(&w->user[1]));
    g_assert_null(shmig_buffers_take(&w->user[2]));
    g_assert_null(shmig_buffers_take(&w->user[1]));
    for (unsigned i = 1; i < N_USERS; i++) {
        shmig_buffers_give(w->buffers, buffer);
        run(w);
        g_assert_cmpuint(w->looks[i], ==, 1);
        g_assert_cmpuint(w->looks[2], ==, i - 1);
        g_assert_true(shmig_buffers_take(&w->user[i]) == buffer);
    }
    shmig_buffers_give(w->buffers, buffer);
    run(w);
    g_assert_cmpuint(w->looks[1] + w->looks[2], ==, 2);
    world_free(w);
}

/* Somebody else was quicker: the next one that comes back is for it. */
static void test_too_late(void)
{
    World *w = world_new(1);
    uint8_t *buffer = shmig_buffers_take(&w->user[0]);

    g_assert_null(shmig_buffers_take(&w->user[1]));
    shmig_buffers_give(w->buffers, buffer);
    g_assert_true(shmig_buffers_take(&w->user[2]) == buffer);
    g_assert_null(shmig_buffers_take(&w->user[1]));
    shmig_buffers_give(w->buffers, buffer);
    run(w);
    g_assert_cmpuint(w->looks[1], >=, 1);
    g_assert_true(shmig_buffers_take(&w->user[1]) == buffer);
    shmig_buffers_give(w->buffers, buffer);
    world_free(w);
}

/* A channel that ended is passed over. */
static void test_leave(void)
{
    World *w = world_new(1);
    uint8_t *buffer = shmig_buffers_take(&w->user[0]);

    g_assert_null(shmig_buffers_take(&w->user[1]));
    g_assert_null(shmig_buffers_take(&w->user[2]));
    shmig_buffers_leave(&w->user[1]);
    shmig_buffers_give(w->buffers, buffer);
    run(w);
    g_assert_cmpuint(w->looks[1], ==, 0);
    g_assert_cmpuint(w->looks[2], ==, 1);
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
    g_test_add_func("/disk/buffers/too-late", test_too_late);
    g_test_add_func("/disk/buffers/leave", test_leave);
    g_test_add_func("/disk/buffers/refused", test_refused);
    return g_test_run();
}
