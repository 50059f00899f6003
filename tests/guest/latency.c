/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A histogram of times: four classes to each doubling. */
#include "cpu.h"
#include "latency.h"

static uint32_t class_of(uint32_t us)
{
    uint32_t shift = 0;

    while (us >> shift >= 8) {
        shift++;
    }
    return shift * 4 + (us >> shift);
}

static uint32_t class_end(uint32_t class)
{
    uint32_t shift = class < 8 ? 0 : class / 4 - 1;

    return ((class - shift * 4 + 1) << shift) - 1;
}

void latency_add(Latency *latency, uint32_t us)
{
    uint32_t class = class_of(us);

    latency->count++;
    if (us > latency->max_us) {
        latency->max_us = us;
    }
    if (class >= LATENCY_CLASSES) {
        class = LATENCY_CLASSES - 1;
    }
    latency->classes[class]++;
}

uint32_t latency_percentile(const Latency *latency, uint32_t per_mille)
{
    uint64_t below = 0;
    uint64_t wanted = (uint64_t)latency->count * per_mille;

    for (uint32_t class = 0; class < LATENCY_CLASSES; class ++) {
        below += (uint64_t)latency->classes[class] * 1000;
        if (below && below >= wanted) {
            uint32_t end = class_end(class);

            return end < latency->max_us ? end : latency->max_us;
        }
    }
    return latency->max_us;
}
