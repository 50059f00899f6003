/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first error of a session. */
#include "shmig/session/fault.h"

void shmig_fault_init(ShmigFault *fault)
{
    pthread_mutex_init(&fault->lock, NULL);
    fault->first = NULL;
    fault->set = 0;
}

void shmig_fault_destroy(ShmigFault *fault)
{
    g_clear_error(&fault->first);
    pthread_mutex_destroy(&fault->lock);
}

bool shmig_fault_raise(ShmigFault *fault, GError *error)
{
    bool first;

    pthread_mutex_lock(&fault->lock);
    first = !fault->first;
    if (first) {
        fault->first = error;
        __atomic_store_n(&fault->set, 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&fault->lock);
    if (!first) {
        g_error_free(error);
    }
    return first;
}

bool shmig_fault_is_set(ShmigFault *fault)
{
    return __atomic_load_n(&fault->set, __ATOMIC_ACQUIRE);
}

GError *shmig_fault_get(ShmigFault *fault)
{
    GError *copy;

    pthread_mutex_lock(&fault->lock);
    copy = fault->first ? g_error_copy(fault->first) : NULL;
    pthread_mutex_unlock(&fault->lock);
    return copy;
}
