/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A DATA frame under construction. */
#include "shmig/io/batch.h"

void shmig_batch_reset(ShmigBatch *batch)
{
    batch->n_records = 0;
    batch->n_iov = 0;
    batch->payload = 0;
}

static bool continues(const ShmigRecord *last, uint32_t region, uint8_t kind,
                      uint64_t offset)
{
    return last->region == region && last->kind == kind &&
           last->offset + last->length == offset &&
           last->offset / SHMIG_STRIPE_BYTES == offset / SHMIG_STRIPE_BYTES;
}

static void add_bytes(ShmigBatch *batch, const void *bytes, uint64_t length)
{
    struct iovec *last = &batch->iov[batch->n_iov ? batch->n_iov - 1 : 0];

    if (batch->n_iov && (uint8_t *)last->iov_base + last->iov_len == bytes) {
        last->iov_len += length;
    } else {
        batch->iov[batch->n_iov].iov_base = (void *)bytes;
        batch->iov[batch->n_iov].iov_len = length;
        batch->n_iov++;
    }
    batch->payload += length;
}

void shmig_batch_add(ShmigBatch *batch, uint32_t region, uint64_t offset,
                     uint64_t length, const void *bytes)
{
    uint8_t kind = bytes ? SHMIG_RECORD_DATA : SHMIG_RECORD_ZERO;
    ShmigRecord *last =
        &batch->records[batch->n_records ? batch->n_records - 1 : 0];

    if (batch->n_records && continues(last, region, kind, offset)) {
        last->length += length;
    } else {
        g_assert(!shmig_batch_full(batch));
        batch->records[batch->n_records++] = (ShmigRecord) {
            .region = region,
            .kind = kind,
            .offset = offset,
            .length = length,
        };
    }
    if (bytes) {
        add_bytes(batch, bytes, length);
    }
}
