/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Putting RAM records into guest memory on the destination. */
#include "shmig/ram/receive.h"
#include "shmig/base/zero.h"
#include "shmig/dirty/region.h"

#include <glib.h>
#include <string.h>

unsigned shmig_ram_place(const ShmigRecord *records, unsigned n,
                         uint8_t *const *hosts, struct iovec *iov)
{
    unsigned n_iov = 0;

    for (unsigned i = 0; i < n; i++) {
        if (records[i].kind == SHMIG_RECORD_DATA) {
            iov[n_iov].iov_base = hosts[records[i].region] + records[i].offset;
            iov[n_iov].iov_len = records[i].length;
            n_iov++;
        }
    }
    return n_iov;
}

/*
 * Page by page, so that pages that are zero are not written: anonymous memory
 * that was never touched stays that way.  In a file or in hugepages a page that
 * is looked at is allocated all the same.
 */
static void zero_range(uint8_t *host, uint64_t length)
{
    while (length) {
        uint64_t n = MIN(SHMIG_RAM_GRANULE_BYTES, length);

        if (!shmig_is_zero(host, n)) {
            memset(host, 0, n);
        }
        host += n;
        length -= n;
    }
}

static void zero_record(const ShmigRecord *record, uint8_t *host,
                        unsigned channel, unsigned channels, const int *over)
{
    uint64_t at = record->offset;
    uint64_t end = record->offset + record->length;

    while (at < end && !__atomic_load_n(over, __ATOMIC_RELAXED)) {
        uint64_t stripe = at / SHMIG_STRIPE_BYTES;
        uint64_t stop = MIN((stripe + 1) * SHMIG_STRIPE_BYTES, end);

        if (shmig_stripe_channel(record->region, stripe, channels) == channel) {
            zero_range(host + at, stop - at);
        }
        at = stop;
    }
}

void shmig_ram_zero(const ShmigRecord *records, unsigned n,
                    uint8_t *const *hosts, unsigned channel, unsigned channels,
                    const int *over)
{
    for (unsigned i = 0; i < n; i++) {
        if (records[i].kind == SHMIG_RECORD_ZERO) {
            zero_record(&records[i], hosts[records[i].region], channel,
                        channels, over);
        }
    }
}
