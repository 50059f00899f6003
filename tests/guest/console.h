/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines in and out of COM1 by polling.  First CPU only.
 *
 * Output goes into a ring and leaves when the port takes it: nobody reading
 * never stops the guest.
 */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdint.h>
#include <stdbool.h>

void console_init(void);

/*
 * Queues one line; %u %x %s %c, and %U / %D for unsigned / signed 64 bits.
 * A line that does not fit whole is dropped and counted.
 */
void console_line(const char *format, ...);

/* As console_line(), but gives way first: needs the ring half empty. */
void console_heartbeat(const char *format, ...);

/* Moves queued output to the port as far as it takes it.  Never waits. */
void console_push(void);

/* True when output is queued. */
bool console_busy(void);

/*
 * The next complete line typed, without its end, or NULL.  Valid until the
 * next call.
 */
const char *console_poll_line(void);

/* Lines dropped since the start. */
uint32_t console_dropped(void);

#endif
