/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one range test for everything a peer, a guest or a file says. */
#ifndef SHMIG_BASE_RANGE_H
#define SHMIG_BASE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether [offset, offset + length) lies in [0, limit), without wrap-around;
 * an empty range is no range. */
static inline bool shmig_range_ok(uint64_t offset, uint64_t length,
                                  uint64_t limit)
{
    return length > 0 && length <= limit && offset <= limit - length;
}

/* Whether @id is an index into an array of @count elements. */
static inline bool shmig_index_ok(uint64_t id, uint64_t count)
{
    return id < count;
}

/* Whether two non-empty ranges that passed shmig_range_ok() share a byte. */
static inline bool shmig_ranges_overlap(uint64_t a, uint64_t a_length,
                                        uint64_t b, uint64_t b_length)
{
    return a < b + b_length && b < a + a_length;
}

#endif
