/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One channel of either side.
 *
 * States of the thread: RUN → LAST_WORDS (what has to be said is on its way:
 * an ERROR frame; or, if all is well, queued control frames and the rest of
 * the stream) → LINGER (waits for the peer to read it and close) → CLOSED
 * (waits for what is in flight).  The two in the middle end at a deadline.
 */
#include "shmig/session/channel.h"
#include "shmig/base/clock.h"
#include "shmig/base/error.h"
#include "shmig/base/thread.h"
#include "shmig/base/wait.h"
#include "shmig/io/socket.h"
#include "shmig/wire/text.h"

#include <errno.h>
#include <string.h>

#define RING_ENTRIES 256
/* For the peer to read why we end; a dead peer must not hold us longer. */
#define LAST_WORDS_NS 500000000
#define MAX_CONTROL 16
/* How often the kernel is asked whether the peer still answers. */
#define LOOK_NS 250000000

typedef enum ChannelState {
    CHANNEL_RUN,
    CHANNEL_LAST_WORDS,
    CHANNEL_LINGER,
    CHANNEL_CLOSED,
} ChannelState;

struct ShmigChannel {
    /* Constant. */
    unsigned index;
    int fd;
    ShmigFault *fault;
    ShmigStats *stats;
    const ShmigChannelOps *ops;
    void *opaque;
    ShmigRing *ring;
    ShmigConn *conn;
    ShmigStream *stream;
    GThread *thread;
    bool can_be_silent;

    /* The thread. */
    ChannelState state;
    bool conn_closed;
    bool sending; /* what ops->send() gave is on its way */
    int64_t deadline_ns;
    int64_t look_ns; /* when the peer is looked for next */
    ShmigHeard heard;

    /* Atomic. */
    int ending;

    pthread_mutex_t lock;
    /* Under the lock. */
    ShmigFrame control[MAX_CONTROL];
    unsigned n_control;
};

static void fail(ShmigChannel *channel, ShmigErrorCode code, const char *text)
{
    channel->ops->failed(channel->opaque,
                         g_error_new_literal(SHMIG_ERROR, code, text));
}

static void fail_ring(ShmigChannel *channel, int err)
{
    GError *error = NULL;

    shmig_ring_set_error(&error, -err);
    channel->ops->failed(channel->opaque, error);
}

static int stream_frame(ShmigChannel *channel, const ShmigFrame *frame,
                        const uint8_t *body, const char **why)
{
    if (!channel->stream) {
        *why = "a stream frame on a channel that carries no stream";
        return -EPROTO;
    }
    if (frame->type == SHMIG_FRAME_CREDIT) {
        return shmig_stream_credited(channel->stream, frame->value, why);
    }
    if (channel->conn_closed) {
        return 0;
    }
    return shmig_stream_received(channel->stream, body, frame->body,
                                 frame->flags & SHMIG_FRAME_EOF, why);
}

static int on_frame(void *opaque, const ShmigFrame *frame, const uint8_t *body,
                    const char **why)
{
    ShmigChannel *channel = opaque;

    switch (frame->type) {
    case SHMIG_FRAME_STREAM:
    case SHMIG_FRAME_CREDIT:
        return stream_frame(channel, frame, body, why);
    case SHMIG_FRAME_ERROR: {
        g_autofree char *text = shmig_text_clean(body, frame->body);

        fail(channel, SHMIG_ERROR_PEER, text);
        return -ESHUTDOWN;
    }
    default:
        return channel->ops->frame(channel->opaque, frame, why);
    }
}

static int on_data(void *opaque, const ShmigFrame *frame,
                   const ShmigRecord *records, struct iovec *iov,
                   const char **why)
{
    ShmigChannel *channel = opaque;

    if (!channel->ops->data) {
        *why = "data sent to the source";
        return -EPROTO;
    }
    return channel->ops->data(channel->opaque, frame, records, iov, why);
}

static int on_payload(void *opaque, const char **why)
{
    ShmigChannel *channel = opaque;

    return channel->ops->payload(channel->opaque, why);
}

static void on_sent(void *opaque)
{
    ShmigChannel *channel = opaque;

    if (channel->sending) {
        channel->sending = false;
        channel->ops->sent(channel->opaque);
    }
}

static void over(ShmigChannel *channel)
{
    if (channel->ops->over) {
        channel->ops->over(channel->opaque);
    }
}

static void on_broken(void *opaque, const char *why)
{
    ShmigChannel *channel = opaque;
    g_autofree char *text = g_strdup_printf(
        "the peer broke the protocol on channel %u: %s", channel->index, why);

    fail(channel, SHMIG_ERROR_PROTOCOL, text);
}

static void on_closed(void *opaque, int err)
{
    ShmigChannel *channel = opaque;
    g_autofree char *text = NULL;

    channel->conn_closed = true;
    over(channel);
    if (err == 0) {
        text = g_strdup_printf("the peer closed channel %u", channel->index);
        fail(channel, SHMIG_ERROR_LOST, text);
    } else {
        text = g_strdup_printf("the connection of channel %u was lost: %s",
                               channel->index, shmig_tls_strerror(err));
        fail(channel, SHMIG_ERROR_LOST, text);
    }
    if (channel->stream) {
        shmig_stream_peer_gone(channel->stream);
    }
}

static const ShmigConnOps conn_ops = {
    .frame = on_frame,
    .data = on_data,
    .payload = on_payload,
    .broken = on_broken,
    .sent = on_sent,
    .closed = on_closed,
};

static bool send_control(ShmigChannel *channel)
{
    ShmigFrame frame;

    pthread_mutex_lock(&channel->lock);
    if (!channel->n_control) {
        pthread_mutex_unlock(&channel->lock);
        return false;
    }
    frame = channel->control[0];
    channel->n_control--;
    memmove(channel->control, channel->control + 1,
            channel->n_control * sizeof(frame));
    pthread_mutex_unlock(&channel->lock);
    if (channel->ops->control_sent) {
        channel->ops->control_sent(channel->opaque, frame.type);
    }
    shmig_conn_send(channel->conn, &frame, NULL, NULL, 0);
    return true;
}

static bool may_end_stream(ShmigChannel *channel)
{
    return !channel->ops->may_end_stream ||
           channel->ops->may_end_stream(channel->opaque);
}

static bool send_stream(ShmigChannel *channel)
{
    ShmigFrame frame = { .type = SHMIG_FRAME_CREDIT };
    const uint8_t *bytes;
    bool eof;

    if (!channel->stream) {
        return false;
    }
    frame.value = shmig_stream_credit_due(channel->stream);
    if (frame.value) {
        shmig_conn_send(channel->conn, &frame, NULL, NULL, 0);
        return true;
    }
    frame.body = shmig_stream_peek(channel->stream, &bytes, &eof);
    if (!frame.body && (!eof || !may_end_stream(channel))) {
        return false;
    }
    frame.type = SHMIG_FRAME_STREAM;
    frame.flags = eof ? SHMIG_FRAME_EOF : 0;
    shmig_count(&channel->stats->stream_bytes, frame.body);
    shmig_conn_send(channel->conn, &frame, bytes, NULL, 0);
    shmig_stream_next(channel->stream);
    return true;
}

static void run(ShmigChannel *channel, int64_t *wait_ns)
{
    if (!shmig_conn_ready(channel->conn) || send_control(channel) ||
        send_stream(channel)) {
        return;
    }
    if (channel->ops->send(channel->opaque, channel->conn, wait_ns)) {
        channel->sending = true;
    }
}

static bool is_patient(ShmigChannel *channel)
{
    return channel->ops->is_patient &&
           channel->ops->is_patient(channel->opaque);
}

/*
 * The kernel tells nobody of a peer that is merely silent, so it is asked now
 * and then.
 */
static void look(ShmigChannel *channel, int64_t *wait_ns)
{
    int64_t now = shmig_now_ns();
    g_autofree char *text = NULL;

    if (!channel->can_be_silent) {
        return;
    }
    if (now >= channel->look_ns &&
        shmig_socket_is_silent(channel->fd, &channel->heard, now) &&
        !is_patient(channel)) {
        text = g_strdup_printf("the peer was not heard of on channel %u for "
                               "%d s; is its host up, and the network?",
                               channel->index, SHMIG_SOCKET_SILENT_MS / 1000);
        fail(channel, SHMIG_ERROR_LOST, text);
        shmig_conn_close(channel->conn, -ETIMEDOUT);
        return;
    }
    if (now >= channel->look_ns) {
        channel->look_ns = now + LOOK_NS;
    }
    if (*wait_ns < 0 || *wait_ns > channel->look_ns - now) {
        *wait_ns = channel->look_ns - now;
    }
}

/* Whether the peer should be told about our fault, and what. */
static char *last_words(ShmigChannel *channel)
{
    g_autoptr(GError) error = shmig_fault_get(channel->fault);

    if (!error || error->code == SHMIG_ERROR_PEER ||
        (channel->ops->may_say_fault &&
         !channel->ops->may_say_fault(channel->opaque))) {
        return NULL;
    }
    return shmig_text_clean(error->message, strlen(error->message));
}

static void set_state(ShmigChannel *channel, ChannelState state)
{
    g_debug("channel %u: state %d to %d", channel->index, channel->state,
            state);
    channel->state = state;
}

/*
 * The session ended well: RUNNING may still be queued, and the last bytes of
 * the stream on their way.
 */
static void finish_talking(ShmigChannel *channel)
{
    if (!shmig_conn_ready(channel->conn) || send_control(channel) ||
        send_stream(channel)) {
        return;
    }
    if (!channel->stream || shmig_stream_ended(channel->stream)) {
        set_state(channel, CHANNEL_LINGER);
    }
}

static void say_last_words(ShmigChannel *channel)
{
    g_autofree char *text = last_words(channel);
    ShmigFrame frame = { .type = SHMIG_FRAME_ERROR };

    if (!shmig_fault_is_set(channel->fault)) {
        finish_talking(channel);
    } else if (!text) {
        set_state(channel, CHANNEL_CLOSED);
        shmig_conn_close(channel->conn, -ECANCELED);
    } else if (shmig_conn_ready(channel->conn) && !send_control(channel)) {
        /* COMMIT that was queued is out: ERROR never stands in its place. */
        frame.body = strlen(text);
        shmig_conn_send(channel->conn, &frame, text, NULL, 0);
        set_state(channel, CHANNEL_LINGER);
    }
}

/* The way down; *wait_ns is until when nothing has to be done. */
static void end(ShmigChannel *channel, int64_t *wait_ns)
{
    if (channel->state == CHANNEL_RUN) {
        over(channel);
        channel->deadline_ns = shmig_now_ns() + LAST_WORDS_NS;
        set_state(channel, CHANNEL_LAST_WORDS);
    }
    if (channel->state == CHANNEL_LAST_WORDS) {
        say_last_words(channel);
    }
    if (channel->state == CHANNEL_LINGER && shmig_conn_ready(channel->conn)) {
        /* Sent; the peer answers by closing. */
        shmig_conn_end(channel->conn);
    }
    if (channel->state == CHANNEL_CLOSED) {
        return;
    }
    *wait_ns = channel->deadline_ns - shmig_now_ns();
    if (*wait_ns <= 0) {
        set_state(channel, CHANNEL_CLOSED);
        shmig_conn_close(channel->conn, -ETIMEDOUT);
        *wait_ns = 0;
    }
}

static bool is_over(ShmigChannel *channel)
{
    return channel->conn_closed && channel->ops->quiet(channel->opaque) &&
           shmig_ring_in_flight(channel->ring) == 0;
}

static void *channel_thread(void *opaque)
{
    ShmigChannel *channel = opaque;

    shmig_conn_start(channel->conn);
    if (channel->stream) {
        shmig_stream_start(channel->stream);
    }
    while (!is_over(channel)) {
        int64_t wait_ns = -1;
        int ret;

        if (channel->conn_closed) {
            /* Only what is in flight is waited for. */
        } else if (__atomic_load_n(&channel->ending, __ATOMIC_ACQUIRE)) {
            end(channel, &wait_ns);
        } else {
            run(channel, &wait_ns);
            look(channel, &wait_ns);
        }
        if (is_over(channel)) {
            break;
        }
        ret = shmig_ring_run(channel->ring, wait_ns);
        if (ret < 0 && ret != -EINTR && ret != -ETIME && ret != -EAGAIN) {
            fail_ring(channel, ret);
        }
    }
    return NULL;
}

void shmig_channel_resume(ShmigChannel *channel)
{
    shmig_conn_resume(channel->conn);
}

ShmigRing *shmig_channel_ring(ShmigChannel *channel)
{
    return channel->ring;
}

void shmig_channel_control(ShmigChannel *channel, uint8_t type, uint16_t flags,
                           uint64_t value)
{
    ShmigFrame frame = { .type = type, .flags = flags, .value = value };

    pthread_mutex_lock(&channel->lock);
    g_assert(channel->n_control < MAX_CONTROL);
    channel->control[channel->n_control++] = frame;
    pthread_mutex_unlock(&channel->lock);
    shmig_channel_wake(channel);
}

void shmig_channel_wake(ShmigChannel *channel)
{
    shmig_ring_wake(channel->ring);
}

void shmig_channel_end(ShmigChannel *channel)
{
    __atomic_store_n(&channel->ending, 1, __ATOMIC_RELEASE);
    if (channel->stream) {
        shmig_stream_shutdown(channel->stream);
    }
    shmig_ring_wake(channel->ring);
}

bool shmig_channel_start(ShmigChannel *channel, GError **errp)
{
    g_autofree char *name = g_strdup_printf("shmig-%u", channel->index);

    channel->thread = shmig_thread_new(name, channel_thread, channel, errp);
    return channel->thread != NULL;
}

void shmig_channel_join(ShmigChannel *channel)
{
    if (channel->thread) {
        g_thread_join(g_steal_pointer(&channel->thread));
    }
}

ShmigChannel *shmig_channel_new(unsigned index, ShmigLink link,
                                uint32_t tx_sequence, uint32_t rx_sequence,
                                int stream_fd, ShmigFault *fault,
                                ShmigStats *stats, bool count_rx,
                                const ShmigChannelOps *ops, void *opaque,
                                GError **errp)
{
    ShmigRing *ring = shmig_ring_new(RING_ENTRIES, errp);
    ShmigChannel *channel;

    if (!ring) {
        return NULL;
    }
    channel = g_new0(ShmigChannel, 1);
    channel->index = index;
    channel->fd = link.fd;
    channel->can_be_silent = shmig_socket_can_be_silent(link.fd);
    channel->fault = fault;
    channel->stats = stats;
    channel->ops = ops;
    channel->opaque = opaque;
    channel->ring = ring;
    channel->conn = shmig_conn_new(ring, link, tx_sequence, rx_sequence,
                                   &conn_ops, channel, stats, count_rx);
    if (stream_fd >= 0) {
        channel->stream = shmig_stream_new(ring, stream_fd);
    }
    pthread_mutex_init(&channel->lock, NULL);
    return channel;
}

void shmig_channel_free(ShmigChannel *channel)
{
    if (channel) {
        shmig_conn_free(channel->conn);
        shmig_stream_free(channel->stream);
        shmig_ring_free(channel->ring);
        pthread_mutex_destroy(&channel->lock);
        g_free(channel);
    }
}
