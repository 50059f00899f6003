/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's hello and offer.  Channel 0: hello, hello, OFFER, ANSWER.
 * The others: hello, hello.  TLS comes before, where it is used.
 */
#include "shmig/session/source-internal.h"
#include "shmig/base/error.h"
#include "shmig/io/socket.h"
#include "shmig/io/sync.h"

#include <string.h>
#include <sys/socket.h>

/* Makes @fd the one that abort() shuts down; false if it came before. */
static bool guard(ShmigSource *src, int fd, GError **errp)
{
    GError *error;

    pthread_mutex_lock(&src->lock);
    src->handshake_fd = fd;
    error = shmig_fault_get(&src->fault);
    pthread_mutex_unlock(&src->lock);
    if (error) {
        g_propagate_error(errp, error);
    }
    return !error;
}

static void unguard(ShmigSource *src)
{
    pthread_mutex_lock(&src->lock);
    src->handshake_fd = -1;
    pthread_mutex_unlock(&src->lock);
}

/*
 * TLS, if it is used, up to where both are known to each other.  It is never
 * given up for plain.
 */
static bool secure(ShmigSource *src, ShmigLink *link, int64_t deadline_us,
                   GError **errp)
{
    if (!src->tls) {
        return true;
    }
    link->tls = src->tls->ops->connect(src->tls, errp);
    if (!link->tls) {
        return false;
    }
    if (!shmig_sync_handshake(link, deadline_us, errp) ||
        !link->tls->ops->check(link->tls, errp)) {
        g_prefix_error(errp, "TLS with the destination: ");
        return false;
    }
    return true;
}

static bool hello(ShmigSource *src, const ShmigLink *link, unsigned channel,
                  int64_t deadline_us, GError **errp)
{
    ShmigHello ours = {
        .version_min = SHMIG_VERSION_MIN,
        .version_max = SHMIG_VERSION_MAX,
        .channel = channel,
        .channels = src->n_channels,
    };
    ShmigHello theirs;

    memcpy(ours.session, src->session, sizeof(ours.session));
    if (!shmig_sync_send_hello(link, &ours, deadline_us, errp) ||
        !shmig_sync_recv_hello(link, &theirs, deadline_us, errp)) {
        return false;
    }
    if (theirs.refused) {
        GBytes *body = shmig_sync_recv_frame(link, SHMIG_FRAME_ERROR, 0,
                                             deadline_us, errp);

        g_assert(!body);
        return false;
    }
    if (!shmig_hello_version(&ours, &theirs)) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "the destination speaks version %u to %u of the shmig "
                    "protocol, this side %u to %u",
                    theirs.version_min, theirs.version_max, SHMIG_VERSION_MIN,
                    SHMIG_VERSION_MAX);
        return false;
    }
    if (memcmp(theirs.session, src->session, sizeof(src->session)) ||
        theirs.channel != channel || theirs.channels != src->n_channels) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "the destination answered for another session or "
                    "channel");
        return false;
    }
    return true;
}

static bool offer(ShmigSource *src, const ShmigLink *link, int64_t deadline_us,
                  GError **errp)
{
    g_autoptr(GBytes) body = shmig_offer_encode(src->offer, errp);
    g_autoptr(GBytes) reply = NULL;
    g_autoptr(GPtrArray) problems = NULL;
    g_autoptr(GString) text = NULL;
    gsize bytes;
    const void *data;

    if (!body || !shmig_sync_send_frame(link, SHMIG_FRAME_OFFER, 0, body,
                                        deadline_us, errp)) {
        return false;
    }
    reply =
        shmig_sync_recv_frame(link, SHMIG_FRAME_ANSWER, 0, deadline_us, errp);
    if (!reply) {
        return false;
    }
    data = g_bytes_get_data(reply, &bytes);
    problems = shmig_answer_decode(data, bytes, errp);
    if (!problems) {
        return false;
    }
    if (problems->len == 0) {
        return true;
    }
    text = g_string_new("the destination refuses: ");
    for (guint i = 0; i < problems->len; i++) {
        g_string_append_printf(text, "%s%s", i ? "\n" : "",
                               (char *)g_ptr_array_index(problems, i));
    }
    g_set_error_literal(errp, SHMIG_ERROR, SHMIG_ERROR_REFUSED, text->str);
    return false;
}

static bool join(ShmigSource *src, int fd, int timeout_ms, GError **errp)
{
    int64_t deadline_us = g_get_monotonic_time() + timeout_ms * 1000ll;
    unsigned channel = src->n_joined;
    ShmigLink link = { .fd = fd };
    bool secured = false, ok;

    g_assert(channel < src->n_channels);
    shmig_socket_prepare(fd);
    ok = guard(src, fd, errp) &&
         (secured = secure(src, &link, deadline_us, errp)) &&
         hello(src, &link, channel, deadline_us, errp) &&
         (channel || offer(src, &link, deadline_us, errp));
    unguard(src);
    if (!ok) {
        g_autoptr(GError) first = shmig_fault_get(&src->fault);

        if (first) {
            g_clear_error(errp);
            g_propagate_error(errp, g_steal_pointer(&first));
        } else if (channel == 0 && secured &&
                   g_error_matches(errp ? *errp : NULL, SHMIG_ERROR,
                                   SHMIG_ERROR_LOST)) {
            g_prefix_error(errp, "no shmig destination answered: ");
        }
        shmig_link_close(&link);
        return false;
    }
    src->links[src->n_joined++] = link;
    return true;
}

bool shmig_source_handshake(ShmigSource *src, int fd, int timeout_ms,
                            GError **errp)
{
    g_assert(src->n_joined == 0);
    return join(src, fd, timeout_ms, errp);
}

bool shmig_source_join(ShmigSource *src, int fd, int timeout_ms, GError **errp)
{
    g_assert(src->n_joined > 0);
    return join(src, fd, timeout_ms, errp);
}

void shmig_source_set_tls(ShmigSource *src, ShmigTlsCreds *tls)
{
    g_assert(src->n_joined == 0 && !src->tls);
    src->tls = tls;
}

int shmig_source_stream(ShmigSource *src)
{
    int pair[2];

    g_assert(src->stream_fd < 0);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return -1;
    }
    src->stream_fd = pair[0];
    return pair[1];
}
