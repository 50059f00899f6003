/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes on whatever else the first CPU does: clocks, heartbeat, output.
 * To be called at least every millisecond or so.
 */
#ifndef GUEST_SERVICE_H
#define GUEST_SERVICE_H

#include <stdint.h>

/* Returns guest time in ns. */
uint64_t service(void);

/* Heartbeats sent so far. */
uint32_t service_ticks(void);

#endif
