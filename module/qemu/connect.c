/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connecting to the destination, on a thread of its own: resolving a name,
 * reaching a host and waiting for an answer all take their time.
 *
 * A user who cancels does not wait for the thread: the connect is abandoned,
 * and the thread, which abort() sets free soon, cleans up by itself.
 */
#include "qemu/osdep.h"

#include "qapi/clone-visitor.h"
#include "qapi/qapi-visit-sockets.h"
#include "qemu/sockets.h"

#include "shmig/base/thread.h"

#include "glue.h"
#include "trace.h"

/* The destination checks the offer, and opens its disks, meanwhile. */
#define ANSWER_TIMEOUT_MS 30000
#define JOIN_TIMEOUT_MS 10000

struct ShmigConnect {
    /* The thread, until it has the main loop called. */
    ShmigSource *source;
    SocketAddress *address;
    uint32_t channels;
    Error *error;

    /* Main thread. */
    void (*done)(Error *error);
    bool abandoned;
};

static bool connect_channel(ShmigConnect *connect, uint32_t i)
{
    GError *gerr = NULL;
    bool ok;
    int fd = socket_connect(connect->address, &connect->error);

    if (fd < 0) {
        return false;
    }
    trace_shmig_connected(i, fd);
    ok = i == 0
             ? shmig_source_handshake(connect->source, fd, ANSWER_TIMEOUT_MS,
                                      &gerr)
             : shmig_source_join(connect->source, fd, JOIN_TIMEOUT_MS, &gerr);
    if (!ok) {
        shmig_propagate(&connect->error, gerr);
    }
    return ok;
}

static gboolean connect_done(void *opaque)
{
    ShmigConnect *connect = opaque;

    if (connect->abandoned) {
        shmig_source_free(connect->source);
        error_free(connect->error);
    } else {
        connect->done(connect->error);
    }
    qapi_free_SocketAddress(connect->address);
    g_free(connect);
    return G_SOURCE_REMOVE;
}

static void *connect_thread(void *opaque)
{
    ShmigConnect *connect = opaque;
    uint32_t i = 0;

    while (i < connect->channels && connect_channel(connect, i)) {
        i++;
    }
    shmig_main_call(connect_done, connect);
    return NULL;
}

ShmigConnect *shmig_connect_start(ShmigSource *source, uint32_t channels,
                                  const SocketAddress *address,
                                  void (*done)(Error *error))
{
    ShmigConnect *connect = g_new0(ShmigConnect, 1);
    GError *gerr = NULL;
    GThread *thread;

    connect->source = source;
    connect->channels = channels;
    connect->address = QAPI_CLONE(SocketAddress, address);
    connect->done = done;
    /* Not QEMU's own, which aborts: the guest lives on where it is. */
    thread = shmig_thread_new("mig/shmig/conn", connect_thread, connect, &gerr);
    if (thread) {
        g_thread_unref(thread);
    } else {
        shmig_propagate(&connect->error, gerr);
        shmig_main_call(connect_done, connect);
    }
    return connect;
}

void shmig_connect_abandon(ShmigConnect *connect)
{
    connect->abandoned = true;
}
