/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Somebody on the line: a thread accepts, and each connection has one for
 * each direction. */
#include "eavesdrop.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"

#define MAGIC "SHMF"
#define MAGIC_BYTES 4
#define CHUNK 65536

struct Eavesdrop {
    EavesdropDeed deed;
    uint64_t at;
    struct sockaddr_un to;
    int listener;
    GThread *acceptor;

    GMutex lock;
    /* Under the lock. */
    GArray *sockets;    /* of int; all open until the end */
    GPtrArray *threads; /* of GThread */
    uint64_t bytes;
    unsigned frames;
};

typedef struct Pump {
    Eavesdrop *tap;
    int in, out;
    bool from_source, first;
} Pump;

static void look(Pump *pump, const uint8_t *bytes, size_t n)
{
    unsigned frames = 0;

    for (size_t i = 0; i + MAGIC_BYTES <= n; i++) {
        frames += memcmp(bytes + i, MAGIC, MAGIC_BYTES) == 0;
    }
    g_mutex_lock(&pump->tap->lock);
    pump->tap->frames += frames;
    pump->tap->bytes += pump->from_source ? n : 0;
    g_mutex_unlock(&pump->tap->lock);
}

static bool hand_on(int fd, const uint8_t *bytes, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        n -= sent;
    }
    return true;
}

/* What happens to @n bytes from @at on; how many of them go on. */
static size_t strike(const Pump *pump, uint8_t *bytes, uint64_t at, size_t n)
{
    const Eavesdrop *tap = pump->tap;

    if (tap->deed == EAVESDROP_LISTEN || !pump->first || !pump->from_source ||
        tap->at < at || tap->at >= at + n) {
        return n;
    }
    if (tap->deed == EAVESDROP_CHANGE) {
        bytes[tap->at - at] ^= 1;
        return n;
    }
    return tap->at - at;
}

static void *pump_thread(void *opaque)
{
    g_autofree Pump *pump = opaque;
    g_autofree uint8_t *bytes = g_malloc(CHUNK);
    uint64_t at = 0;
    ssize_t n;

    while ((n = recv(pump->in, bytes, CHUNK, 0)) > 0) {
        size_t goes_on = strike(pump, bytes, at, n);

        look(pump, bytes, n);
        if (!hand_on(pump->out, bytes, goes_on)) {
            break;
        }
        if (goes_on < n) {
            shutdown(pump->in, SHUT_WR);
            break;
        }
        at += n;
    }
    shutdown(pump->out, SHUT_WR);
    return NULL;
}

/* With the lock held. */
static void start_pump(Eavesdrop *tap, int in, int out, bool from_source)
{
    Pump *pump = g_new(Pump, 1);

    *pump = (Pump) { tap, in, out, from_source, tap->threads->len < 2 };
    g_ptr_array_add(tap->threads, g_thread_new("tap", pump_thread, pump));
}

static void *accept_thread(void *opaque)
{
    Eavesdrop *tap = opaque;
    int source;

    while ((source = accept(tap->listener, NULL, NULL)) >= 0) {
        int dest = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_mutex_lock(&tap->lock);
        g_array_append_val(tap->sockets, source);
        g_array_append_val(tap->sockets, dest);
        if (connect(dest, (void *)&tap->to, sizeof(tap->to)) == 0) {
            start_pump(tap, source, dest, true);
            start_pump(tap, dest, source, false);
        } else {
            shutdown(source, SHUT_RDWR);
        }
        g_mutex_unlock(&tap->lock);
    }
    return NULL;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    g_assert_cmpuint(strlen(path), <, sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    return address;
}

Eavesdrop *eavesdrop_new(const char *path, const char *to, EavesdropDeed deed,
                         uint64_t at, GError **errp)
{
    struct sockaddr_un address = address_of(path);
    Eavesdrop *tap = g_new0(Eavesdrop, 1);

    tap->deed = deed;
    tap->at = at;
    tap->to = address_of(to);
    tap->sockets = g_array_new(false, false, sizeof(int));
    tap->threads = g_ptr_array_new();
    g_mutex_init(&tap->lock);
    tap->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(tap->listener, (void *)&address, sizeof(address)) < 0 ||
        listen(tap->listener, 64) < 0) {
        harness_fail(errp, "%s: %s", path, g_strerror(errno));
        eavesdrop_free(tap);
        return NULL;
    }
    tap->acceptor = g_thread_new("tap-accept", accept_thread, tap);
    return tap;
}

void eavesdrop_free(Eavesdrop *tap)
{
    if (!tap) {
        return;
    }
    shutdown(tap->listener, SHUT_RDWR);
    if (tap->acceptor) {
        g_thread_join(tap->acceptor);
    }
    for (unsigned i = 0; i < tap->sockets->len; i++) {
        shutdown(g_array_index(tap->sockets, int, i), SHUT_RDWR);
    }
    for (unsigned i = 0; i < tap->threads->len; i++) {
        g_thread_join(g_ptr_array_index(tap->threads, i));
    }
    for (unsigned i = 0; i < tap->sockets->len; i++) {
        close(g_array_index(tap->sockets, int, i));
    }
    close(tap->listener);
    g_array_unref(tap->sockets);
    g_ptr_array_unref(tap->threads);
    g_mutex_clear(&tap->lock);
    g_free(tap);
}

uint64_t eavesdrop_bytes(Eavesdrop *tap)
{
    uint64_t bytes;

    g_mutex_lock(&tap->lock);
    bytes = tap->bytes;
    g_mutex_unlock(&tap->lock);
    return bytes;
}

unsigned eavesdrop_frames(Eavesdrop *tap)
{
    unsigned frames;

    g_mutex_lock(&tap->lock);
    frames = tap->frames;
    g_mutex_unlock(&tap->lock);
    return frames;
}
