/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding zeroes in memory.
 *
 * Most pages that hold data show it in one of three words, so these are
 * looked at first; what is left is read 128 bytes at a time, in vectors the
 * compiler has on every machine.  Zero pages cost what reading them costs.
 */
#include "shmig/base/zero.h"

#include <stdint.h>

#define STEP_BYTES 128

/*
 * Guest memory is written by others while it is read here: no tool that
 * looks for data races can know that this is meant.
 */
#define READS_LIVE_MEMORY __attribute__((no_sanitize_thread))

/* Any alignment, and bytes of any type. */
typedef uint64_t Vector __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t Word __attribute__((aligned(1), may_alias));

READS_LIVE_MEMORY
static bool zero_bytes(const uint8_t *p, size_t bytes)
{
    uint8_t all = 0;

    for (size_t i = 0; i < bytes; i++) {
        all |= p[i];
    }
    return all == 0;
}

READS_LIVE_MEMORY
static bool zero_step(const uint8_t *p)
{
    const Vector *v = (const Vector *)p;
    Vector all = (v[0] | v[1] | v[2] | v[3]) | (v[4] | v[5] | v[6] | v[7]);

    return (all[0] | all[1]) == 0;
}

READS_LIVE_MEMORY
bool shmig_is_zero(const void *buf, size_t bytes)
{
    const uint8_t *p = buf;
    const uint8_t *last;

    if (bytes < STEP_BYTES) {
        return zero_bytes(p, bytes);
    }
    if (*(const Word *)p | *(const Word *)(p + bytes / 2) |
        *(const Word *)(p + bytes - sizeof(Word))) {
        return false;
    }
    last = p + bytes - STEP_BYTES;
    for (; p < last; p += STEP_BYTES) {
        if (!zero_step(p)) {
            return false;
        }
    }
    /* Overlaps the step before unless the length is a multiple. */
    return zero_step(last);
}

static size_t prefix(const uint8_t *p, size_t bytes, size_t granule, bool zero)
{
    size_t done = 0;

    while (done < bytes) {
        size_t left = bytes - done;
        size_t n = left < granule ? left : granule;

        if (shmig_is_zero(p + done, n) != zero) {
            break;
        }
        done += n;
    }
    return done;
}

size_t shmig_zero_prefix(const void *buf, size_t bytes, size_t granule)
{
    return prefix(buf, bytes, granule, true);
}

size_t shmig_data_prefix(const void *buf, size_t bytes, size_t granule)
{
    return prefix(buf, bytes, granule, false);
}
