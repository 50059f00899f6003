/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocking exchange with a deadline, used by the handshake only. */
#include "shmig/io/sync.h"
#include "shmig/base/error.h"
#include "shmig/wire/text.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* Waits for @events; false with an error at the deadline. */
static bool wait_for(int fd, short events, int64_t deadline_us, GError **errp)
{
    struct pollfd p = { .fd = fd, .events = events };
    int64_t left = deadline_us - g_get_monotonic_time();
    int n;

    if (left > 0) {
        n = poll(&p, 1, MIN((left + 999) / 1000, G_MAXINT));
        if (n > 0 || (n < 0 && errno == EINTR)) {
            return true;
        }
        if (n < 0) {
            g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_SYSTEM,
                        "waiting for the peer: %s", g_strerror(errno));
            return false;
        }
        if (g_get_monotonic_time() < deadline_us) {
            return true;
        }
    }
    g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LOST,
                "the peer did not answer in time; is it shmig?");
    return false;
}

static bool again(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

bool shmig_sync_write(int fd, const void *buf, size_t bytes,
                      int64_t deadline_us, GError **errp)
{
    const uint8_t *p = buf;

    while (bytes) {
        ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            p += n;
            bytes -= n;
        } else if (!again(errno)) {
            g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LOST,
                        "the connection failed: %s", g_strerror(errno));
            return false;
        } else if (!wait_for(fd, POLLOUT, deadline_us, errp)) {
            return false;
        }
    }
    return true;
}

bool shmig_sync_read(int fd, void *buf, size_t bytes, int64_t deadline_us,
                     GError **errp)
{
    uint8_t *p = buf;

    while (bytes) {
        ssize_t n = recv(fd, p, bytes, MSG_DONTWAIT);

        if (n > 0) {
            p += n;
            bytes -= n;
        } else if (n == 0) {
            g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LOST,
                        "the peer closed the connection");
            return false;
        } else if (!again(errno)) {
            g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LOST,
                        "the connection failed: %s", g_strerror(errno));
            return false;
        } else if (!wait_for(fd, POLLIN, deadline_us, errp)) {
            return false;
        }
    }
    return true;
}

bool shmig_sync_send_hello(int fd, const ShmigHello *hello, int64_t deadline_us,
                           GError **errp)
{
    uint8_t raw[SHMIG_HELLO_BYTES];

    shmig_hello_encode(hello, raw);
    return shmig_sync_write(fd, raw, sizeof(raw), deadline_us, errp);
}

bool shmig_sync_recv_hello(int fd, ShmigHello *hello, int64_t deadline_us,
                           GError **errp)
{
    uint8_t raw[SHMIG_HELLO_BYTES];
    const char *why;

    if (!shmig_sync_read(fd, raw, sizeof(raw), deadline_us, errp)) {
        return false;
    }
    if (shmig_hello_decode(raw, hello, &why) < 0) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "the peer broke the protocol: %s", why);
        return false;
    }
    return true;
}

bool shmig_sync_send_frame(int fd, uint8_t type, uint32_t sequence,
                           GBytes *body, int64_t deadline_us, GError **errp)
{
    uint8_t raw[SHMIG_FRAME_BYTES];
    gsize bytes = 0;
    const void *data = body ? g_bytes_get_data(body, &bytes) : NULL;
    ShmigFrame frame = {
        .type = type,
        .body = bytes,
        .sequence = sequence,
    };

    shmig_frame_encode(&frame, raw);
    return shmig_sync_write(fd, raw, sizeof(raw), deadline_us, errp) &&
           shmig_sync_write(fd, data, bytes, deadline_us, errp);
}

GBytes *shmig_sync_recv_frame(int fd, uint8_t type, uint32_t sequence,
                              int64_t deadline_us, GError **errp)
{
    uint8_t raw[SHMIG_FRAME_BYTES];
    g_autofree uint8_t *body = NULL;
    ShmigFrame frame;
    const char *why;

    if (!shmig_sync_read(fd, raw, sizeof(raw), deadline_us, errp)) {
        return NULL;
    }
    if (shmig_frame_decode(raw, sequence, &frame, &why) < 0) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "the peer broke the protocol: %s", why);
        return NULL;
    }
    if (frame.type != type && frame.type != SHMIG_FRAME_ERROR) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "the peer broke the protocol: %s instead of %s",
                    shmig_frame_name(frame.type), shmig_frame_name(type));
        return NULL;
    }
    body = g_malloc(MAX(frame.body, 1));
    if (!shmig_sync_read(fd, body, frame.body, deadline_us, errp)) {
        return NULL;
    }
    if (frame.type == SHMIG_FRAME_ERROR) {
        g_autofree char *text = shmig_text_clean(body, frame.body);

        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PEER, "%s", text);
        return NULL;
    }
    return g_bytes_new_take(g_steal_pointer(&body), frame.body);
}
