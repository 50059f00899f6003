/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Putting RAM records into guest memory on the destination. */
#ifndef SHMIG_RAM_RECEIVE_H
#define SHMIG_RAM_RECEIVE_H

#include "shmig/io/conn.h"

/*
 * Fills @iov with the guest memory that the DATA records' payload goes to
 * and returns how many pieces.  @hosts: the memory of each region.  The
 * records have passed shmig_records_check().
 */
unsigned shmig_ram_place(const ShmigRecord *records, unsigned n,
                         uint8_t *const *hosts, struct iovec *iov);

/*
 * Zeroes what the ZERO records mean on @channel of @channels.  One record can
 * mean a whole region: when another thread sets *@over (atomically), the rest
 * is left as it is.
 */
void shmig_ram_zero(const ShmigRecord *records, unsigned n,
                    uint8_t *const *hosts, unsigned channel, unsigned channels,
                    const int *over);

#endif
