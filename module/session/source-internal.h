/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the source's half share. */
#ifndef SHMIG_SESSION_SOURCE_INTERNAL_H
#define SHMIG_SESSION_SOURCE_INTERNAL_H

#include "shmig/base/wait.h"
#include "shmig/disk/bulk.h"
#include "shmig/disk/mirror-set.h"
#include "shmig/pace/bucket.h"
#include "shmig/pace/rate.h"
#include "shmig/ram/send.h"
#include "shmig/session/channel.h"
#include "shmig/session/source.h"

/* See memory.c. */
#define SHMIG_SOURCE_QUEUE_BYTES (16u << 20)

/* One channel of the source.  Everything but @lane belongs to its thread. */
typedef struct ShmigSourceChannel {
    ShmigSource *src;
    ShmigChannel *channel;
    ShmigLane lane;
    ShmigBulk *bulk;
    ShmigRamWalk walk;
    ShmigBatch batch;

    /* What is on its way. */
    ShmigInline *sending_inline;
    bool sending_bulk;
    uint32_t sending_bytes;
    uint64_t inline_ahead; /* bytes of guest writes, of the copy that waits */
    uint64_t place;        /* in the line for max-bandwidth */
    bool seen_finishing;
    bool final_given; /* DRAIN(FINAL) is queued */
    /* Payload of disk records, ever: given to the connection, and written by
     * the destination as far as it said. */
    uint64_t disk_sent, disk_applied;

    /* Under the session's lock. */
    uint64_t drain_asked;    /* the number of the last DRAIN; 0 none */
    uint64_t drain_answered; /* and of the last DRAINED */
    bool final_answered;

    /* For the lane's rate. */
    ShmigRate rate;
    uint64_t sent_bytes; /* payload, ever */
    bool idle;           /* since the last frame there was nothing to send */
} ShmigSourceChannel;

struct ShmigSource {
    /* Constant after start(). */
    ShmigOffer *offer;
    uint8_t session[SHMIG_SESSION_ID_BYTES];
    unsigned n_channels;
    unsigned n_joined;
    ShmigLink *links;
    ShmigTlsCreds *tls; /* NULL: plain */
    int stream_fd;
    ShmigSourceChannel *channels;
    uint32_t n_ram, n_disks;
    ShmigRamBlock *ram;
    ShmigDiskSource *disks;
    ShmigMirror **mirrors;
    ShmigTracker *tracker;

    /* Any thread. */
    ShmigFault fault;
    ShmigStats stats;
    ShmigBucket bucket;

    /* Atomic. */
    bool started; /* the channels run */
    int go;       /* the destination is ready for data */
    int ram_started;
    int tracking;  /* the tracker is started; read with tracking_lock */
    int finishing; /* nothing becomes pending any more */
    unsigned n_seen_finishing;
    uint64_t bandwidth;
    uint64_t wait_below; /* pending bytes that wait() waits for; 0 none */

    /* Held for reading where clear() may be called. */
    pthread_rwlock_t tracking_lock;

    pthread_mutex_t lock;
    pthread_cond_t cond;
    /* Under the lock; @cond tells of changes. */
    int handshake_fd;   /* to be shut down by abort(), or -1 */
    uint64_t barrier;   /* number of the last DRAIN on all channels */
    unsigned n_final;   /* channels whose final drain is out */
    unsigned n_drained; /* and answered */
    bool ready, committed, running;
};

extern const ShmigChannelOps shmig_source_channel_ops;

/* Takes @error; ends the session if it is the first. */
void shmig_source_fail(ShmigSource *src, GError *error);
void shmig_source_channel_init(ShmigSourceChannel *sc, ShmigSource *src,
                               unsigned index);
void shmig_source_channel_destroy(ShmigSourceChannel *sc);
/* Pending bytes of everything, and the lanes' queues. */
uint64_t shmig_source_pending_sum(ShmigSource *src);

#endif
