/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rounds of a live migration. */
#include "shmig/pace/rounds.h"

#include <glib.h>

void shmig_rounds_init(ShmigRounds *rounds, int64_t now_ns, uint64_t wire_bytes)
{
    *rounds = (ShmigRounds) { .harvested_ns = now_ns };
    shmig_rate_init(&rounds->rate, now_ns, wire_bytes);
}

void shmig_rounds_start_ram(ShmigRounds *rounds, int64_t now_ns,
                            uint64_t pending_bytes)
{
    rounds->harvested_ns = now_ns;
    rounds->left = pending_bytes;
}

void shmig_rounds_sent(ShmigRounds *rounds, int64_t now_ns, uint64_t wire_bytes,
                       bool busy)
{
    shmig_rate_update(&rounds->rate, now_ns, wire_bytes, busy);
    rounds->fresh = false;
}

void shmig_rounds_harvested(ShmigRounds *rounds, int64_t now_ns,
                            uint64_t dirty_bytes, uint64_t pending_bytes)
{
    int64_t age_ns = MAX(now_ns - rounds->harvested_ns, 1);

    rounds->dirty_bytes_per_s = dirty_bytes * 1e9 / age_ns;
    rounds->harvested_ns = now_ns;
    rounds->left_before = rounds->harvests ? rounds->left : UINT64_MAX;
    rounds->left = pending_bytes;
    rounds->harvests++;
    rounds->fresh = true;
}

uint64_t shmig_rounds_low_bytes(const ShmigRounds *rounds)
{
    uint64_t low = shmig_rate_bytes(SHMIG_SWITCHOVER_LOW_NS,
                                    shmig_rate_get(&rounds->rate));

    /* A round that carried next to nothing says nothing of its length. */
    return MAX(MIN(low, rounds->left / 4), SHMIG_ROUNDS_MIN_BYTES);
}

static bool is_worth_another(const ShmigRounds *rounds)
{
    uint64_t goal =
        shmig_rate_bytes(SHMIG_ROUNDS_GOAL_NS, shmig_rate_get(&rounds->rate));

    return rounds->left > MAX(goal, SHMIG_ROUNDS_MIN_BYTES) &&
           rounds->left <= SHMIG_ROUNDS_SHRINK(rounds->left_before);
}

/* A harvest while much is pending only makes pages travel twice. */
static bool is_time_to_look(const ShmigRounds *rounds, uint64_t pending,
                            uint64_t age_ns)
{
    uint64_t round_ns =
        shmig_rate_time_ns(rounds->left, shmig_rate_get(&rounds->rate));

    return pending <= shmig_rounds_low_bytes(rounds) ||
           (age_ns >= SHMIG_ROUNDS_IMPATIENT_NS &&
            (age_ns - SHMIG_ROUNDS_IMPATIENT_NS) / 2 >= round_ns);
}

ShmigVerdict shmig_rounds_next(const ShmigRounds *rounds,
                               const ShmigRoundsInput *in)
{
    uint64_t age_ns = MAX(in->now_ns - rounds->harvested_ns, 1);
    uint64_t pending = in->ram_bytes + in->disk_bytes + in->queued_bytes;
    ShmigSwitchoverInput ask = {
        .ram_bytes = in->ram_bytes,
        .disk_bytes = in->disk_bytes,
        .queued_bytes = in->queued_bytes,
        .harvest_age_ns = rounds->fresh ? 0 : age_ns,
        .dirty_bytes_per_s = rounds->dirty_bytes_per_s,
        .rate_bytes_per_s = in->switchover_rate ? in->switchover_rate
                                                : shmig_rate_get(&rounds->rate),
        .limit_ns = in->limit_ns,
        .fixed_ns = in->fixed_ns,
    };
    ShmigVerdict verdict = shmig_switchover_decide(&ask);

    if ((verdict.action == SHMIG_SWITCHOVER_SWITCH &&
         is_worth_another(rounds)) ||
        (verdict.action == SHMIG_SWITCHOVER_HARVEST &&
         !is_time_to_look(rounds, pending, age_ns))) {
        verdict.action = SHMIG_SWITCHOVER_CONTINUE;
    } else if (verdict.action == SHMIG_SWITCHOVER_CONTINUE && !rounds->fresh &&
               pending <= shmig_rounds_low_bytes(rounds)) {
        verdict.action = SHMIG_SWITCHOVER_HARVEST;
    }
    return verdict;
}
