/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a file has data and where holes, for disk/file.c.
 *
 * Where the file system cannot tell (block devices never can), everything is
 * data.  Any thread.
 */
#ifndef SHMIG_DISK_FILE_EXTENT_H
#define SHMIG_DISK_FILE_EXTENT_H

#include <pthread.h>

#include "shmig/disk/disk.h"

/*
 * Channels are far apart in a file: what one of them finds must not push out
 * what another needs for its next request.
 */
#define SHMIG_FILE_EXTENTS 16

typedef struct ShmigFileExtents {
    int fd; /* not ours */

    pthread_mutex_t lock; /* a GMutex would be opaque to ThreadSanitizer */
    /* Data extents found last; a new one takes the place of the oldest. */
    struct {
        uint64_t start, end;
    } data[SHMIG_FILE_EXTENTS];
    unsigned oldest;
} ShmigFileExtents;

void shmig_file_extents_init(ShmigFileExtents *extents, int fd);
void shmig_file_extents_destroy(ShmigFileExtents *extents);

/* The first byte of data in [@from, @end), or @end; asks the file. */
uint64_t shmig_file_next_data(ShmigFileExtents *extents, uint64_t from,
                              uint64_t end);

/* Up to where, at most @end, there is data from @from on. */
uint64_t shmig_file_data_end(ShmigFileExtents *extents, uint64_t from,
                             uint64_t end);

/* Fills in the results of a SHMIG_DISK_STATUS. */
void shmig_file_status(ShmigFileExtents *extents, ShmigDiskReq *req);

#endif
