/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest time: the TSC, calibrated once against the ACPI timer.
 *
 * A VMM stops it with the VM, so a migration's downtime does not show in it;
 * rtc.h sees that.  What does show is a stall during which it went on: the
 * longest gap between two looks.
 */
#ifndef GUEST_CLOCK_H
#define GUEST_CLOCK_H

#include <stdint.h>
#include <stdbool.h>

/* Calibrates; false if there is no ACPI timer to calibrate with. */
bool clock_init(void);

/* Guest time in ns since clock_init().  Any CPU. */
uint64_t clock_ns(void);

uint32_t clock_tsc_khz(void);

/* Looks at guest time, notes the gap since the last look.  First CPU only. */
uint64_t clock_sample(void);

/* The longest gap in us since the last call of this function. */
uint32_t clock_take_gap(void);

/* The longest gap in us since the last call, for the RTC's looks. */
uint32_t clock_take_look_gap(void);

/* The longest gap in us since clock_clear_gap(). */
uint32_t clock_longest_gap(void);
void clock_clear_gap(void);

#endif
