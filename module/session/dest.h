/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's half of a session.
 *
 * Life: new → accept for each connection that comes in → ops->check decides
 * on the offer → ops->connected hands the stream out → go → ops->drained →
 * ready → ops->commit → running → free.  ops->failed may come at any time
 * after new and before commit, once; it is the last call then.
 *
 * The ops are called on threads of the library, never two at once, and may
 * block (check takes QEMU's lock).  No function here may be called from
 * within them except set_ram and set_disk from check.
 */
#ifndef SHMIG_SESSION_DEST_H
#define SHMIG_SESSION_DEST_H

#include "shmig/disk/disk.h"
#include "shmig/io/tls.h"
#include "shmig/stats/stats.h"
#include "shmig/wire/offer.h"

typedef struct ShmigDest ShmigDest;

typedef struct ShmigDestOps {
    /*
     * A peer made an offer.  Appends a sentence (g_strdup'ed) to @problems
     * for each thing that cannot work; otherwise calls set_disk for every
     * disk of the offer.  Nothing the guest owns is touched before this
     * accepted.
     */
    void (*check)(void *opaque, ShmigDest *dest, const ShmigOffer *offer,
                  GPtrArray *problems);
    /*
     * All channels are joined.  @stream_fd is QEMU's end of the migration
     * stream (a connected unix stream socket), owned by the callee.
     */
    void (*connected)(void *opaque, int stream_fd);
    /* All RAM and disk bytes are applied and the disks are durable; none of
     * the disks is used any more. */
    void (*drained)(void *opaque);
    /* The source gave the guest away: it is ours now. */
    void (*commit)(void *opaque);
    /* The session is over, nothing is owned; @error is its first error. */
    void (*failed)(void *opaque, const GError *error);
} ShmigDestOps;

ShmigDest *shmig_dest_new(const ShmigDestOps *ops, void *opaque, GError **errp);

/*
 * Ends everything, joins all threads, frees the disks.  NULL is fine.  A source
 * that has not given the guest away is told that it keeps it.  Waits for calls
 * of ops that are under way, and for requests in flight on the disks: never on
 * a thread that one of these waits for.
 */
void shmig_dest_free(ShmigDest *dest);

/* Before accept(): connections have to use TLS with these credentials, of a
 * server, which are owned by the session from now on. */
void shmig_dest_set_tls(ShmigDest *dest, ShmigTlsCreds *tls);

/*
 * A connection came in; @fd is owned by the session from now on.  Never
 * blocks.  Peers that are not shmig, are late, or belong to another session
 * get a sentence and are closed, without harm to a session in progress.
 */
void shmig_dest_accept(ShmigDest *dest, int fd);

/* Only within ops->check: the disk that offer disk @index is written to;
 * owned by the session from now on. */
void shmig_dest_set_disk(ShmigDest *dest, uint32_t index, ShmigDisk *disk);

/* Before go(): the memory of offer RAM block @index, of the offered size;
 * must stay mapped until free(). */
void shmig_dest_set_ram(ShmigDest *dest, uint32_t index, void *host);

/* All RAM is set: the source may send.  Only the first call says so. */
void shmig_dest_go(ShmigDest *dest);

/* After ops->drained: the device state is loaded.  Any thread. */
void shmig_dest_ready(ShmigDest *dest);

/* After ops->commit: the guest runs here, or is owned and stays paused. */
void shmig_dest_running(ShmigDest *dest);

/* Any thread: gives up and tells the peer @reason. */
void shmig_dest_abort(ShmigDest *dest, const char *reason);

/* The first error of the session, or NULL.  Any thread; caller frees. */
GError *shmig_dest_error(ShmigDest *dest);

/* Bytes received on all connections.  Any thread. */
const ShmigStats *shmig_dest_stats(ShmigDest *dest);

#endif
