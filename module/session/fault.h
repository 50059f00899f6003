/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first error of a session, kept for everybody.  Any thread. */
#ifndef SHMIG_SESSION_FAULT_H
#define SHMIG_SESSION_FAULT_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

typedef struct ShmigFault {
    pthread_mutex_t lock;
    GError *first;
    int set; /* atomic */
} ShmigFault;

void shmig_fault_init(ShmigFault *fault);
void shmig_fault_destroy(ShmigFault *fault);

/* Takes @error; true if it is the first. */
bool shmig_fault_raise(ShmigFault *fault, GError *error);
bool shmig_fault_is_set(ShmigFault *fault);
/* A copy of the first error, or NULL. */
GError *shmig_fault_get(ShmigFault *fault);

#endif
