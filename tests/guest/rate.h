/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much of something is due now, at so many per second. */
#ifndef GUEST_RATE_H
#define GUEST_RATE_H

#include <stdint.h>

typedef struct Rate {
    uint64_t since_ns;
    uint32_t per_second; /* `done` counts at this rate */
    uint32_t done;
} Rate;

/* Starts counting now. */
void rate_restart(Rate *rate, uint64_t now_ns);

/*
 * What is due and not yet in rate->done, to which the caller adds what it
 * does.  More than a quarter of a second behind is given up, not caught up.
 */
uint32_t rate_due(Rate *rate, uint32_t per_second, uint64_t now_ns);

#endif
