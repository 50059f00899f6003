/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the QEMU glue share: the one outgoing and the one
 * incoming migration there can be.
 *
 * outgoing.c starts and ends an outgoing migration, connect.c connects it,
 * save.c is its part in the migration thread.  incoming.c and load.c are the
 * two parts of an incoming one.
 */
#ifndef SHMIG_QEMU_GLUE_H
#define SHMIG_QEMU_GLUE_H

#include "qapi/error.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/shmig.h"

#include "disk.h"
#include "ram-blocks.h"
#include "throttle.h"
#include "shmig/pace/rounds.h"

/* What a section of ours in the migration stream is about. */
typedef enum ShmigSection {
    SHMIG_SECTION_BLOCKS = 1, /* u32 count, then for each: name, u64 bytes */
    SHMIG_SECTION_PROGRESS = 2,
    SHMIG_SECTION_END = 3,
} ShmigSection;

#define SHMIG_SECTION_VERSION 1

typedef struct ShmigConnect ShmigConnect;

typedef struct ShmigOutgoing {
    /* Constant from when the migration thread starts. */
    MigrationState *s;
    ShmigSource *source;
    ShmigDiskSet *disks;
    ShmigRamBlocks *ram;
    ShmigTracker *tracker; /* the session owns it */
    uint32_t channels;
    uint64_t disk_total_bytes;

    /* Main thread: not NULL while connecting. */
    ShmigConnect *connect;

    /* Atomic: a ShmigPhase, and bytes per second. */
    int phase;
    uint64_t rate;
    uint64_t dirty_rate;

    /* BQL: COMMIT may be on its way, there is no going back. */
    bool committed;
    /* Migration thread, then main thread: the destination has the guest. */
    bool given_away;

    /* Migration thread. */
    ShmigRounds rounds;
    ShmigThrottle throttle;
    uint64_t bandwidth;    /* as told to the session last */
    unsigned barriers;     /* that the destination answered */
    int64_t may_switch_ns; /* when it was decided to; else 0 */
} ShmigOutgoing;

typedef struct ShmigIncoming ShmigIncoming;

/* NULL if there is none.  Set and cleared on the main thread. */
extern ShmigOutgoing *shmig_outgoing;
extern ShmigIncoming *shmig_incoming;

void shmig_set_phase(ShmigOutgoing *out, ShmigPhase phase);

/* A GError as an Error; takes @gerr. */
void shmig_propagate(Error **errp, GError *gerr);

/* Has @fn called by the main loop, not inside of any nested one; it has to
 * return G_SOURCE_REMOVE.  Any thread. */
void shmig_main_call(GSourceFunc fn, void *opaque);

/* uri.c */
/* Whether the address and the numbers can work; @incoming: on that side. */
bool shmig_args_check(const ShmigMigrationArgs *args, bool incoming,
                      Error **errp);
/* The selection as shmig_disks_collect() takes it; NULL: none was made. */
char *shmig_args_disks(const ShmigMigrationArgs *args);

/* connect.c */
/*
 * Connects to @address on a thread, says hello and makes the offer; then
 * calls @done on the main thread, with NULL or what went wrong, which it
 * frees.  @source must stay until then.
 */
ShmigConnect *shmig_connect_start(ShmigSource *source, uint32_t channels,
                                  const SocketAddress *address,
                                  void (*done)(Error *error));
/* done() will not be called; the thread frees the session when it ends. */
void shmig_connect_abandon(ShmigConnect *connect);

/* outgoing.c */
/* The session failed or must fail: keeps the reason, for the peer too. */
void shmig_outgoing_fail(ShmigOutgoing *out, const char *reason);
/* Migration thread: waits for a cancel that is under way. */
void shmig_let_cancel_through(void);

/* Everything of the outgoing migration goes; main thread. */
void shmig_outgoing_end(void);

/* save.c */
void shmig_register_savevm(void);
/* Keeps the first error, in QEMU and for the peer; takes it; always -EIO. */
int shmig_save_fail(ShmigOutgoing *out, Error *error);
/* Tells QEMU's counters what the session has sent. */
void shmig_count_sent(ShmigOutgoing *out);

/* incoming.c */
bool shmig_incoming_connected(void);
Error *shmig_incoming_error(void);
/* QEMU is about to exit; main thread. */
void shmig_incoming_shutdown(void);

/* info.c */
/* Keeps what the migration's end was like, for later queries. */
void shmig_info_keep(ShmigOutgoing *out);

#endif
