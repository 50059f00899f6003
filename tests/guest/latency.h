/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A histogram of times: four classes to each doubling. */
#ifndef GUEST_LATENCY_H
#define GUEST_LATENCY_H

#include <stdint.h>

#define LATENCY_CLASSES 112u

typedef struct Latency {
    uint32_t count;
    uint32_t max_us;
    uint32_t classes[LATENCY_CLASSES];
} Latency;

void latency_add(Latency *latency, uint32_t us);

/*
 * The upper end of the class that `per_mille` of all times do not exceed:
 * at most a quarter too high.
 */
uint32_t latency_percentile(const Latency *latency, uint32_t per_mille);

#endif
