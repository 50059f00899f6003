/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one decision of a migration. */
#include "shmig/pace/switchover.h"

#include <glib.h>

#include "shmig/pace/rate.h"

/* Sums of what a guest can have do not come near 2^64, but a caller's
 * unknowns may be as large as they like. */
static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t allowed_bytes(const ShmigSwitchoverInput *in)
{
    uint64_t for_data =
        in->limit_ns > in->fixed_ns ? in->limit_ns - in->fixed_ns : 0;

    return shmig_rate_bytes(MAX(for_data, in->limit_ns / 4),
                            in->rate_bytes_per_s);
}

ShmigVerdict shmig_switchover_decide(const ShmigSwitchoverInput *in)
{
    uint64_t disks = add(in->disk_bytes, in->queued_bytes);
    uint64_t known = add(disks, in->ram_bytes);
    uint64_t unseen =
        shmig_rate_bytes(in->harvest_age_ns, in->dirty_bytes_per_s);
    uint64_t pending = add(known, unseen);
    uint64_t low =
        shmig_rate_bytes(SHMIG_SWITCHOVER_LOW_NS, in->rate_bytes_per_s);
    ShmigVerdict verdict = {
        .action = SHMIG_SWITCHOVER_CONTINUE,
        .downtime_ns = add(shmig_rate_time_ns(pending, in->rate_bytes_per_s),
                           in->fixed_ns),
        .allowed_bytes = allowed_bytes(in),
    };

    if (in->harvest_age_ns == 0) {
        if (pending <= verdict.allowed_bytes) {
            verdict.action = SHMIG_SWITCHOVER_SWITCH;
        }
    } else if (pending <= verdict.allowed_bytes || known <= low ||
               (disks <= verdict.allowed_bytes && in->ram_bytes <= low)) {
        verdict.action = SHMIG_SWITCHOVER_HARVEST;
    }
    return verdict;
}
