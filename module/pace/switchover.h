/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one decision of a migration: go on copying, look what the guest has
 * dirtied, or stop the guest and switch over.  Numbers in, action out.
 */
#ifndef SHMIG_PACE_SWITCHOVER_H
#define SHMIG_PACE_SWITCHOVER_H

#include <stdbool.h>
#include <stdint.h>

/* RAM that is pending for less than this is harvested again, so that the
 * channels have something to do meanwhile. */
#define SHMIG_SWITCHOVER_LOW_NS 5000000

typedef struct ShmigSwitchoverInput {
    /* What the destination does not hold. */
    uint64_t ram_bytes; /* as of the last harvest, less what was sent since */
    uint64_t disk_bytes;
    uint64_t queued_bytes;

    /* The guest's writes since the last harvest are in none of the above. */
    uint64_t harvest_age_ns; /* time since then; 0: it was just made */
    uint64_t dirty_bytes_per_s;

    uint64_t rate_bytes_per_s; /* of all channels; 0: not known yet */
    uint64_t limit_ns;         /* downtime the user allows */
    /* What the switch-over takes if nothing is pending: stopping the guest,
     * device state, round trips, the destination's flush. */
    uint64_t fixed_ns;
} ShmigSwitchoverInput;

typedef enum ShmigSwitchoverAction {
    SHMIG_SWITCHOVER_CONTINUE, /* too much is pending: copy */
    SHMIG_SWITCHOVER_HARVEST,  /* might do: harvest, then ask again */
    SHMIG_SWITCHOVER_SWITCH,   /* stop the guest */
} ShmigSwitchoverAction;

typedef struct ShmigVerdict {
    ShmigSwitchoverAction action;
    /* If the guest were stopped now.  UINT64_MAX: not known. */
    uint64_t downtime_ns;
    /* Pending bytes of all kinds that the limit allows for: it is worthwhile
     * to ask again when there are no more than this. */
    uint64_t allowed_bytes;
} ShmigVerdict;

/*
 * SWITCH is only ever said right after a harvest, on numbers that leave
 * nothing out.
 *
 * Waiting makes what is pending less, not what is fixed: of a limit that the
 * fixed part alone (nearly) exceeds, a quarter is left for data all the
 * same, since the migration would never end otherwise.  downtime_ns then
 * tells that it will exceed the limit.
 */
ShmigVerdict shmig_switchover_decide(const ShmigSwitchoverInput *in);

#endif
