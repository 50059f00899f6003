/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much memory a session may take.
 *
 * Few channels share 24 buffers of 1 MiB, up to 6 each.  With more than 24 a
 * source has a smaller one for each, which cuts its frames; a destination,
 * which has to take frames of any size, lets its channels wait for one of
 * the 24.
 */
#include "shmig/session/memory.h"
#include "shmig/disk/apply.h"
#include "shmig/io/tls.h"
#include "shmig/session/source-internal.h"

#define BUFFERS 24
#define MOST_PER_CHANNEL 6
#define GRANULE (64u << 10)
/*
 * Of one channel, besides: 172 KiB of a connection (what a peer can make us
 * touch of it is less), 25 KiB of a ring, its stack, frames and batches.
 */
#define CHANNEL_BYTES (256u << 10)
/* With TLS also its two buffers, and what the library has in hand: keys, a
 * record that comes and one that goes. */
#define TLS_BYTES (SHMIG_TLS_SMALL_BYTES + SHMIG_TLS_BULK_BYTES + (64u << 10))
/* What QEMU and the peer may be ahead of each other, in both directions. */
#define STREAM_BYTES (2u * SHMIG_STREAM_WINDOW)

static uint64_t fixed_bytes(unsigned channels, bool tls)
{
    uint64_t of_one = CHANNEL_BYTES + (tls ? TLS_BYTES : 0);

    return STREAM_BYTES + channels * of_one;
}

/* Guest writes that wait, and those that are on their way. */
static uint64_t queue_bytes(unsigned channels)
{
    uint64_t of_one = SHMIG_SOURCE_QUEUE_BYTES / channels;

    return SHMIG_SOURCE_QUEUE_BYTES + channels * MIN(of_one, SHMIG_MAX_PAYLOAD);
}

ShmigMemory shmig_memory_source(unsigned channels, bool tls)
{
    uint64_t others = fixed_bytes(channels, tls) + queue_bytes(channels);
    uint64_t left = SHMIG_MEMORY_BYTES - others;
    ShmigMemory m;

    m.per_channel = CLAMP(BUFFERS / channels, 1, MOST_PER_CHANNEL);
    m.buffers = m.per_channel * channels;
    left = MIN(left, (uint64_t)BUFFERS * SHMIG_MAX_PAYLOAD);
    m.buffer_bytes =
        MIN(left / m.buffers / GRANULE * GRANULE, SHMIG_MAX_PAYLOAD);
    m.total_bytes = others + (uint64_t)m.buffers * m.buffer_bytes;
    return m;
}

ShmigMemory shmig_memory_dest(unsigned channels, bool tls)
{
    ShmigMemory m = { .buffer_bytes = SHMIG_APPLY_BUFFER_BYTES };

    m.per_channel = CLAMP(BUFFERS / channels, 2, MOST_PER_CHANNEL);
    m.buffers = MIN(m.per_channel * channels, BUFFERS);
    m.total_bytes =
        fixed_bytes(channels, tls) + (uint64_t)m.buffers * m.buffer_bytes;
    return m;
}
