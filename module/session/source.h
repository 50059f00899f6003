/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's half of a session.
 *
 * Life: new → handshake on channel 0 → join for each further channel →
 * set_disk/set_tracker → start → (wait, harvest, pending)… → finish →
 * commit → free.  abort() is allowed at any moment from any thread; free()
 * after all other calls returned.
 *
 * Unless it says otherwise a function belongs to the control thread (one at
 * a time: QEMU's connecting thread first, its migration thread later).
 * Regions are numbered as in the offer: RAM blocks first, then disks.
 */
#ifndef SHMIG_SESSION_SOURCE_H
#define SHMIG_SESSION_SOURCE_H

#include "shmig/dirty/tracker.h"
#include "shmig/disk/disk.h"
#include "shmig/disk/mirror.h"
#include "shmig/io/tls.h"
#include "shmig/stats/stats.h"
#include "shmig/wire/offer.h"

typedef struct ShmigSource ShmigSource;

/* Takes ownership of @offer, which says how many channels there will be. */
ShmigSource *shmig_source_new(ShmigOffer *offer, GError **errp);
void shmig_source_free(ShmigSource *src);

/* Before handshake(): connections use TLS with these credentials, of a client,
 * which are owned by the session from now on. */
void shmig_source_set_tls(ShmigSource *src, ShmigTlsCreds *tls);

/*
 * Says hello and makes the offer on @fd, a connected stream socket that the
 * session owns from now on, and waits for the answer.  Blocks for at most
 * @timeout_ms; abort() ends it at once.  The error is the destination's own
 * sentence where it refuses, one line per problem.
 */
bool shmig_source_handshake(ShmigSource *src, int fd, int timeout_ms,
                            GError **errp);

/* The same for channel 1, 2, … of the offer, in this order. */
bool shmig_source_join(ShmigSource *src, int fd, int timeout_ms, GError **errp);

/*
 * QEMU's end of the migration stream: a connected unix stream socket, owned
 * by the caller.  Once; after handshake().
 */
int shmig_source_stream(ShmigSource *src);

/* The bytes of RAM block @index; must stay mapped until free(). */
void shmig_source_set_ram(ShmigSource *src, uint32_t index, void *host);
/* The disk to read disk @index from; owned by the session from now on.
 * Returns the mirror to report guest writes to, valid until free(). */
ShmigMirror *shmig_source_set_disk(ShmigSource *src, uint32_t index,
                                   ShmigDisk *disk);
/* Owned by the session from now on. */
void shmig_source_set_tracker(ShmigSource *src, ShmigTracker *tracker);

/* RAM region @index, for trackers.  Valid until free(). */
ShmigRegion *shmig_source_ram_region(ShmigSource *src, uint32_t index);

/*
 * Starts the channel threads: the stream flows at once, disks are copied as
 * soon as the destination says GO.  Disk regions are pending as a whole.
 */
bool shmig_source_start(ShmigSource *src, GError **errp);

/*
 * Lets RAM be copied: starts the tracker.  The caller then marks pending
 * what exists in RAM, with shmig_region_set().  Calls tracker->ops->start().
 */
bool shmig_source_start_ram(ShmigSource *src, GError **errp);
bool shmig_source_ram_started(const ShmigSource *src);

/*
 * After commit() or abort(): ends what start_ram() began, and returns when no
 * channel re-arms pages any more.  Calls tracker->ops->stop(), at most once;
 * shmig_source_free() does it where nobody has.  Control thread.
 */
void shmig_source_stop_ram(ShmigSource *src);

typedef struct ShmigPending {
    uint64_t ram_bytes;
    uint64_t disk_bytes;
    uint64_t queued_bytes; /* of disks: taken, but not yet on the wire */
} ShmigPending;

void shmig_source_pending(ShmigSource *src, ShmigPending *pending);

/* Harvests the tracker.  Pages that became pending, or -errno. */
int64_t shmig_source_harvest(ShmigSource *src, bool last);

/*
 * Waits up to @timeout_ms until less than @below_bytes are pending, or the
 * session failed.  False and the session's first error if it failed.
 */
bool shmig_source_wait(ShmigSource *src, uint64_t below_bytes, int timeout_ms,
                       GError **errp);

/*
 * Asks the destination whether it has caught up: waits up to @timeout_ms
 * until what was sent before a call is applied there, on all channels, and
 * disks are durable that far.  False without an error if it has not yet; a
 * later call goes on waiting.  What is in the sockets and in the
 * destination's queues is no longer pending here, but the guest would wait
 * for it.
 */
bool shmig_source_barrier(ShmigSource *src, int timeout_ms, GError **errp);

/* Bytes per second over all channels; 0 is no limit.  Any thread. */
void shmig_source_set_bandwidth(ShmigSource *src, uint64_t bytes_per_s);

/*
 * The guest is stopped, its disks are drained, harvest(last) was done: sends
 * everything that is pending and the final drain on every channel.  Returns
 * when it is all handed to the sockets.
 */
bool shmig_source_finish(ShmigSource *src, GError **errp);

typedef enum ShmigCommit {
    /* The destination does not own the guest; the source may resume. */
    SHMIG_COMMIT_NOT_SENT,
    /* The destination runs (or owns) the guest. */
    SHMIG_COMMIT_DONE,
    /*
     * COMMIT was sent and no answer came: the destination may own the guest.
     * The source must not resume by itself.
     */
    SHMIG_COMMIT_UNKNOWN,
} ShmigCommit;

/*
 * After finish() and after the whole device state was written to the stream:
 * waits for READY, sends COMMIT, waits for RUNNING.  @may_commit is asked
 * once, right before COMMIT is sent; false turns it into NOT_SENT.  @errp is
 * set unless the result is SHMIG_COMMIT_DONE.
 */
ShmigCommit shmig_source_commit(ShmigSource *src,
                                bool (*may_commit)(void *opaque), void *opaque,
                                GError **errp);

/* Any thread: gives up, tells the peer @reason, shuts every socket down. */
void shmig_source_abort(ShmigSource *src, const char *reason);

/* The first error of the session, or NULL.  Any thread; caller frees. */
GError *shmig_source_error(ShmigSource *src);

/* Statistics.  Any thread. */
const ShmigStats *shmig_source_stats(ShmigSource *src);
const ShmigRegionStats *shmig_source_region_stats(ShmigSource *src,
                                                  uint32_t region);
uint64_t shmig_source_region_pending(ShmigSource *src, uint32_t region);

#endif
