/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocking exchange with a deadline, used by the handshake only. */
#include "shmig/io/sync.h"
#include "shmig/base/error.h"
#include "shmig/wire/text.h"
#include "shmig/wire/tls-record.h"

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

static void set_failed(GError **errp, const char *reason)
{
    g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LOST,
                "the connection failed: %s", reason);
}

static bool send_all(int fd, const uint8_t *p, size_t bytes,
                     int64_t deadline_us, GError **errp)
{
    while (bytes) {
        ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            p += n;
            bytes -= n;
        } else if (!again(errno)) {
            set_failed(errp, g_strerror(errno));
            return false;
        } else if (!wait_for(fd, POLLOUT, deadline_us, errp)) {
            return false;
        }
    }
    return true;
}

/* At least one byte; 0 at the end of file, or -1 with an error. */
static ssize_t receive(int fd, void *buf, size_t bytes, int flags,
                       int64_t deadline_us, GError **errp)
{
    for (;;) {
        ssize_t n = recv(fd, buf, bytes, MSG_DONTWAIT | flags);

        if (n >= 0) {
            return n;
        }
        if (!again(errno)) {
            set_failed(errp, g_strerror(errno));
            return -1;
        }
        if (!wait_for(fd, POLLIN, deadline_us, errp)) {
            return -1;
        }
    }
}

static bool set_closed(GError **errp)
{
    g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LOST,
                "the peer closed the connection");
    return false;
}

/* Sends what TLS has for the peer. */
static bool flush(const ShmigLink *link, int64_t deadline_us, GError **errp)
{
    size_t bytes;
    const void *p = shmig_tls_unsent(link->tls, &bytes);
    bool ok = send_all(link->fd, p, bytes, deadline_us, errp);

    shmig_tls_sent(link->tls, bytes);
    return ok;
}

/* As receive(), for TLS. */
static ssize_t fill(const ShmigLink *link, int64_t deadline_us, GError **errp)
{
    size_t room;
    void *p = shmig_tls_space(link->tls, &room);
    ssize_t n = receive(link->fd, p, room, 0, deadline_us, errp);

    shmig_tls_received(link->tls, MAX(n, 0));
    return n;
}

static bool write_tls(const ShmigLink *link, const void *buf, size_t bytes,
                      int64_t deadline_us, GError **errp)
{
    struct iovec iov = { (void *)buf, bytes };
    unsigned at = 0;

    while (at < 1) {
        int err = shmig_tls_encrypt(link->tls, &iov, &at, 1);

        if (err < 0) {
            set_failed(errp, shmig_tls_strerror(err));
            return false;
        }
        if (!flush(link, deadline_us, errp)) {
            return false;
        }
    }
    return true;
}

bool shmig_sync_write(const ShmigLink *link, const void *buf, size_t bytes,
                      int64_t deadline_us, GError **errp)
{
    return link->tls ? write_tls(link, buf, bytes, deadline_us, errp)
                     : send_all(link->fd, buf, bytes, deadline_us, errp);
}

/* At least one byte, decrypted; 0 at the peer's end, or -1 with an error. */
static ssize_t receive_tls(const ShmigLink *link, void *buf, size_t bytes,
                           int64_t deadline_us, GError **errp)
{
    for (;;) {
        ssize_t n = link->tls->ops->decrypt(link->tls, buf, bytes);

        if (n >= 0) {
            return n;
        }
        if (n != -EAGAIN) {
            set_failed(errp, shmig_tls_strerror(n));
            return -1;
        }
        n = fill(link, deadline_us, errp);
        if (n == 0) {
            set_failed(errp, shmig_tls_strerror(-ECONNRESET));
        }
        if (n <= 0) {
            return -1;
        }
    }
}

bool shmig_sync_read(const ShmigLink *link, void *buf, size_t bytes,
                     int64_t deadline_us, GError **errp)
{
    uint8_t *p = buf;

    while (bytes) {
        ssize_t n = link->tls
                        ? receive_tls(link, p, bytes, deadline_us, errp)
                        : receive(link->fd, p, bytes, 0, deadline_us, errp);

        if (n < 0) {
            return false;
        }
        if (n == 0) {
            return set_closed(errp);
        }
        p += n;
        bytes -= n;
    }
    return true;
}

bool shmig_sync_peek(const ShmigLink *link, uint8_t *byte, int64_t deadline_us,
                     GError **errp)
{
    ssize_t n = receive(link->fd, byte, 1, MSG_PEEK, deadline_us, errp);

    return n > 0 || (n == 0 && set_closed(errp));
}

/* What the peer says to our part of a handshake. */
static bool receive_handshake(const ShmigLink *link, int64_t deadline_us,
                              GError **errp)
{
    const uint8_t *first = link->tls->in.bytes + link->tls->in.end;
    ssize_t n = fill(link, deadline_us, errp);

    if (n == 0) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LOST,
                    "the peer ended the TLS handshake without a word: it may "
                    "not know this side's key, or not take its certificate");
    }
    if (n > 0 && !link->tls->heard && !shmig_tls_record_may_begin(*first)) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "the peer does not use TLS, and this side does; set "
                    "tls-creds on both sides, or on neither");
        return false;
    }
    link->tls->heard = true;
    return n > 0;
}

bool shmig_sync_handshake(const ShmigLink *link, int64_t deadline_us,
                          GError **errp)
{
    int done;

    do {
        done = link->tls->ops->handshake(link->tls, errp);
        /* An alert too, and why it failed matters more than how it went. */
        if (!flush(link, deadline_us, done < 0 ? NULL : errp)) {
            return false;
        }
    } while (done == 0 && receive_handshake(link, deadline_us, errp));
    return done > 0;
}

void shmig_sync_end(const ShmigLink *link, int64_t deadline_us)
{
    if (link->tls && link->tls->ops->bye(link->tls) == 0) {
        flush(link, deadline_us, NULL);
    }
    shutdown(link->fd, SHUT_WR);
}

bool shmig_sync_send_hello(const ShmigLink *link, const ShmigHello *hello,
                           int64_t deadline_us, GError **errp)
{
    uint8_t raw[SHMIG_HELLO_BYTES];

    shmig_hello_encode(hello, raw);
    return shmig_sync_write(link, raw, sizeof(raw), deadline_us, errp);
}

bool shmig_sync_recv_hello(const ShmigLink *link, ShmigHello *hello,
                           int64_t deadline_us, GError **errp)
{
    uint8_t raw[SHMIG_HELLO_BYTES];
    const char *why;

    if (!shmig_sync_read(link, raw, sizeof(raw), deadline_us, errp)) {
        return false;
    }
    if (shmig_hello_decode(raw, hello, &why) < 0) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "the peer broke the protocol: %s", why);
        return false;
    }
    return true;
}

bool shmig_sync_send_frame(const ShmigLink *link, uint8_t type,
                           uint32_t sequence, GBytes *body, int64_t deadline_us,
                           GError **errp)
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
    return shmig_sync_write(link, raw, sizeof(raw), deadline_us, errp) &&
           shmig_sync_write(link, data, bytes, deadline_us, errp);
}

GBytes *shmig_sync_recv_frame(const ShmigLink *link, uint8_t type,
                              uint32_t sequence, int64_t deadline_us,
                              GError **errp)
{
    uint8_t raw[SHMIG_FRAME_BYTES];
    g_autofree uint8_t *body = NULL;
    ShmigFrame frame;
    const char *why;

    if (!shmig_sync_read(link, raw, sizeof(raw), deadline_us, errp)) {
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
    if (!shmig_sync_read(link, body, frame.body, deadline_us, errp)) {
        return NULL;
    }
    if (frame.type == SHMIG_FRAME_ERROR) {
        g_autofree char *text = shmig_text_clean(body, frame.body);

        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PEER, "%s", text);
        return NULL;
    }
    return g_bytes_new_take(g_steal_pointer(&body), frame.body);
}
