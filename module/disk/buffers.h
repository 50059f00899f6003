/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buffers that all channels of a destination receive disk data into:
 * few, however many channels there are.  Any thread.
 */
#ifndef SHMIG_DISK_BUFFERS_H
#define SHMIG_DISK_BUFFERS_H

#include "shmig/io/ring.h"

typedef struct ShmigBuffers ShmigBuffers;

/* Who may wait, on the thread of @ring; the first group is the caller's. */
typedef struct ShmigBuffersUser {
    ShmigRing *ring;
    void (*look)(void *opaque); /* there is a buffer: take() again */
    void *opaque;

    /* Private: */
    ShmigOp op;
    ShmigBuffers *buffers;
    bool waiting, called, posted;
} ShmigBuffersUser;

ShmigBuffers *shmig_buffers_new(unsigned n, size_t bytes, GError **errp);
/* All users have left and all buffers are back. */
void shmig_buffers_free(ShmigBuffers *buffers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShmigBuffers, shmig_buffers_free)

void shmig_buffers_join(ShmigBuffers *buffers, ShmigBuffersUser *user);
/* look() is not called any more.  On the user's thread, or after its end. */
void shmig_buffers_leave(ShmigBuffersUser *user);

/*
 * A buffer; or NULL, and look() comes, which has to take one then: what it
 * leaves goes to the next who waits.
 */
uint8_t *shmig_buffers_take(ShmigBuffersUser *user);
void shmig_buffers_give(ShmigBuffers *buffers, uint8_t *buffer);

#endif
