/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A region: the bytes [0, length) of a RAM block or a disk, and its pending
 * bitmap: the granules that the destination does not hold.
 *
 * Threads: any thread may set bits.  A stripe's bits are cleared only by the
 * channel that owns the stripe.  All bit operations are atomic on 64-bit
 * words; bit 0 of word 0 is granule 0.  Ranges are cut at the region's end:
 * no bit past it is ever set.
 */
#ifndef SHMIG_DIRTY_REGION_H
#define SHMIG_DIRTY_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "shmig/base/stripe.h"

#define SHMIG_RAM_GRANULE_SHIFT 12
#define SHMIG_RAM_GRANULE_BYTES ((uint64_t)1 << SHMIG_RAM_GRANULE_SHIFT)
#define SHMIG_DISK_GRANULE_SHIFT 16

typedef enum ShmigRegionKind {
    SHMIG_REGION_RAM = 1,
    SHMIG_REGION_DISK = 2,
} ShmigRegionKind;

typedef struct ShmigRegion {
    /* Constant after creation. */
    uint32_t id;
    ShmigRegionKind kind;
    unsigned granule_shift;
    uint64_t length_bytes;
    uint64_t n_granules; /* the last one may be shorter */
    uint64_t n_stripes;

    /* Atomic. */
    uint64_t *pending;
    uint64_t pending_granules; /* bits set in @pending; for a moment more */
    uint64_t *sent;            /* granules that were sent at least once */
} ShmigRegion;

/* All clear.  @length_bytes is not 0. */
ShmigRegion *shmig_region_new(uint32_t id, ShmigRegionKind kind,
                              uint64_t length_bytes);
void shmig_region_free(ShmigRegion *region);

/* Sets [first, first + n); returns how many bits were clear before. */
uint64_t shmig_region_set(ShmigRegion *region, uint64_t first, uint64_t n);

/* The granules that the bytes [offset, offset + length) touch. */
uint64_t shmig_region_set_bytes(ShmigRegion *region, uint64_t offset,
                                uint64_t length);

/*
 * ORs @n_words words of @bits (host order) into the bitmap from word
 * @first_word on; bits past the region's end are ignored.  Returns how many
 * bits were clear before.  @bits is not changed.
 */
uint64_t shmig_region_merge(ShmigRegion *region, uint64_t first_word,
                            const uint64_t *bits, uint64_t n_words);

/*
 * The same; @seen is told each word of the bitmap that there were bits for.
 */
typedef void ShmigMergeSeen(void *opaque, uint64_t word);
uint64_t shmig_region_merge_seen(ShmigRegion *region, uint64_t first_word,
                                 const uint64_t *bits, uint64_t n_words,
                                 ShmigMergeSeen *seen, void *opaque);

/*
 * Finds the next run of set bits in [from, end), at most @max long, without
 * changing it.  Returns its length and *@first, or 0.
 */
uint64_t shmig_region_find(const ShmigRegion *region, uint64_t from,
                           uint64_t end, uint64_t max, uint64_t *first);

/*
 * Clears [first, first + n); returns how many were set.  Reads of the bytes
 * that follow in program order see at least what was written before any
 * writer set these bits anew (acquire).
 */
uint64_t shmig_region_clear(ShmigRegion *region, uint64_t first, uint64_t n);

/* Whether any bit in [first, first + n) is set / all of them are. */
bool shmig_region_any(const ShmigRegion *region, uint64_t first, uint64_t n);
bool shmig_region_all(const ShmigRegion *region, uint64_t first, uint64_t n);

/*
 * Notes that [first, first + n) is sent; returns how many were sent before.
 * For statistics only: no ordering.
 */
uint64_t shmig_region_mark_sent(ShmigRegion *region, uint64_t first,
                                uint64_t n);

uint64_t shmig_region_pending_bytes(const ShmigRegion *region);

static inline uint64_t shmig_stripe_granules(const ShmigRegion *region)
{
    return SHMIG_STRIPE_BYTES >> region->granule_shift;
}

/* How many granules @bytes are, the last one maybe in part. */
static inline uint64_t shmig_region_granules(const ShmigRegion *region,
                                             uint64_t bytes)
{
    uint64_t granule_bytes = (uint64_t)1 << region->granule_shift;

    return (bytes + granule_bytes - 1) >> region->granule_shift;
}

/* The stripe that @granule is in. */
static inline uint64_t shmig_stripe_of(const ShmigRegion *region,
                                       uint64_t granule)
{
    return (granule << region->granule_shift) / SHMIG_STRIPE_BYTES;
}

#endif
