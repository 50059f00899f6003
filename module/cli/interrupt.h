/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ctrl-C, as something that can be waited for. */
#ifndef SHMIG_CLI_INTERRUPT_H
#define SHMIG_CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/* From now on SIGINT and SIGTERM are noted; a second one ends the process. */
void interrupt_init(void);

/* Readable once one has come. */
int interrupt_fd(void);
bool interrupted(void);

/* Until a point in time of clock_ns(), or an interrupt. */
void interrupt_wait_until(uint64_t ns);

#endif
