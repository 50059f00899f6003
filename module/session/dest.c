/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's half of a session: its states, its events, its end.
 * dest-door.c lets connections in, dest-gather.c waits until all are there,
 * dest-channel.c receives.
 *
 * LISTENING → OFFERED → JOINING → RUNNING → LOADED → OWNER; a refused offer
 * goes back to LISTENING, any failure before OWNER goes to FAILED.
 */
#include "shmig/session/dest-internal.h"
#include "shmig/base/error.h"
#include "shmig/base/thread.h"
#include "shmig/session/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that may be saying hello at the same time. */
#define MAX_DOORS 128
#define HELLO_US (5 * G_USEC_PER_SEC)
/* The source may have far more to prepare before it joins the rest. */
#define JOIN_US (30 * G_USEC_PER_SEC)

static const char *const state_names[] = {
    [SHMIG_DEST_LISTENING] = "listening", [SHMIG_DEST_OFFERED] = "offered",
    [SHMIG_DEST_JOINING] = "joining",     [SHMIG_DEST_RUNNING] = "running",
    [SHMIG_DEST_LOADED] = "loaded",       [SHMIG_DEST_OWNER] = "owner",
    [SHMIG_DEST_FAILED] = "failed",
};

void shmig_dest_set_state(ShmigDest *dest, ShmigDestState state)
{
    g_debug("destination: %s to %s", state_names[dest->state],
            state_names[state]);
    dest->state = state;
}

void shmig_dest_event(ShmigDest *dest, ShmigDestEvent event)
{
    g_assert(dest->n_events < G_N_ELEMENTS(dest->events));
    dest->events[dest->n_events++] = event;
    pthread_cond_signal(&dest->event_cond);
}

static void tell(ShmigDest *dest, ShmigDestEvent event)
{
    g_autoptr(GError) error = NULL;

    switch (event) {
    case SHMIG_DEST_EVENT_CONNECTED:
        dest->ops->connected(dest->opaque, dest->qemu_fd);
        break;
    case SHMIG_DEST_EVENT_DRAINED:
        dest->ops->drained(dest->opaque);
        break;
    case SHMIG_DEST_EVENT_COMMIT:
        dest->ops->commit(dest->opaque);
        break;
    case SHMIG_DEST_EVENT_FAILED:
        error = shmig_fault_get(&dest->fault);
        dest->ops->failed(dest->opaque, error);
        break;
    case SHMIG_DEST_EVENT_QUIT:
        break;
    }
}

static void *event_thread(void *opaque)
{
    ShmigDest *dest = opaque;
    ShmigDestEvent event;

    do {
        pthread_mutex_lock(&dest->lock);
        while (!dest->n_events) {
            pthread_cond_wait(&dest->event_cond, &dest->lock);
        }
        event = dest->events[0];
        dest->n_events--;
        memmove(dest->events, dest->events + 1,
                dest->n_events * sizeof(dest->events[0]));
        pthread_mutex_unlock(&dest->lock);
        pthread_mutex_lock(&dest->ops_lock);
        tell(dest, event);
        pthread_mutex_unlock(&dest->ops_lock);
    } while (event != SHMIG_DEST_EVENT_QUIT);
    return NULL;
}

/* With the lock held. */
static void end_channels(ShmigDest *dest)
{
    for (unsigned i = 0; dest->started && i < dest->n_channels; i++) {
        if (dest->channels[i].channel) {
            shmig_channel_end(dest->channels[i].channel);
        }
    }
}

void shmig_dest_tell_joins(ShmigDest *dest)
{
    if (dest->join_fd >= 0) {
        eventfd_write(dest->join_fd, 1);
    }
}

void shmig_dest_fail(ShmigDest *dest, GError *error)
{
    pthread_mutex_lock(&dest->lock);
    if (dest->state == SHMIG_DEST_OWNER || dest->closing) {
        /* The guest is ours: what happens to the connections is no fault. */
        g_debug("after the end: %s", error->message);
        g_error_free(error);
    } else if (shmig_fault_raise(&dest->fault, error)) {
        shmig_dest_set_state(dest, SHMIG_DEST_FAILED);
        __atomic_store_n(&dest->over, 1, __ATOMIC_RELAXED);
        end_channels(dest);
        shmig_dest_event(dest, SHMIG_DEST_EVENT_FAILED);
        shmig_dest_tell_joins(dest);
    }
    pthread_mutex_unlock(&dest->lock);
}

void shmig_dest_abort(ShmigDest *dest, const char *reason)
{
    shmig_dest_fail(
        dest, g_error_new_literal(SHMIG_ERROR, SHMIG_ERROR_CANCELLED, reason));
}

GError *shmig_dest_error(ShmigDest *dest)
{
    return shmig_fault_get(&dest->fault);
}

static bool make_channel(ShmigDest *dest, unsigned i, int stream_fd,
                         GError **errp)
{
    ShmigDestChannel *dc = &dest->channels[i];
    uint32_t frames = i ? 0 : 1;

    dc->dest = dest;
    dc->index = i;
    dc->channel = shmig_channel_new(
        i, dest->links[i], frames, frames, i ? -1 : stream_fd, &dest->fault,
        &dest->stats, true, &shmig_dest_channel_ops, dc, errp);
    if (!dc->channel) {
        return false;
    }
    dest->links[i] = SHMIG_NO_LINK;
    dc->apply = shmig_apply_new(
        shmig_channel_ring(dc->channel), dest->disks, dest->n_disks,
        dest->n_ram, i, dest->n_channels,
        shmig_memory_dest(dest->n_channels, dest->tls).per_channel,
        dest->buffers, dest->durable, &shmig_dest_apply_ops, dc);
    return true;
}

static bool make_channels(ShmigDest *dest, GError **errp)
{
    ShmigMemory memory = shmig_memory_dest(dest->n_channels, dest->tls);
    int pair[2];

    dest->buffers =
        shmig_buffers_new(memory.buffers, memory.buffer_bytes, errp);
    if (!dest->buffers) {
        return false;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_SYSTEM,
                    "no socket pair for the migration stream: %s",
                    g_strerror(errno));
        return false;
    }
    dest->qemu_fd = pair[1];
    dest->durable = shmig_durable_new(dest->n_disks, dest->n_channels);
    dest->channels = g_new0(ShmigDestChannel, dest->n_channels);
    for (unsigned i = 0; i < dest->n_channels; i++) {
        bool made = make_channel(dest, i, pair[0], errp);

        if (!i && !dest->channels[0].channel && dest->links[0].fd >= 0) {
            close(pair[0]); /* or it went with the channel */
        }
        if (!made) {
            return false;
        }
    }
    return true;
}

/* With the lock held: makes and starts all, or those that can say why not. */
static bool start_channels(ShmigDest *dest, GError **errp)
{
    bool ok = make_channels(dest, errp);

    for (unsigned i = 0; dest->channels && i < dest->n_channels; i++) {
        ShmigChannel *channel = dest->channels[i].channel;

        if (channel && !shmig_channel_start(channel, ok ? errp : NULL)) {
            ok = false;
        }
    }
    dest->started = dest->channels != NULL;
    if (!ok && dest->qemu_fd >= 0) {
        close(dest->qemu_fd);
        dest->qemu_fd = -1;
    }
    return ok;
}

bool shmig_dest_start(ShmigDest *dest)
{
    GError *error = NULL;
    bool started;

    pthread_mutex_lock(&dest->lock);
    started = dest->state == SHMIG_DEST_JOINING &&
              dest->n_joined == dest->n_channels &&
              start_channels(dest, &error);
    if (started) {
        shmig_dest_set_state(dest, SHMIG_DEST_RUNNING);
        shmig_dest_event(dest, SHMIG_DEST_EVENT_CONNECTED);
    }
    pthread_mutex_unlock(&dest->lock);
    if (error) {
        shmig_dest_fail(dest, error);
    }
    return started;
}

void shmig_dest_set_tls(ShmigDest *dest, ShmigTlsCreds *tls)
{
    g_assert(!dest->tls);
    dest->tls = tls;
}

/* A stranger who connects where there is no thread left harms nobody else. */
static void open_door(ShmigDest *dest, int fd)
{
    ShmigDestDoor *door = g_new(ShmigDestDoor, 1);
    g_autoptr(GError) error = NULL;
    GThread *thread;

    *door = (ShmigDestDoor) { .dest = dest, .fd = fd };
    thread = shmig_thread_new("shmig-door", shmig_dest_door, door, &error);
    if (thread) {
        g_thread_unref(thread);
        return;
    }
    g_message("a connection was closed: %s", error->message);
    g_free(door);
    pthread_mutex_lock(&dest->lock);
    g_hash_table_remove(dest->doors, GINT_TO_POINTER(fd));
    close(fd);
    dest->n_doors--;
    pthread_cond_broadcast(&dest->cond);
    pthread_mutex_unlock(&dest->lock);
}

void shmig_dest_accept(ShmigDest *dest, int fd)
{
    bool full;

    pthread_mutex_lock(&dest->lock);
    full = dest->n_doors >= MAX_DOORS || dest->closing;
    if (!full) {
        dest->n_doors++;
        g_hash_table_add(dest->doors, GINT_TO_POINTER(fd));
    }
    pthread_mutex_unlock(&dest->lock);
    if (full) {
        g_message("a connection was closed: too many are saying hello");
        close(fd);
        return;
    }
    open_door(dest, fd);
}

void shmig_dest_set_disk(ShmigDest *dest, uint32_t index, ShmigDisk *disk)
{
    g_assert(index < dest->n_disks && !dest->disks[index]);
    dest->disks[index] = disk;
}

void shmig_dest_set_ram(ShmigDest *dest, uint32_t index, void *host)
{
    g_assert(index < dest->n_ram);
    dest->hosts[index] = host;
}

void shmig_dest_go(ShmigDest *dest)
{
    for (uint32_t i = 0; i < dest->n_ram; i++) {
        g_assert(dest->hosts[i]);
    }
    pthread_mutex_lock(&dest->lock);
    if (!__atomic_exchange_n(&dest->go, 1, __ATOMIC_ACQ_REL) &&
        dest->state == SHMIG_DEST_RUNNING) {
        shmig_channel_control(dest->channels[0].channel, SHMIG_FRAME_GO, 0, 0);
    }
    pthread_mutex_unlock(&dest->lock);
}

void shmig_dest_ready(ShmigDest *dest)
{
    pthread_mutex_lock(&dest->lock);
    if (dest->state == SHMIG_DEST_RUNNING) {
        /* Or data would be written into a guest that runs. */
        g_assert(dest->n_final == dest->n_channels);
        shmig_dest_set_state(dest, SHMIG_DEST_LOADED);
        shmig_channel_control(dest->channels[0].channel, SHMIG_FRAME_READY, 0,
                              0);
    }
    pthread_mutex_unlock(&dest->lock);
}

void shmig_dest_running(ShmigDest *dest)
{
    pthread_mutex_lock(&dest->lock);
    g_assert(dest->state == SHMIG_DEST_OWNER);
    shmig_channel_control(dest->channels[0].channel, SHMIG_FRAME_RUNNING, 0, 0);
    pthread_mutex_unlock(&dest->lock);
}

const ShmigStats *shmig_dest_stats(ShmigDest *dest)
{
    return &dest->stats;
}

ShmigDest *shmig_dest_new(const ShmigDestOps *ops, void *opaque, GError **errp)
{
    ShmigDest *dest = g_new0(ShmigDest, 1);

    dest->ops = ops;
    dest->opaque = opaque;
    dest->qemu_fd = dest->join_fd = -1;
    dest->hello_us = HELLO_US;
    dest->join_us = JOIN_US;
    pthread_mutex_init(&dest->lock, NULL);
    pthread_mutex_init(&dest->ops_lock, NULL);
    shmig_cond_init(&dest->cond);
    shmig_fault_init(&dest->fault);
    dest->doors = g_hash_table_new(NULL, NULL);
    shmig_cond_init(&dest->event_cond);
    dest->event_thread =
        shmig_thread_new("shmig-events", event_thread, dest, errp);
    if (!dest->event_thread) {
        shmig_dest_free(dest);
        return NULL;
    }
    return dest;
}

/*
 * With the lock held.  No COMMIT is taken any more, and a source that sends
 * one hears an ERROR: it knows then that nobody owns the guest here.
 */
static void end_unowned(ShmigDest *dest)
{
    if (dest->state != SHMIG_DEST_OWNER &&
        shmig_fault_raise(&dest->fault,
                          g_error_new(SHMIG_ERROR, SHMIG_ERROR_CANCELLED,
                                      "the destination ends"))) {
        shmig_dest_set_state(dest, SHMIG_DEST_FAILED);
    }
}

/* Ends handshakes and waits until their threads touch @dest no more. */
static void close_doors(ShmigDest *dest)
{
    GHashTableIter iter;
    gpointer fd;

    pthread_mutex_lock(&dest->lock);
    end_unowned(dest);
    dest->closing = true;
    __atomic_store_n(&dest->over, 1, __ATOMIC_RELAXED);
    g_hash_table_iter_init(&iter, dest->doors);
    while (g_hash_table_iter_next(&iter, &fd, NULL)) {
        shutdown(GPOINTER_TO_INT(fd), SHUT_RDWR);
    }
    shmig_dest_tell_joins(dest);
    while (dest->n_doors) {
        pthread_cond_wait(&dest->cond, &dest->lock);
    }
    end_channels(dest);
    shmig_dest_event(dest, SHMIG_DEST_EVENT_QUIT);
    pthread_mutex_unlock(&dest->lock);
}

static void free_channels(ShmigDest *dest)
{
    for (unsigned i = 0; dest->channels && i < dest->n_channels; i++) {
        ShmigDestChannel *dc = &dest->channels[i];

        if (dc->channel) {
            shmig_channel_join(dc->channel);
            shmig_apply_free(dc->apply);
            shmig_channel_free(dc->channel);
        }
    }
    for (unsigned i = 0; dest->links && i < dest->n_channels; i++) {
        shmig_link_close(&dest->links[i]);
    }
    if (dest->join_fd >= 0) {
        close(dest->join_fd);
    }
    shmig_buffers_free(dest->buffers);
    shmig_durable_free(dest->durable);
    g_free(dest->channels);
    shmig_tls_creds_free(dest->tls);
    g_free(dest->links);
}

void shmig_dest_free(ShmigDest *dest)
{
    if (!dest) {
        return;
    }
    close_doors(dest);
    if (dest->event_thread) {
        g_thread_join(dest->event_thread);
    }
    free_channels(dest);
    for (uint32_t i = 0; i < dest->n_disks; i++) {
        shmig_disk_free(dest->disks[i]);
    }
    g_free(dest->disks);
    g_free(dest->hosts);
    g_free(dest->regions);
    shmig_offer_free(dest->offer);
    pthread_cond_destroy(&dest->event_cond);
    g_hash_table_unref(dest->doors);
    shmig_fault_destroy(&dest->fault);
    pthread_mutex_destroy(&dest->lock);
    pthread_mutex_destroy(&dest->ops_lock);
    pthread_cond_destroy(&dest->cond);
    g_free(dest);
}
