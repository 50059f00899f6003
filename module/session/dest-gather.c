/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the answer to a good offer and the last channel: the door's thread
 * of channel 0 waits for the others, for the source to go away, and for the
 * end of the session.
 */
#include "shmig/session/dest-internal.h"
#include "shmig/base/error.h"
#include "shmig/io/sync.h"
#include "shmig/wire/text.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* Waits for the source's end, a join, or the end of all; false if too late. */
static bool wait_for_news(ShmigDest *dest, int64_t until_us)
{
    struct pollfd p[] = {
        { .fd = dest->links[0].fd, .events = POLLRDHUP },
        { .fd = dest->join_fd, .events = POLLIN },
    };
    int64_t left = until_us - g_get_monotonic_time();
    eventfd_t value;

    if (left <= 0) {
        shmig_dest_fail_text(
            dest, SHMIG_ERROR_LOST,
            "the source did not open all its channels in time");
        return false;
    }
    if (poll(p, G_N_ELEMENTS(p), MIN((left + 999) / 1000, G_MAXINT)) > 0) {
        if (p[0].revents) {
            shmig_dest_fail_text(
                dest, SHMIG_ERROR_LOST,
                "the source went away before all its channels were "
                "open");
            return false;
        }
        eventfd_read(dest->join_fd, &value);
    }
    return true;
}

/* The session ended before its channels ran: tells the source why. */
static void hang_up(ShmigDest *dest)
{
    g_autoptr(GError) error = shmig_fault_get(&dest->fault);
    g_autofree char *text = NULL;
    g_autoptr(GBytes) body = NULL;

    if (error && dest->links[0].fd >= 0) {
        text = shmig_text_clean(error->message, strlen(error->message));
        body = g_bytes_new(text, strlen(text));
        shmig_sync_send_frame(&dest->links[0], SHMIG_FRAME_ERROR, 1, body,
                              shmig_dest_hello_deadline(dest), NULL);
    }
    pthread_mutex_lock(&dest->lock);
    for (unsigned i = 0; i < dest->n_channels; i++) {
        if (dest->links[i].fd >= 0) {
            shutdown(dest->links[i].fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&dest->lock);
}

static bool is_joining(ShmigDest *dest)
{
    bool joining;

    pthread_mutex_lock(&dest->lock);
    joining = dest->state == SHMIG_DEST_JOINING && !dest->closing &&
              dest->n_joined < dest->n_channels;
    pthread_mutex_unlock(&dest->lock);
    return joining;
}

void shmig_dest_gather(ShmigDest *dest)
{
    int64_t until_us = g_get_monotonic_time() + dest->join_us;

    while (is_joining(dest) && wait_for_news(dest, until_us)) {
    }
    if (!shmig_dest_start(dest)) {
        hang_up(dest);
    }
}
