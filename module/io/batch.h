/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A DATA frame under construction: records and where their bytes are. */
#ifndef SHMIG_IO_BATCH_H
#define SHMIG_IO_BATCH_H

#include <glib.h>
#include "shmig/io/conn.h"

typedef struct ShmigBatch {
    ShmigRecord records[SHMIG_MAX_RECORDS];
    struct iovec iov[SHMIG_CONN_MAX_IOV];
    unsigned n_records;
    unsigned n_iov;
    uint32_t payload; /* bytes of all DATA records */
} ShmigBatch;

void shmig_batch_reset(ShmigBatch *batch);

/* Whether one more record fits. */
static inline bool shmig_batch_full(const ShmigBatch *batch)
{
    return batch->n_records == SHMIG_MAX_RECORDS;
}

/*
 * Appends @length bytes of region @region at @offset; @bytes NULL: they are
 * zeroes.  Continues the last record where that keeps within one stripe.
 * The caller has checked that there is room.
 */
void shmig_batch_add(ShmigBatch *batch, uint32_t region, uint64_t offset,
                     uint64_t length, const void *bytes);

#endif
