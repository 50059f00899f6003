/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which storage there is below block nodes, by its identities
 * (disk-identity.h).  What has none that can be told is left out.
 *
 * Main thread, BQL.  Arrays hold char * and own them; each identity once.
 */
#ifndef SHMIG_QEMU_DISK_STORAGE_H
#define SHMIG_QEMU_DISK_STORAGE_H

#include "block/block.h"

/* Of everything that this QEMU has open, for a guest or not. */
GPtrArray *shmig_storage_open(void);

/* Of all that is changed when @bs is written: not of its backing files. */
GPtrArray *shmig_storage_written(BlockDriverState *bs);

#endif
