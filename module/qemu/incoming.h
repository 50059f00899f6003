/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An incoming migration.
 *
 * Events come on a thread of the session and are carried to the main loop;
 * QEMU's loading coroutine waits there for those it needs.
 */
#ifndef SHMIG_QEMU_INCOMING_H
#define SHMIG_QEMU_INCOMING_H

#include "io/net-listener.h"
#include "qemu/coroutine.h"

#include "ask.h"
#include "glue.h"

struct ShmigIncoming {
    /* Constant while it is set as transport_data. */
    ShmigDest *dest;
    QIONetListener *listener;

    /* Main thread. */
    ShmigDiskSet *disks;
    ShmigRamBlocks *ram;
    Coroutine *waiting; /* for one of these: */
    Coroutine *ending;  /* for the session's end */
    bool has_blocks;
    bool drained;
    bool committed;
    bool failed;
    bool running; /* and the source knows */

    /* Atomic: QEMU loads from our stream. */
    bool connected;

    /* Any thread: what needs the main loop. */
    ShmigAsks asks;
};

/* Coroutine: waits for *@flag; false if the session failed before. */
bool coroutine_fn shmig_incoming_wait(ShmigIncoming *in, const bool *flag);

#endif
