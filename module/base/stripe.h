/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The unit that never changes its connection; docs/protocol.md, "Stripes". */
#ifndef SHMIG_BASE_STRIPE_H
#define SHMIG_BASE_STRIPE_H

#include <stdint.h>

#define SHMIG_STRIPE_BYTES (2u << 20)

/* The channel that carries @stripe of @region, of @channels. */
static inline unsigned shmig_stripe_channel(uint32_t region, uint64_t stripe,
                                            unsigned channels)
{
    return (region + stripe) % channels;
}

/* The first stripe of @region, from @stripe on, that @channel carries. */
static inline uint64_t shmig_stripe_from(uint32_t region, uint64_t stripe,
                                         unsigned channel, unsigned channels)
{
    unsigned other = shmig_stripe_channel(region, stripe, channels);

    return stripe + (channel + channels - other) % channels;
}

#endif
