/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much of something is due now, at so many per second. */
#include "cpu.h"
#include "options.h"
#include "rate.h"

/* Counting restarts before 32 bits could be left. */
#define RESTART_AT 0x40000000u

void rate_restart(Rate *rate, uint64_t now_ns)
{
    rate->since_ns = now_ns;
    rate->done = 0;
}

uint32_t rate_due(Rate *rate, uint32_t per_second, uint64_t now_ns)
{
    uint64_t total, due;

    if (per_second == RATE_MAX) {
        rate->done = 0;
        return UINT32_MAX;
    }
    if (rate->per_second != per_second || rate->done > RESTART_AT) {
        rate->per_second = per_second;
        rate_restart(rate, now_ns);
    }
    total = divide(now_ns - rate->since_ns, 1000, NULL) * per_second;
    due = divide(total, 1000000, NULL) - rate->done;
    if (due > per_second / 4 + 1) {
        rate_restart(rate, now_ns);
        due = 1;
    }
    return due;
}
