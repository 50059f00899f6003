/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RAM blocks of a migration, in the order of the offer.  Each is held by
 * a reference to its memory region, so that its memory stays mapped even if
 * the guest has the device unplugged.
 */
#ifndef SHMIG_QEMU_RAM_BLOCKS_H
#define SHMIG_QEMU_RAM_BLOCKS_H

#include "exec/memory.h"
#include "exec/ramblock.h"
#include "shmig/session/dest.h"
#include "shmig/session/source.h"

typedef struct ShmigRamBlockRef {
    RAMBlock *rb;
    MemoryRegion *mr;
    uint8_t *host;
    uint64_t used_bytes;
    bool locked; /* source: its file, against a destination on this host */
} ShmigRamBlockRef;

typedef struct ShmigRamBlocks {
    ShmigRamBlockRef *blocks;
    unsigned n;
} ShmigRamBlocks;

/* Source, BQL: adds every block that migrates to @offer. */
ShmigRamBlocks *shmig_ram_blocks_offer(ShmigOffer *offer, Error **errp);

/*
 * Destination, BQL: finds the blocks of @offer and appends a sentence to
 * @problems for each that does not fit.
 */
ShmigRamBlocks *shmig_ram_blocks_check(const ShmigOffer *offer,
                                       GPtrArray *problems);

/* BQL.  NULL is fine. */
void shmig_ram_blocks_free(ShmigRamBlocks *ram);

/* Marks pending what the guest can have written: all but what a
 * RamDiscardManager says is discarded.  BQL. */
void shmig_ram_blocks_mark(const ShmigRamBlocks *ram, ShmigSource *source);

/* Whether the block is made of pages that come and go (virtio-mem). */
bool shmig_ram_block_discards(const ShmigRamBlockRef *block);

/*
 * Whether the guest still has the same RAM as when it was offered; what
 * changed is named otherwise.  BQL.
 */
bool shmig_ram_blocks_same(const ShmigRamBlocks *ram, Error **errp);

#endif
