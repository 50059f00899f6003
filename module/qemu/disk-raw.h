/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which disks are plain files or host devices that io_uring can reach. */
#ifndef SHMIG_QEMU_DISK_RAW_H
#define SHMIG_QEMU_DISK_RAW_H

#include <sys/stat.h>

#include "block/block.h"

/*
 * A file descriptor of our own for the image of @bs, in which byte N of the
 * disk is byte N of the file, opened as QEMU itself uses it (O_DIRECT or
 * not), or -1 if @bs is not such a disk or cannot be opened so: it has to go
 * through the block layer then.  Main thread, BQL.
 */
int shmig_disk_raw_open(BlockDriverState *bs, bool writable);

/*
 * Whether the image that @bs is stored in is a file or host device here;
 * fills @st for it.  Whatever its format.  Main thread, BQL.
 */
bool shmig_disk_raw_stat(BlockDriverState *bs, struct stat *st);

#endif
