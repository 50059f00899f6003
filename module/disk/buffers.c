/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buffers that all channels of a destination receive disk data into.
 *
 * Each buffer that comes back is for the one that waits longest, which is
 * called; nobody else takes it, however quick: the one that gave it would ask
 * again long before the other's thread runs.  Buffers at hand that nobody was
 * called for are free to take.
 */
#include "shmig/disk/buffers.h"
#include "shmig/base/buffer.h"
#include "shmig/base/container.h"

#include <pthread.h>

struct ShmigBuffers {
    unsigned n;
    size_t bytes;

    pthread_mutex_t lock; /* then that of a ring */
    /* Under the lock. */
    uint8_t **idle; /* those at hand */
    unsigned n_idle;
    unsigned n_called; /* users that may come for one of these */
    GQueue waiting;    /* users, the oldest first */
};

ShmigBuffers *shmig_buffers_new(unsigned n, size_t bytes, GError **errp)
{
    g_autoptr(ShmigBuffers) buffers = g_new0(ShmigBuffers, 1);

    buffers->bytes = bytes;
    buffers->idle = g_new0(uint8_t *, n);
    g_queue_init(&buffers->waiting);
    pthread_mutex_init(&buffers->lock, NULL);
    for (; buffers->n < n; buffers->n++, buffers->n_idle++) {
        uint8_t *buffer = shmig_buffer_new(bytes, errp);

        if (!buffer) {
            return NULL;
        }
        buffers->idle[buffers->n_idle] = buffer;
    }
    return g_steal_pointer(&buffers);
}

void shmig_buffers_free(ShmigBuffers *buffers)
{
    if (buffers) {
        g_assert(buffers->n_idle == buffers->n &&
                 g_queue_is_empty(&buffers->waiting));
        for (unsigned i = 0; i < buffers->n; i++) {
            shmig_buffer_free(buffers->idle[i], buffers->bytes);
        }
        pthread_mutex_destroy(&buffers->lock);
        g_free(buffers->idle);
        g_free(buffers);
    }
}

/* Under the lock. */
static void call_next(ShmigBuffers *buffers)
{
    ShmigBuffersUser *user;

    if (buffers->n_idle == buffers->n_called) {
        return;
    }
    user = g_queue_pop_head(&buffers->waiting);
    if (!user) {
        return;
    }
    user->waiting = false;
    user->called = true;
    buffers->n_called++;
    if (!user->posted) {
        user->posted = true;
        shmig_ring_post(user->ring, &user->op, 0);
    }
}

/* It was called, but does not come. */
static void uncall(ShmigBuffersUser *user)
{
    user->called = false;
    user->buffers->n_called--;
    call_next(user->buffers);
}

static void on_ring(ShmigOp *op, int res)
{
    ShmigBuffersUser *user = SHMIG_CONTAINER_OF(op, ShmigBuffersUser, op);

    pthread_mutex_lock(&user->buffers->lock);
    user->posted = false;
    pthread_mutex_unlock(&user->buffers->lock);
    user->look(user->opaque);
    pthread_mutex_lock(&user->buffers->lock);
    /* If it was called once more meanwhile, it is asked once more. */
    if (user->called && !user->posted) {
        uncall(user);
    }
    pthread_mutex_unlock(&user->buffers->lock);
}

void shmig_buffers_join(ShmigBuffers *buffers, ShmigBuffersUser *user)
{
    user->buffers = buffers;
    user->op.done = on_ring;
}

void shmig_buffers_leave(ShmigBuffersUser *user)
{
    pthread_mutex_lock(&user->buffers->lock);
    if (user->waiting) {
        g_queue_remove(&user->buffers->waiting, user);
        user->waiting = false;
    }
    if (user->called) {
        uncall(user);
    }
    pthread_mutex_unlock(&user->buffers->lock);
}

uint8_t *shmig_buffers_take(ShmigBuffersUser *user)
{
    ShmigBuffers *buffers = user->buffers;
    uint8_t *buffer = NULL;

    pthread_mutex_lock(&buffers->lock);
    if (user->called) {
        user->called = false;
        buffers->n_called--;
        buffer = buffers->idle[--buffers->n_idle];
    } else if (buffers->n_idle > buffers->n_called) {
        /* Then nobody waits, this user included. */
        buffer = buffers->idle[--buffers->n_idle];
    } else if (!user->waiting) {
        user->waiting = true;
        g_queue_push_tail(&buffers->waiting, user);
    }
    pthread_mutex_unlock(&buffers->lock);
    return buffer;
}

void shmig_buffers_give(ShmigBuffers *buffers, uint8_t *buffer)
{
    pthread_mutex_lock(&buffers->lock);
    /* The last one given is the next one taken: it is in the cache. */
    buffers->idle[buffers->n_idle++] = buffer;
    call_next(buffers);
    pthread_mutex_unlock(&buffers->lock);
}
