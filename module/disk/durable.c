/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of each disk is durable, for all channels that write to it.
 *
 * Users that wait are woken all at once, by an operation posted to their ring:
 * it may be on its way when the user waits again, and is then not posted twice.
 */
#include "shmig/disk/durable.h"
#include "shmig/base/container.h"

#include <pthread.h>

typedef struct DiskState {
    uint64_t changed; /* atomic: bytes of changes completed */
    uint64_t durable; /* atomic, written under the lock: of these */
    uint64_t flushing_to;
    bool flushing;
    bool broken; /* a flush failed: the next one may forget why */
} DiskState;

struct ShmigDurable {
    uint32_t n_disks;
    unsigned n_users;

    pthread_mutex_t lock; /* then that of a ring */
    /* Under the lock. */
    DiskState *disks;
    GPtrArray *users;
    unsigned n_finished;
};

ShmigDurable *shmig_durable_new(uint32_t n_disks, unsigned n_users)
{
    ShmigDurable *durable = g_new0(ShmigDurable, 1);

    durable->n_disks = n_disks;
    durable->n_users = n_users;
    durable->disks = g_new0(DiskState, n_disks);
    durable->users = g_ptr_array_new();
    pthread_mutex_init(&durable->lock, NULL);
    return durable;
}

void shmig_durable_free(ShmigDurable *durable)
{
    if (durable) {
        g_assert(durable->users->len == 0);
        g_ptr_array_unref(durable->users);
        pthread_mutex_destroy(&durable->lock);
        g_free(durable->disks);
        g_free(durable);
    }
}

static void on_ring(ShmigOp *op, int res)
{
    ShmigDurableUser *user = SHMIG_CONTAINER_OF(op, ShmigDurableUser, op);

    pthread_mutex_lock(&user->durable->lock);
    user->posted = false;
    pthread_mutex_unlock(&user->durable->lock);
    user->look(user->opaque);
}

void shmig_durable_join(ShmigDurable *durable, ShmigDurableUser *user)
{
    user->durable = durable;
    user->op.done = on_ring;
    pthread_mutex_lock(&durable->lock);
    g_ptr_array_add(durable->users, user);
    pthread_mutex_unlock(&durable->lock);
}

void shmig_durable_leave(ShmigDurableUser *user)
{
    pthread_mutex_lock(&user->durable->lock);
    g_ptr_array_remove_fast(user->durable->users, user);
    pthread_mutex_unlock(&user->durable->lock);
}

/* With the lock held. */
static void wake(ShmigDurable *durable)
{
    for (guint i = 0; i < durable->users->len; i++) {
        ShmigDurableUser *user = g_ptr_array_index(durable->users, i);

        if (user->waiting && !user->posted) {
            user->posted = true;
            shmig_ring_post(user->ring, &user->op, 0);
        }
        user->waiting = false;
    }
}

uint64_t shmig_durable_changed(ShmigDurable *durable, uint32_t disk,
                               uint64_t bytes)
{
    /* Pairs with start(): a flush covers what it sees. */
    return __atomic_add_fetch(&durable->disks[disk].changed, bytes,
                              __ATOMIC_ACQ_REL);
}

/* With the lock held. */
static void start(DiskState *d)
{
    d->flushing = true;
    d->flushing_to = __atomic_load_n(&d->changed, __ATOMIC_ACQUIRE);
}

ShmigDurableNeed shmig_durable_need(ShmigDurableUser *user, uint32_t disk,
                                    uint64_t mark)
{
    ShmigDurable *durable = user->durable;
    DiskState *d = &durable->disks[disk];
    ShmigDurableNeed need = SHMIG_DURABLE_DONE;

    pthread_mutex_lock(&durable->lock);
    if (d->durable < mark) {
        if (d->flushing || d->broken) {
            user->waiting = true;
            need = SHMIG_DURABLE_WAIT;
        } else {
            start(d);
            need = SHMIG_DURABLE_START;
        }
    }
    pthread_mutex_unlock(&durable->lock);
    return need;
}

bool shmig_durable_begin(ShmigDurable *durable, uint32_t disk, uint64_t bytes)
{
    DiskState *d = &durable->disks[disk];
    bool begin;

    /* Mostly there is too little: seen without the lock. */
    if (__atomic_load_n(&d->changed, __ATOMIC_RELAXED) -
            __atomic_load_n(&d->durable, __ATOMIC_RELAXED) <
        bytes) {
        return false;
    }
    pthread_mutex_lock(&durable->lock);
    begin =
        !d->flushing && !d->broken &&
        __atomic_load_n(&d->changed, __ATOMIC_ACQUIRE) - d->durable >= bytes;
    if (begin) {
        start(d);
    }
    pthread_mutex_unlock(&durable->lock);
    return begin;
}

void shmig_durable_flushed(ShmigDurable *durable, uint32_t disk, bool ok)
{
    DiskState *d = &durable->disks[disk];

    pthread_mutex_lock(&durable->lock);
    d->flushing = false;
    d->broken |= !ok;
    if (ok) {
        __atomic_store_n(&d->durable, d->flushing_to, __ATOMIC_RELAXED);
    }
    wake(durable);
    pthread_mutex_unlock(&durable->lock);
}

void shmig_durable_finish(ShmigDurableUser *user)
{
    ShmigDurable *durable = user->durable;

    pthread_mutex_lock(&durable->lock);
    if (++durable->n_finished == durable->n_users) {
        wake(durable);
    }
    pthread_mutex_unlock(&durable->lock);
}

bool shmig_durable_finished(ShmigDurableUser *user)
{
    ShmigDurable *durable = user->durable;
    bool all;

    pthread_mutex_lock(&durable->lock);
    all = durable->n_finished == durable->n_users;
    user->waiting |= !all;
    pthread_mutex_unlock(&durable->lock);
    return all;
}
