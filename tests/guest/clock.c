/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest time: the TSC, calibrated once against the ACPI timer. */
#include "clock.h"
#include "cpu.h"
#include "pci.h"

#define SECOND_NS 1000000000u
#define US_NS 1000u

#define PM_TIMER_OFFSET 8
#define PM_TIMER_HZ 3579545u
#define PM_TIMER_MASK 0xffffffu
#define CALIBRATION_TICKS (PM_TIMER_HZ / 10)
#define CALIBRATION_TRIES 16

/* Leaves digits enough for any TSC from 62 MHz on. */
#define SCALE_SHIFT 28

static uint16_t pm_timer;
static uint64_t tsc_zero;
static uint32_t tsc_khz;
static uint32_t scale; /* ns per TSC tick, times 2^SCALE_SHIFT */

static uint64_t last_sample;
/* The longest gap since each of these was last taken or cleared. */
static uint32_t gap_us, look_gap_us, longest_gap_us;

static uint32_t pm_read(void)
{
    return in32(pm_timer) & PM_TIMER_MASK;
}

/*
 * The ACPI timer and the TSC at the same moment: of several tries, the one
 * least disturbed by the host.
 */
static uint32_t pm_read_with_tsc(uint64_t *tsc)
{
    uint64_t best = UINT64_MAX;
    uint32_t ticks = 0;

    for (uint32_t i = 0; i < CALIBRATION_TRIES; i++) {
        uint64_t before = rdtsc();
        uint32_t now = pm_read();
        uint64_t width = rdtsc() - before;

        if (width < best) {
            best = width;
            ticks = now;
            *tsc = before + width / 2;
        }
    }
    return ticks;
}

static bool pm_timer_runs(void)
{
    uint32_t first = pm_read();

    for (uint32_t i = 0; i < 1000; i++) {
        if (pm_read() != first) {
            return true;
        }
    }
    return false;
}

bool clock_init(void)
{
    uint32_t begin, ticks, tsc_hz16;
    uint64_t tsc_begin = 0, tsc_end = 0;

    pm_timer = pci_acpi_base() + PM_TIMER_OFFSET;
    if (!pm_timer_runs()) {
        return false;
    }
    begin = pm_read_with_tsc(&tsc_begin);
    while (((pm_read() - begin) & PM_TIMER_MASK) < CALIBRATION_TICKS) {
        cpu_relax();
    }
    ticks = (pm_read_with_tsc(&tsc_end) - begin) & PM_TIMER_MASK;
    /* In units of 16 Hz, to stay within 32 bits. */
    tsc_hz16 = divide((tsc_end - tsc_begin) * PM_TIMER_HZ >> 4, ticks, NULL);
    tsc_khz = divide((uint64_t)tsc_hz16 << 4, 1000, NULL);
    scale = divide((uint64_t)SECOND_NS << (SCALE_SHIFT - 4), tsc_hz16, NULL);
    tsc_zero = rdtsc();
    return true;
}

uint64_t clock_ns(void)
{
    uint64_t tsc = rdtsc() - tsc_zero;
    uint32_t high = tsc >> 32, low = tsc;

    return ((uint64_t)high * scale << (32 - SCALE_SHIFT)) +
           ((uint64_t)low * scale >> SCALE_SHIFT);
}

uint32_t clock_tsc_khz(void)
{
    return tsc_khz;
}

uint64_t clock_sample(void)
{
    uint64_t now = clock_ns();
    uint32_t gap = divide(now - last_sample, US_NS, NULL);

    /* The first sample has nothing before it. */
    if (last_sample) {
        gap_us = gap > gap_us ? gap : gap_us;
        look_gap_us = gap > look_gap_us ? gap : look_gap_us;
        longest_gap_us = gap > longest_gap_us ? gap : longest_gap_us;
    }
    last_sample = now;
    return now;
}

uint32_t clock_take_gap(void)
{
    uint32_t gap = gap_us;

    gap_us = 0;
    return gap;
}

uint32_t clock_take_look_gap(void)
{
    uint32_t gap = look_gap_us;

    look_gap_us = 0;
    return gap;
}

uint32_t clock_longest_gap(void)
{
    return longest_gap_us;
}

void clock_clear_gap(void)
{
    longest_gap_us = 0;
}
