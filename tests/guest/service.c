/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes on whatever else the first CPU does. */
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "options.h"
#include "rtc.h"
#include "service.h"

#define MS_NS 1000000u

static uint64_t next_tick;
static uint32_t tick;

static void heartbeat(uint64_t now)
{
    uint64_t period = (uint64_t)options.tick_ms * MS_NS;

    if (!period || now < next_tick) {
        return;
    }
    console_heartbeat("T %u %u %u", tick++, (uint32_t)divide(now, MS_NS, NULL),
                      clock_take_gap());
    next_tick += period;
    if (next_tick <= now) {
        next_tick = now + period;
    }
}

uint64_t service(void)
{
    uint64_t now = clock_sample();

    heartbeat(now);
    rtc_poll(now);
    if (console_busy()) {
        console_push();
    }
    return now;
}

uint32_t service_ticks(void)
{
    return tick;
}
