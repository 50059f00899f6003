/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions that other threads have for the main loop, where they wait for
 * the answer while the main thread may wait for them.
 */
#ifndef SHMIG_QEMU_ASK_H
#define SHMIG_QEMU_ASK_H

#include "qemu/queue.h"
#include "qemu/thread.h"

typedef struct ShmigAsk ShmigAsk;

typedef struct ShmigAsks {
    QemuMutex lock;
    /* Under the lock. */
    QTAILQ_HEAD(, ShmigAsk) waiting; /* on their way to the main loop */
    bool ended;                      /* there is none for them any more */
} ShmigAsks;

void shmig_asks_init(ShmigAsks *asks);
/* In the main loop, behind all calls that were made for questions. */
void shmig_asks_destroy(ShmigAsks *asks);

/*
 * Has @fn called in the main loop, and waits for that.  False: it was not
 * called and will not be, as the questions have ended.  Any other thread.
 */
bool shmig_asks_ask(ShmigAsks *asks, void (*fn)(void *opaque), void *opaque);

/* From here on the main thread may wait for those who ask.  Main thread. */
void shmig_asks_end(ShmigAsks *asks);

#endif
