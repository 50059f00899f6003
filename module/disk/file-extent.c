/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a file has data and where holes.
 *
 * Only data is remembered.  A guest may write to what was a hole a moment
 * ago, and a hole that is reported late would lose that write; data that has
 * become a hole is merely read.  Remembering is not for the system call's
 * sake: tmpfs, and page caches over preallocated space, walk every page up
 * to the end of the data, once per call.
 */
#include <errno.h>
#include <unistd.h>

#include "shmig/disk/file-extent.h"

#define SECTOR 512

void shmig_file_extents_init(ShmigFileExtents *extents, int fd)
{
    extents->fd = fd;
    extents->data_start = extents->data_end = 0;
    pthread_mutex_init(&extents->lock, NULL);
}

void shmig_file_extents_destroy(ShmigFileExtents *extents)
{
    pthread_mutex_destroy(&extents->lock);
}

uint64_t shmig_file_next_data(ShmigFileExtents *extents, uint64_t from,
                              uint64_t end)
{
    off_t data = lseek(extents->fd, from, SEEK_DATA);

    if (data < 0) {
        /* ENXIO: nothing but a hole, or the end of the file. */
        return errno == ENXIO ? end : from;
    }
    /* A sector that is data in part is data. */
    data = data / SECTOR * SECTOR;
    return CLAMP((uint64_t)data, from, end);
}

static uint64_t remembered_end(ShmigFileExtents *extents, uint64_t from)
{
    uint64_t found = 0;

    pthread_mutex_lock(&extents->lock);
    if (extents->data_start <= from && from < extents->data_end) {
        found = extents->data_end;
    }
    pthread_mutex_unlock(&extents->lock);
    return found;
}

uint64_t shmig_file_data_end(ShmigFileExtents *extents, uint64_t from,
                             uint64_t end)
{
    uint64_t found = remembered_end(extents, from);
    off_t hole;

    if (found) {
        return MIN(found, end);
    }
    hole = lseek(extents->fd, from, SEEK_HOLE);
    if (hole < 0) {
        return end;
    }
    found = ((uint64_t)hole + SECTOR - 1) / SECTOR * SECTOR;
    if (found <= from) {
        return MIN(from + SECTOR, end); /* became a hole under our feet */
    }
    pthread_mutex_lock(&extents->lock);
    extents->data_start = from;
    extents->data_end = found;
    pthread_mutex_unlock(&extents->lock);
    return MIN(found, end);
}

void shmig_file_status(ShmigFileExtents *extents, ShmigDiskReq *req)
{
    uint64_t end = req->offset + req->length;
    uint64_t data = req->offset;

    if (!remembered_end(extents, req->offset)) {
        data = shmig_file_next_data(extents, req->offset, end);
    }
    req->extent_zero = data > req->offset;
    if (!req->extent_zero) {
        data = shmig_file_data_end(extents, req->offset, end);
    }
    req->extent_bytes = data - req->offset;
}
