/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of each disk is durable, for all channels that write to it: a flush
 * is one for the whole disk, whoever asked for it.
 *
 * Changes are numbered as they complete; a flush makes durable what had
 * completed when it began.  Any thread.
 */
#ifndef SHMIG_DISK_DURABLE_H
#define SHMIG_DISK_DURABLE_H

#include "shmig/io/ring.h"

typedef struct ShmigDurable ShmigDurable;

/* Who may wait, on the thread of @ring; the first group is the caller's. */
typedef struct ShmigDurableUser {
    ShmigRing *ring;
    void (*look)(void *opaque); /* something changed: ask again */
    void *opaque;

    /* Private: */
    ShmigOp op;
    ShmigDurable *durable;
    bool waiting, posted;
} ShmigDurableUser;

typedef enum ShmigDurableNeed {
    SHMIG_DURABLE_DONE,
    SHMIG_DURABLE_START, /* the caller flushes now, then calls flushed() */
    SHMIG_DURABLE_WAIT,  /* look() comes */
} ShmigDurableNeed;

ShmigDurable *shmig_durable_new(uint32_t n_disks, unsigned n_users);
/* All users have left. */
void shmig_durable_free(ShmigDurable *durable);

void shmig_durable_join(ShmigDurable *durable, ShmigDurableUser *user);
/* look() is not called any more.  On the user's thread, or after its end. */
void shmig_durable_leave(ShmigDurableUser *user);

/* A change of @bytes completed; returns its mark. */
uint64_t shmig_durable_changed(ShmigDurable *durable, uint32_t disk,
                               uint64_t bytes);

/* What @user has to do for @disk to be durable up to @mark. */
ShmigDurableNeed shmig_durable_need(ShmigDurableUser *user, uint32_t disk,
                                    uint64_t mark);
/* START for @disk, if @bytes or more are not durable and nobody flushes. */
bool shmig_durable_begin(ShmigDurable *durable, uint32_t disk, uint64_t bytes);
/* Not @ok: it never becomes durable, whoever waits; the session is to end. */
void shmig_durable_flushed(ShmigDurable *durable, uint32_t disk, bool ok);

/* The user will change nothing any more.  Once. */
void shmig_durable_finish(ShmigDurableUser *user);
/* Whether all have finished; if not, look() comes. */
bool shmig_durable_finished(ShmigDurableUser *user);

#endif
