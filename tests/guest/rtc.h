/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much real time guest time has lost: the downtime as the guest sees it.
 *
 * The RTC follows the host's clock (-rtc clock=host, QEMU's default) also
 * while the VM is stopped.  It shows whole seconds, but each look bounds the
 * offset between real and guest time from both sides, and looks close to a
 * change of second bound it closely.  When a new bound contradicts the old
 * ones by more than a millisecond, real time has jumped; one to three seconds
 * later the bounds are close again and the jump is printed with its
 * uncertainty (GUEST_SCAN_CLOCK).
 */
#ifndef GUEST_RTC_H
#define GUEST_RTC_H

#include <stdint.h>
#include <stdbool.h>

typedef struct RtcStats {
    int64_t lost_us;      /* sum over all jumps */
    int64_t last_us;      /* the last jump */
    uint32_t last_unc_us; /* plus or minus */
    /*
     * The longest jump with the gap in guest time that went with it: from the
     * last instruction before to the first after.
     */
    int64_t blackout_us;
    uint32_t jumps;
    uint32_t width_us; /* how far apart the bounds are now */
    bool settling;     /* a jump was seen and is not measured yet */
} RtcStats;

/* Looks at the RTC if it is time to.  First CPU only. */
void rtc_poll(uint64_t now_ns);

/* True while looks should follow each other closely: do not sleep. */
bool rtc_wants_polling(uint64_t now_ns);

void rtc_stats(RtcStats *stats);
void rtc_clear_stats(void);

#endif
