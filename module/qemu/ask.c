/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions that other threads have for the main loop.  Whoever takes one off
 * the list has to answer it: a call in the main loop, or the end.
 */
#include "qemu/osdep.h"

#include "qemu/lockable.h"

#include "ask.h"
#include "glue.h"

struct ShmigAsk {
    void (*fn)(void *opaque);
    void *opaque;
    bool answered;
    QemuSemaphore done;
    QTAILQ_ENTRY(ShmigAsk) next;
};

void shmig_asks_init(ShmigAsks *asks)
{
    qemu_mutex_init(&asks->lock);
    QTAILQ_INIT(&asks->waiting);
    asks->ended = false;
}

void shmig_asks_destroy(ShmigAsks *asks)
{
    qemu_mutex_destroy(&asks->lock);
}

/* NULL if all of them are answered. */
static ShmigAsk *take(ShmigAsks *asks)
{
    ShmigAsk *ask;

    QEMU_LOCK_GUARD(&asks->lock);
    ask = QTAILQ_FIRST(&asks->waiting);
    if (ask) {
        QTAILQ_REMOVE(&asks->waiting, ask, next);
    }
    return ask;
}

/* There is one call for each question. */
static gboolean answer_one(void *opaque)
{
    ShmigAsk *ask = take(opaque);

    if (ask) {
        ask->fn(ask->opaque);
        ask->answered = true;
        qemu_sem_post(&ask->done);
    }
    return G_SOURCE_REMOVE;
}

static bool put(ShmigAsks *asks, ShmigAsk *ask)
{
    QEMU_LOCK_GUARD(&asks->lock);
    if (asks->ended) {
        return false;
    }
    QTAILQ_INSERT_TAIL(&asks->waiting, ask, next);
    shmig_main_call(answer_one, asks);
    return true;
}

bool shmig_asks_ask(ShmigAsks *asks, void (*fn)(void *opaque), void *opaque)
{
    ShmigAsk ask = { .fn = fn, .opaque = opaque };

    qemu_sem_init(&ask.done, 0);
    if (put(asks, &ask)) {
        qemu_sem_wait(&ask.done);
    }
    qemu_sem_destroy(&ask.done);
    return ask.answered;
}

void shmig_asks_end(ShmigAsks *asks)
{
    ShmigAsk *ask;

    qemu_mutex_lock(&asks->lock);
    asks->ended = true;
    qemu_mutex_unlock(&asks->lock);
    while ((ask = take(asks))) {
        qemu_sem_post(&ask->done);
    }
}
