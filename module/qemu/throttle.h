/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Auto-converge: slows the guest's CPUs down, as QEMU's stock migration does
 * and by the same parameters, when it dirties RAM faster than can be sent.
 * Migration thread.
 */
#ifndef SHMIG_QEMU_THROTTLE_H
#define SHMIG_QEMU_THROTTLE_H

#include "shmig/pace/rounds.h"

typedef struct ShmigThrottle {
    int64_t since_ns;     /* the period that is being looked at */
    uint64_t sent_bytes;  /* on the wire, at its begin */
    uint64_t dirty_bytes; /* in it */
    unsigned high;        /* periods in a row that were too much */
} ShmigThrottle;

void shmig_throttle_init(ShmigThrottle *throttle, int64_t now_ns,
                         uint64_t wire_bytes);
void shmig_throttle_harvested(ShmigThrottle *throttle, int64_t now_ns,
                              uint64_t dirty_bytes, uint64_t wire_bytes);
/* Whether it is time for a harvest, even if much is pending. */
bool shmig_throttle_wants_harvest(const ShmigThrottle *throttle,
                                  const ShmigRounds *rounds, int64_t now_ns);

#endif
