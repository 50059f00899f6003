/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting: everything the harness reads (monitors, serial lines, ends of
 * processes) is a source of the default main context, and whoever waits runs
 * that until a condition holds, a deadline passes or somebody interrupts.
 */
#ifndef TESTS_QEMU_LOOP_H
#define TESTS_QEMU_LOOP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What any function of the harness fails with. */
#define HARNESS_ERROR harness_error_quark()
GQuark harness_error_quark(void);

/* Sets the error and returns false. */
bool harness_fail(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Whether what is waited for has come. */
typedef bool (*LoopTest)(void *opaque);

/*
 * Returns whether @test held within @seconds; it is asked again after each
 * thing that happened.  Main thread.
 */
bool loop_wait(LoopTest test, void *opaque, double seconds);

/* All waits end now, with false.  To be called from a source (a signal). */
void loop_interrupt(void);
bool loop_interrupted(void);

/* Microseconds of the clock that arrival times are in. */
int64_t loop_now_us(void);

#endif
