/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One channel of either side: a thread, its ring and its connection.  Sends
 * control frames first, then the stream's (channel 0), then what the side
 * has; hands out what it receives; ends together with the session.
 *
 * A peer whose host or network is dead is noticed here, and counts as a lost
 * connection.
 *
 * Ending: shmig_channel_end() makes the channel tell the peer why (an ERROR
 * frame, unless the fault came from the peer; without a fault, what is queued
 * and the rest of the stream), wait shortly for the peer to close, and its
 * thread finish once nothing is in flight.  A connection that was lost is told
 * on those that stand.
 */
#ifndef SHMIG_SESSION_CHANNEL_H
#define SHMIG_SESSION_CHANNEL_H

#include "shmig/io/conn.h"
#include "shmig/session/fault.h"
#include "shmig/session/stream.h"

typedef struct ShmigChannel ShmigChannel;

/* All on the channel's thread. */
typedef struct ShmigChannelOps {
    /* A frame that has no body. */
    int (*frame)(void *opaque, const ShmigFrame *frame, const char **why);
    /* As in ShmigConnOps; NULL on the side that gets no data. */
    int (*data)(void *opaque, const ShmigFrame *frame,
                const ShmigRecord *records, struct iovec *iov,
                const char **why);
    int (*payload)(void *opaque, const char **why);
    /*
     * The connection is ready: gives it one frame, or returns false; *wait_ns
     * may be lowered to be asked again without another event.
     */
    bool (*send)(void *opaque, ShmigConn *conn, int64_t *wait_ns);
    /* What send() gave is out. */
    void (*sent)(void *opaque);
    /* Whether the peer may hear of the end of the stream.  Optional: yes. */
    bool (*may_end_stream)(void *opaque);
    /* Whether the peer may hear of a fault.  Optional: yes. */
    bool (*may_say_fault)(void *opaque);
    /* A control frame is given to the connection.  Optional. */
    void (*control_sent)(void *opaque, uint8_t type);
    /*
     * The session or the connection is over: nothing new may be begun.  Comes
     * at least once.  Optional.
     */
    void (*over)(void *opaque);
    /* Whether none of the side's own operations is in flight. */
    bool (*quiet)(void *opaque);
    /* The channel can go on no longer; takes @error. */
    void (*failed)(void *opaque, GError *error);
} ShmigChannelOps;

/*
 * Takes ownership of @link.  The sequence numbers are those after the
 * handshake.  @stream_fd: this session's end of the stream, or -1.
 */
ShmigChannel *shmig_channel_new(unsigned index, ShmigLink link,
                                uint32_t tx_sequence, uint32_t rx_sequence,
                                int stream_fd, ShmigFault *fault,
                                ShmigStats *stats, bool count_rx,
                                const ShmigChannelOps *ops, void *opaque,
                                GError **errp);
ShmigRing *shmig_channel_ring(ShmigChannel *channel);
/* False where the kernel gives no thread: it can be freed, or tried again. */
bool shmig_channel_start(ShmigChannel *channel, GError **errp);

/* The channel's thread: more data may be placed. */
void shmig_channel_resume(ShmigChannel *channel);

/* Any thread: sends a control frame without a body soon. */
void shmig_channel_control(ShmigChannel *channel, uint8_t type, uint16_t flags,
                           uint64_t value);
/* Any thread: asks ops->send() again. */
void shmig_channel_wake(ShmigChannel *channel);
/* Any thread: the session is over. */
void shmig_channel_end(ShmigChannel *channel);
/* Waits for the thread. */
void shmig_channel_join(ShmigChannel *channel);
/* Joined, or never started. */
void shmig_channel_free(ShmigChannel *channel);

#endif
