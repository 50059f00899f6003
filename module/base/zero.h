/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding zeroes in memory.
 *
 * The buffers may be a running guest's: a byte that is written meanwhile is
 * seen as it was before or as it is after.  Any alignment, any length.
 */
#ifndef SHMIG_BASE_ZERO_H
#define SHMIG_BASE_ZERO_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all of @buf is zero; no bytes are. */
bool shmig_is_zero(const void *buf, size_t bytes);

/*
 * The length in bytes of the leading run of granules that are all zero, and
 * of those that are not.  @granule is not 0; the last granule may be shorter,
 * so the result is a multiple of @granule, or @bytes.
 */
size_t shmig_zero_prefix(const void *buf, size_t bytes, size_t granule);
size_t shmig_data_prefix(const void *buf, size_t bytes, size_t granule);

#endif
