/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the destination's half share. */
#ifndef SHMIG_SESSION_DEST_INTERNAL_H
#define SHMIG_SESSION_DEST_INTERNAL_H

#include "shmig/base/error.h"
#include "shmig/base/wait.h"
#include "shmig/disk/apply.h"
#include "shmig/session/channel.h"
#include "shmig/session/dest.h"
#include "shmig/wire/frame.h"

typedef enum ShmigDestState {
    SHMIG_DEST_LISTENING, /* no session; hellos are answered */
    SHMIG_DEST_OFFERED,   /* channel 0 said hello, its offer is looked at */
    SHMIG_DEST_JOINING,   /* accepted; the other channels come */
    SHMIG_DEST_RUNNING,   /* data flows */
    SHMIG_DEST_LOADED,    /* READY was sent */
    SHMIG_DEST_OWNER,     /* COMMIT came: the guest is ours */
    SHMIG_DEST_FAILED,
} ShmigDestState;

typedef enum ShmigDestEvent {
    SHMIG_DEST_EVENT_CONNECTED = 1,
    SHMIG_DEST_EVENT_DRAINED,
    SHMIG_DEST_EVENT_COMMIT,
    SHMIG_DEST_EVENT_FAILED,
    SHMIG_DEST_EVENT_QUIT,
} ShmigDestEvent;

/* One channel; belongs to its thread. */
typedef struct ShmigDestChannel {
    ShmigDest *dest;
    unsigned index;
    ShmigChannel *channel;
    ShmigApply *apply;
    ShmigRecord records[SHMIG_MAX_RECORDS];
    unsigned n_records;
    bool receiving_disk;
    uint64_t applied_said; /* the value of the last APPLIED */
    bool draining;
    uint64_t drain_value;
    uint16_t drain_flags;
    bool final;
} ShmigDestChannel;

struct ShmigDest {
    /* Constant. */
    const ShmigDestOps *ops;
    void *opaque;
    /* Time limits; a test may shorten them before the first accept(). */
    int64_t hello_us; /* for a hello, an offer, an answer: each */
    int64_t join_us;  /* for all further channels */

    /* Constant once data flows. */
    ShmigOffer *offer;
    uint8_t session[SHMIG_SESSION_ID_BYTES];
    unsigned n_channels;
    ShmigLink *links;
    ShmigTlsCreds *tls; /* NULL: plain */
    int qemu_fd;        /* QEMU's end of the stream */
    ShmigDestChannel *channels;
    uint32_t n_ram, n_disks, n_regions;
    ShmigRegionInfo *regions;
    uint8_t **hosts;
    ShmigDisk **disks;

    /* Any thread. */
    ShmigBuffers *buffers;
    ShmigDurable *durable;
    ShmigFault fault;
    ShmigStats stats;
    int go;   /* atomic: GO was sent, hosts are set */
    int over; /* atomic: nothing that comes matters any more */

    GThread *event_thread; /* tells ops */

    /* Around each call of ops; taken before the other. */
    pthread_mutex_t ops_lock;

    pthread_mutex_t lock;
    pthread_cond_t cond; /* of doors */
    /* Under the lock. */
    ShmigDestState state;
    unsigned n_admitted; /* channels that said a good hello */
    unsigned n_joined;   /* of these: answered */
    int join_fd;         /* eventfd: a join, or the end; or -1 */
    bool started;
    bool closing;
    unsigned n_final;
    int events[SHMIG_DEST_EVENT_QUIT]; /* not yet told; each comes once */
    unsigned n_events;
    pthread_cond_t event_cond;
    GHashTable *doors; /* fds in handshake */
    unsigned n_doors;  /* threads that still use the session */
};

extern const ShmigChannelOps shmig_dest_channel_ops;
extern const ShmigApplyOps shmig_dest_apply_ops;

/* With the lock held. */
void shmig_dest_set_state(ShmigDest *dest, ShmigDestState state);
void shmig_dest_event(ShmigDest *dest, ShmigDestEvent event);
/* Without it: ends the session if it is the first and not ours already. */
void shmig_dest_fail(ShmigDest *dest, GError *error); /* takes @error */
void shmig_dest_fail_text(ShmigDest *dest, ShmigErrorCode code,
                          const char *text);
/* Tells the door that waits for the channels of something new. */
void shmig_dest_tell_joins(ShmigDest *dest);
/* Starts the channels, if all are there.  From a door's thread. */
bool shmig_dest_start(ShmigDest *dest);
/* Channel 0 came and its offer is good: waits for the others, and starts. */
void shmig_dest_gather(ShmigDest *dest);
/* The moment by which what a peer owes us now has to be there. */
int64_t shmig_dest_hello_deadline(const ShmigDest *dest);
/* The thread of a connection that says hello. */
void *shmig_dest_door(void *opaque);
/* What it gets. */
typedef struct ShmigDestDoor {
    ShmigDest *dest;
    int fd;
} ShmigDestDoor;

#endif
