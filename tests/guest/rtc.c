/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much real time guest time has lost.
 *
 * A look between guest times t1 and t2 that shows second S bounds
 * offset = real - guest time:  S - t2 <= offset < S + 1 s - t1.
 * All bounds are intersected; since the calibration of guest time is not
 * perfect, they also drift apart slowly.
 */
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "options.h"
#include "rtc.h"

#define SECOND_NS 1000000000
#define MS_NS 1000000
#define US_NS 1000

#define RTC_INDEX 0x70
#define RTC_DATA 0x71
#define RTC_SECONDS 0
#define RTC_MINUTES 2
#define RTC_HOURS 4
#define RTC_STATUS_B 0x0b
#define RTC_BINARY 0x04
#define DAY_SECONDS 86400

#define LOOK_EVERY_NS (20 * MS_NS)
/* Bounds this close are left alone, */
#define CLOSE_NS (300 * US_NS)
/* and from here on the next change of second is worth waiting for. */
#define NEAR_NS (30 * MS_NS)
/* 1/8192, 122 ppm: more than the calibration is ever wrong. */
#define DRIFT_SHIFT 13
/* Smaller jumps are noise; a switch-over takes longer. */
#define JUMP_NS (1 * MS_NS)
/* Two changes of second and some: the bounds get no closer. */
#define SETTLE_NS ((uint64_t)3 * SECOND_NS)

typedef struct Bounds {
    int64_t low, high;
} Bounds;

static bool known; /* bounds exist */
static Bounds offset;
static uint64_t bounded_at;
static Bounds before_jump;
static uint64_t jump_at;
static uint32_t jump_gap_us; /* in guest time, between the looks around it */

static uint32_t second_shown; /* the register's last value */
static int32_t day_second;
static int64_t real; /* seconds, on from day_second's first value */
static uint64_t next_look;

static RtcStats stats;

static uint32_t rtc_register(uint8_t index)
{
    out8(RTC_INDEX, index);
    return in8(RTC_DATA);
}

static uint32_t from_bcd(uint32_t v)
{
    return (v >> 4) * 10 + (v & 15);
}

/* Reads the time of day, and moves `real` by what has changed. */
static void read_time(uint32_t seconds)
{
    uint32_t minutes = rtc_register(RTC_MINUTES);
    uint32_t hours = rtc_register(RTC_HOURS);
    int32_t now, change;

    if (!(rtc_register(RTC_STATUS_B) & RTC_BINARY)) {
        seconds = from_bcd(seconds);
        minutes = from_bcd(minutes);
        hours = from_bcd(hours);
    }
    now = (hours * 60 + minutes) * 60 + seconds;
    change = now - day_second;
    if (change < -DAY_SECONDS / 2) {
        change += DAY_SECONDS;
    }
    day_second = now;
    real += change;
}

static int64_t middle(const Bounds *b)
{
    return b->low + ((b->high - b->low) >> 1);
}

static int64_t to_us(int64_t ns)
{
    return ns < 0 ? -(int64_t)divide(-ns, US_NS, NULL)
                  : (int64_t)divide(ns, US_NS, NULL);
}

static int64_t width_of(const Bounds *b)
{
    return b->high - b->low;
}

static void drift_apart(uint64_t now)
{
    int64_t drift = (now - bounded_at) >> DRIFT_SHIFT;

    offset.low -= drift;
    offset.high += drift;
    bounded_at = now;
}

static void settle(uint64_t now)
{
    int64_t lost, unc, blackout;

    if (!stats.settling ||
        (width_of(&offset) > CLOSE_NS && now - jump_at < SETTLE_NS)) {
        return;
    }
    stats.settling = false;
    lost = middle(&offset) - middle(&before_jump);
    unc = (width_of(&offset) + width_of(&before_jump)) >> 1;
    stats.last_us = to_us(lost);
    stats.last_unc_us = to_us(unc);
    stats.lost_us += stats.last_us;
    stats.jumps++;
    blackout = stats.last_us + jump_gap_us;
    if (blackout > stats.blackout_us) {
        stats.blackout_us = blackout;
    }
    console_line("CLOCK lost_us=%D unc_us=%u gap_us=%u seen_at_ms=%u",
                 stats.last_us, stats.last_unc_us, jump_gap_us,
                 (uint32_t)divide(jump_at, MS_NS, NULL));
}

static void add_bounds(Bounds b, uint64_t now, uint32_t gap_us)
{
    int64_t apart;

    if (!known) {
        offset = b;
        known = true;
        return;
    }
    drift_apart(now);
    apart = b.low > offset.high ? b.low - offset.high : offset.low - b.high;
    if (apart > JUMP_NS && !stats.settling) {
        stats.settling = true;
        before_jump = offset;
        jump_at = now;
        jump_gap_us = gap_us;
    }
    if (apart > 0) {
        offset = b;
        return;
    }
    offset.low = b.low > offset.low ? b.low : offset.low;
    offset.high = b.high < offset.high ? b.high : offset.high;
    settle(now);
}

/* Guest time to the next change of second, if it came as late as can be. */
static int64_t latest_change(uint64_t now)
{
    return (real + 1) * SECOND_NS - offset.low - (int64_t)now;
}

bool rtc_wants_polling(uint64_t now)
{
    int64_t width = width_of(&offset), latest = latest_change(now);
    /* A sleep may end two timer periods late. */
    int64_t margin = 2 * SECOND_NS / (int32_t)options.hz;

    return known && width > CLOSE_NS && width < NEAR_NS && latest > 0 &&
           latest < width + margin;
}

void rtc_poll(uint64_t now)
{
    uint32_t seconds;
    uint64_t end;
    Bounds b;

    if (now < next_look) {
        return;
    }
    seconds = rtc_register(RTC_SECONDS);
    end = clock_ns();
    if (!known || seconds != second_shown) {
        read_time(seconds);
        second_shown = seconds;
    }
    b.low = real * SECOND_NS - (int64_t)end;
    b.high = (real + 1) * SECOND_NS - (int64_t)now;
    add_bounds(b, end, clock_take_look_gap());
    next_look = rtc_wants_polling(now) ? now : now + LOOK_EVERY_NS;
}

void rtc_stats(RtcStats *copy)
{
    *copy = stats;
    copy->width_us = to_us(width_of(&offset));
}

void rtc_clear_stats(void)
{
    stats.lost_us = 0;
    stats.last_us = 0;
    stats.last_unc_us = 0;
    stats.jumps = 0;
    stats.blackout_us = 0;
}
