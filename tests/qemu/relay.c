/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A relay of frames: one thread accepts, and each connection has one thread
 * for each direction, which hands on whole frames.
 *
 * A cut shuts down every socket, so that all threads see an end and leave; new
 * connections are closed as they come.  One who holds a frame back is told.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"
#include "relay.h"
#include "shmig/wire/frame.h"

#define FRAME_TYPE_AT 4
#define FRAME_FLAGS_AT 6
#define FRAME_BODY_AT 16
#define FRAME_PAYLOAD_AT 20
#define FRAME_LIMIT                                           \
    (SHMIG_FRAME_BYTES + SHMIG_MAX_BODY + SHMIG_MAX_PAYLOAD + \
     SHMIG_MAX_RECORDS * SHMIG_RECORD_BYTES)

struct Relay {
    RelayFault fault;
    struct sockaddr_un to;
    int listener;
    GThread *acceptor;

    GMutex lock;
    /* Under the lock. */
    GArray *sockets;    /* of int; all open until the end */
    GPtrArray *threads; /* of GThread */
    unsigned seen;      /* frames like the fault's */
    bool cut;
    bool struck;
    bool released;
    GCond changed; /* any of the three */
};

typedef struct Pump {
    Relay *relay;
    RelaySide from;
    int in, out;
} Pump;

static bool unix_address(struct sockaddr_un *address, const char *path,
                         GError **errp)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(address->sun_path)) {
        return harness_fail(errp, "%s is too long for a socket", path);
    }
    strcpy(address->sun_path, path);
    return true;
}

static bool read_all(int fd, uint8_t *data, size_t bytes)
{
    while (bytes) {
        ssize_t n = recv(fd, data, bytes, MSG_WAITALL);

        if (n <= 0) {
            return false;
        }
        data += n;
        bytes -= n;
    }
    return true;
}

static bool write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes) {
        ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);

        if (n <= 0) {
            return false;
        }
        data += n;
        bytes -= n;
    }
    return true;
}

static uint32_t number_at(const uint8_t *data)
{
    uint32_t value;

    memcpy(&value, data, sizeof(value));
    return GUINT32_FROM_LE(value);
}

/* Reads a frame; its length, or 0 at the end. */
static size_t read_frame(int fd, uint8_t *frame)
{
    size_t more;

    if (!read_all(fd, frame, SHMIG_FRAME_BYTES)) {
        return 0;
    }
    more = (size_t)number_at(frame + FRAME_BODY_AT) +
           number_at(frame + FRAME_PAYLOAD_AT);
    if (SHMIG_FRAME_BYTES + more > FRAME_LIMIT ||
        !read_all(fd, frame + SHMIG_FRAME_BYTES, more)) {
        return 0;
    }
    return SHMIG_FRAME_BYTES + more;
}

static void cut_locked(Relay *relay)
{
    relay->cut = true;
    g_cond_broadcast(&relay->changed);
    for (unsigned i = 0; i < relay->sockets->len; i++) {
        shutdown(g_array_index(relay->sockets, int, i), SHUT_RDWR);
    }
}

void relay_cut(Relay *relay)
{
    g_mutex_lock(&relay->lock);
    cut_locked(relay);
    g_mutex_unlock(&relay->lock);
}

/* The hello, type 0, has no flags. */
static unsigned flags_of(const uint8_t *frame, unsigned type)
{
    return type ? frame[FRAME_FLAGS_AT] | frame[FRAME_FLAGS_AT + 1] << 8 : 0;
}

static bool is_the_one(Relay *relay, RelaySide from, unsigned type,
                       unsigned flags)
{
    const RelayFault *fault = &relay->fault;
    bool is_it = false;

    g_mutex_lock(&relay->lock);
    if (fault->deed != RELAY_NOTHING && from == fault->from &&
        type == fault->frame && !(fault->flags & ~flags)) {
        is_it = relay->seen++ == fault->nth;
        relay->struck |= is_it;
        g_cond_broadcast(&relay->changed);
    }
    g_mutex_unlock(&relay->lock);
    return is_it;
}

static void hold(Relay *relay)
{
    g_mutex_lock(&relay->lock);
    while (!relay->released && !relay->cut) {
        g_cond_wait(&relay->changed, &relay->lock);
    }
    g_mutex_unlock(&relay->lock);
}

static void add_to(uint8_t *frame, const RelayFault *fault)
{
    uint64_t value = 0;

    memcpy(&value, frame + fault->at, fault->bytes);
    value = GUINT64_TO_LE(GUINT64_FROM_LE(value) + fault->number);
    memcpy(frame + fault->at, &value, fault->bytes);
}

static bool ends_it(const RelayFault *fault)
{
    return fault->deed != RELAY_ADD && fault->deed != RELAY_HOLD;
}

/* The frame as it is to be handed on: how much of it, and whether that is
 * all there will be. */
static size_t strike(const RelayFault *fault, uint8_t *frame, size_t bytes,
                     bool *last)
{
    *last = ends_it(fault);
    switch (fault->deed) {
    case RELAY_CUT_BEFORE:
        return 0;
    case RELAY_CUT_WITHIN:
        return bytes / 2;
    case RELAY_ADD:
        add_to(frame, fault);
        return bytes;
    default:
        return bytes;
    }
}

static bool hand_on(Pump *pump, unsigned type, uint8_t *frame, size_t bytes)
{
    bool last = false;

    if (is_the_one(pump->relay, pump->from, type, flags_of(frame, type))) {
        bytes = strike(&pump->relay->fault, frame, bytes, &last);
        if (pump->relay->fault.deed == RELAY_HOLD) {
            hold(pump->relay);
        }
    }
    return write_all(pump->out, frame, bytes) && !last;
}

static void *pump_run(void *opaque)
{
    Pump *pump = opaque;
    g_autofree uint8_t *frame = g_malloc(FRAME_LIMIT);
    size_t bytes = SHMIG_HELLO_BYTES;
    bool on =
        read_all(pump->in, frame, bytes) && hand_on(pump, 0, frame, bytes);

    while (on) {
        bytes = read_frame(pump->in, frame);
        on = bytes && hand_on(pump, frame[FRAME_TYPE_AT], frame, bytes);
    }
    if (relay_has_struck(pump->relay) && ends_it(&pump->relay->fault)) {
        relay_cut(pump->relay);
    }
    /* An end is handed on as well, after all that came before it. */
    shutdown(pump->out, SHUT_WR);
    g_free(pump);
    return NULL;
}

static void start_pump(Relay *relay, RelaySide from, int in, int out)
{
    Pump *pump = g_new0(Pump, 1);

    pump->relay = relay;
    pump->from = from;
    pump->in = in;
    pump->out = out;
    g_ptr_array_add(relay->threads, g_thread_new("pump", pump_run, pump));
}

static void add_connection(Relay *relay, int source)
{
    int dest = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_mutex_lock(&relay->lock);
    if (relay->cut || dest < 0 ||
        connect(dest, (struct sockaddr *)&relay->to, sizeof(relay->to)) < 0) {
        close(source);
        if (dest >= 0) {
            close(dest);
        }
    } else {
        g_array_append_val(relay->sockets, source);
        g_array_append_val(relay->sockets, dest);
        start_pump(relay, RELAY_SOURCE, source, dest);
        start_pump(relay, RELAY_DEST, dest, source);
    }
    g_mutex_unlock(&relay->lock);
}

static void *accept_run(void *opaque)
{
    Relay *relay = opaque;

    for (;;) {
        int fd = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0 && errno != EINTR && errno != ECONNABORTED) {
            return NULL;
        }
        if (fd >= 0) {
            add_connection(relay, fd);
        }
    }
}

Relay *relay_new(const char *path, const char *to, const RelayFault *fault,
                 GError **errp)
{
    Relay *relay = g_new0(Relay, 1);
    struct sockaddr_un own;

    g_mutex_init(&relay->lock);
    g_cond_init(&relay->changed);
    relay->fault = *fault;
    relay->sockets = g_array_new(FALSE, FALSE, sizeof(int));
    relay->threads = g_ptr_array_new();
    relay->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!unix_address(&own, path, errp) ||
        !unix_address(&relay->to, to, errp)) {
        relay_free(relay);
        return NULL;
    }
    if (bind(relay->listener, (struct sockaddr *)&own, sizeof(own)) < 0 ||
        listen(relay->listener, SHMIG_MAX_CHANNELS) < 0) {
        harness_fail(errp, "%s: %s", path, g_strerror(errno));
        relay_free(relay);
        return NULL;
    }
    relay->acceptor = g_thread_new("relay", accept_run, relay);
    return relay;
}

void relay_free(Relay *relay)
{
    if (!relay) {
        return;
    }
    relay_cut(relay);
    shutdown(relay->listener, SHUT_RDWR);
    if (relay->acceptor) {
        g_thread_join(relay->acceptor);
    }
    /* Nobody adds to these any more. */
    for (unsigned i = 0; i < relay->threads->len; i++) {
        g_thread_join(g_ptr_array_index(relay->threads, i));
    }
    for (unsigned i = 0; i < relay->sockets->len; i++) {
        close(g_array_index(relay->sockets, int, i));
    }
    close(relay->listener);
    g_ptr_array_unref(relay->threads);
    g_array_unref(relay->sockets);
    g_cond_clear(&relay->changed);
    g_mutex_clear(&relay->lock);
    g_free(relay);
}

void relay_release(Relay *relay)
{
    g_mutex_lock(&relay->lock);
    relay->released = true;
    g_cond_broadcast(&relay->changed);
    g_mutex_unlock(&relay->lock);
}

bool relay_wait_struck(Relay *relay, double seconds)
{
    int64_t deadline = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    bool struck;

    g_mutex_lock(&relay->lock);
    while (!relay->struck &&
           g_cond_wait_until(&relay->changed, &relay->lock, deadline)) {
    }
    struck = relay->struck;
    g_mutex_unlock(&relay->lock);
    return struck;
}

bool relay_has_struck(Relay *relay)
{
    bool struck;

    g_mutex_lock(&relay->lock);
    struck = relay->struck;
    g_mutex_unlock(&relay->lock);
    return struck;
}
