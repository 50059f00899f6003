/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host memory behind the bench's guest. */
#ifndef SHMIG_CLI_BACKING_H
#define SHMIG_CLI_BACKING_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef enum Backing {
    BACKING_4K,
    BACKING_THP,
    BACKING_HUGETLB,
    BACKING_MEMFD,
    BACKINGS,
} Backing;

const char *backing_name(Backing backing);

/* False if there is no such name. */
bool backing_find(const char *name, Backing *backing);

/* NULL with a sentence if the memory cannot be had.  Not populated. */
uint8_t *backing_map(Backing backing, uint64_t bytes, GError **errp);
void backing_unmap(uint8_t *memory, uint64_t bytes);

/* What the host has in all, and what it could give now. */
uint64_t backing_host_bytes(void);
uint64_t backing_free_bytes(void);

#endif
