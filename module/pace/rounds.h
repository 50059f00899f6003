/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rounds of a live migration: when to harvest what the guest dirtied,
 * and when to stop it.
 *
 * shmig_switchover_decide() says whether stopping the guest now keeps the
 * limit.  That is not yet a reason to stop it: as long as each harvest finds
 * clearly less than the one before, one more round makes the downtime
 * shorter and costs no more than the downtime it saves.  So a round ends in
 * a switch-over when the limit is kept, and either next to nothing is
 * pending or the rounds do not shrink any more.
 *
 * One thread.  Times are of one monotonic clock, given by the caller.
 */
#ifndef SHMIG_PACE_ROUNDS_H
#define SHMIG_PACE_ROUNDS_H

#include "shmig/pace/rate.h"
#include "shmig/pace/switchover.h"

/* Pending for less than this is not worth another round. */
#define SHMIG_ROUNDS_GOAL_NS 1000000
/* A round that leaves more than 3/4 of the one before does not shrink. */
#define SHMIG_ROUNDS_SHRINK(before) ((before) / 4 * 3)
/* Whatever the rate, less than this is next to nothing. */
#define SHMIG_ROUNDS_MIN_BYTES (64u << 10)
/* Twice the time it should take and this after a harvest, the next one is
 * made even if what is pending does not get low. */
#define SHMIG_ROUNDS_IMPATIENT_NS 200000000

typedef struct ShmigRounds {
    ShmigRate rate; /* bytes on the wire */
    uint64_t harvests;
    int64_t harvested_ns; /* the last one; before: when RAM was started */
    bool fresh;           /* nothing happened since the last harvest */
    uint64_t left;        /* pending at harvested_ns */
    uint64_t left_before; /* and after the harvest before that */
    uint64_t dirty_bytes_per_s;
} ShmigRounds;

void shmig_rounds_init(ShmigRounds *rounds, int64_t now_ns,
                       uint64_t wire_bytes);

/* RAM is being copied from now on; @pending_bytes of all kinds are. */
void shmig_rounds_start_ram(ShmigRounds *rounds, int64_t now_ns,
                            uint64_t pending_bytes);

/* @busy: as for shmig_rate_update(). */
void shmig_rounds_sent(ShmigRounds *rounds, int64_t now_ns, uint64_t wire_bytes,
                       bool busy);

/* A harvest found @dirty_bytes; @pending_bytes of all kinds are pending. */
void shmig_rounds_harvested(ShmigRounds *rounds, int64_t now_ns,
                            uint64_t dirty_bytes, uint64_t pending_bytes);

typedef struct ShmigRoundsInput {
    int64_t now_ns;
    uint64_t ram_bytes;
    uint64_t disk_bytes;
    uint64_t queued_bytes;
    uint64_t limit_ns; /* as in ShmigSwitchoverInput */
    uint64_t fixed_ns;
    uint64_t switchover_rate; /* bytes/s the user promises; 0: measured */
} ShmigRoundsInput;

ShmigVerdict shmig_rounds_next(const ShmigRounds *rounds,
                               const ShmigRoundsInput *in);

/* Fewer pending bytes than this are worth a look. */
uint64_t shmig_rounds_low_bytes(const ShmigRounds *rounds);

#endif
