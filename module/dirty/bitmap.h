/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps as arrays of 64-bit words: where they lie, and how the words that
 * are not 0 are found.
 */
#ifndef SHMIG_DIRTY_BITMAP_H
#define SHMIG_DIRTY_BITMAP_H

#include <stdint.h>

/*
 * @n_words zeroes, at least one.  A large bitmap begins at a page, and takes
 * up no memory where it is not written; free it with the same number.
 */
uint64_t *shmig_bitmap_new(uint64_t n_words);
void shmig_bitmap_free(uint64_t *words, uint64_t n_words);

/*
 * The first word in [word, end) that is not 0, or @end if there is none.
 * Others may change words meanwhile: each is seen as it was before or after,
 * and nothing is ordered by that; load it again, as the order demands.
 */
uint64_t shmig_bitmap_next(const uint64_t *words, uint64_t word, uint64_t end);

/* The same in what every machine of this architecture has; for tests. */
uint64_t shmig_bitmap_next_baseline(const uint64_t *words, uint64_t word,
                                    uint64_t end);

#endif
