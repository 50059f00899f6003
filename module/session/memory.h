/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much memory a session may take, whatever its number of channels; all
 * of it is counted here.  Bitmaps, which grow with the guest, come on top.
 */
#ifndef SHMIG_SESSION_MEMORY_H
#define SHMIG_SESSION_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#define SHMIG_MEMORY_BYTES (64u << 20) /* of one side */

typedef struct ShmigMemory {
    unsigned buffers;      /* for disk data, of all channels together */
    unsigned per_channel;  /* at most this many in one channel */
    uint32_t buffer_bytes; /* whole granules of a disk */
    uint64_t total_bytes;  /* at worst, with everything else */
} ShmigMemory;

ShmigMemory shmig_memory_source(unsigned channels, bool tls);
ShmigMemory shmig_memory_dest(unsigned channels, bool tls);

#endif
