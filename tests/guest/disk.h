/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing the disks at a rate and checking them.  First CPU only.
 *
 * One word for each sector says what it must hold (guest-protocol.h).
 */
#ifndef GUEST_DISK_H
#define GUEST_DISK_H

#include <stdint.h>
#include <stdbool.h>

/*
 * Finds the disks and sets up tables and buffers; the template must be there.
 * Returns NULL, or what is wrong.
 */
const char *disk_init(void);

/* Writes every sector of every region once. */
void disk_prefill(void);

/*
 * Takes finished requests and starts those that are due.  True while requests
 * are in flight: the caller should not sleep.
 */
bool disk_step(uint64_t now_ns);

/* Lets requests start, or stops that and waits for those in flight. */
void disk_run(bool run);

/* Reads and checks every sector the guest knows about; prints the result. */
void disk_verify(void);

/* Sum over the regions' bytes of one disk. */
bool disk_checksum(uint32_t number, uint32_t *sum);

void disk_print_stats(void);
void disk_clear_stats(void);

#endif
