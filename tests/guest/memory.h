/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filled memory: where it is, writing it at a rate, checking it.
 *
 * Every page's content follows from the seed, its number and its version;
 * the version table holds what each page must be.
 */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <stdint.h>
#include <stdbool.h>

#include "smp.h"

/* Zeroed words from the heap, on a page boundary; NULL when memory is out. */
uint32_t *memory_allocate(uint64_t bytes);

/* As memory_allocate(), but not zeroed. */
uint32_t *memory_allocate_dirty(uint64_t bytes);

/* End of the memory the guest may use, from the loader. */
void memory_set_end(uint32_t end);

/* Template and tables; returns NULL, or what is wrong. */
const char *memory_init(void);

/* Fills the memory. */
void memory_fill(void);

/*
 * Writes the pages that are due on this CPU.  False when none were: the
 * caller may sleep.
 */
bool memory_dirty_step(Cpu *cpu);

/* Lets the writers run, or stops them and waits until they have. */
void memory_run(bool run);

/* Checks everything and prints the result; `quick`: only the stamps. */
void memory_verify(bool quick);

/* Sum over every byte of the filled memory, in the order of pages. */
uint32_t memory_checksum(void);

#endif
