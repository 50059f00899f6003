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
#include <string.h>
#include <unistd.h>

#include "shmig/disk/file-extent.h"
#include "shmig/base/units.h"

void shmig_file_extents_init(ShmigFileExtents *extents, int fd)
{
    extents->fd = fd;
    memset(extents->data, 0, sizeof(extents->data));
    extents->oldest = 0;
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
    data = data / SHMIG_SECTOR_BYTES * SHMIG_SECTOR_BYTES;
    return CLAMP((uint64_t)data, from, end);
}

static uint64_t remembered_end(ShmigFileExtents *extents, uint64_t from)
{
    uint64_t found = 0;

    pthread_mutex_lock(&extents->lock);
    for (unsigned i = 0; i < SHMIG_FILE_EXTENTS; i++) {
        if (extents->data[i].start <= from && from < extents->data[i].end) {
            found = extents->data[i].end;
        }
    }
    pthread_mutex_unlock(&extents->lock);
    return found;
}

/* The same extent may be known already, but from further on. */
static void remember(ShmigFileExtents *extents, uint64_t from, uint64_t end)
{
    unsigned i = 0;

    pthread_mutex_lock(&extents->lock);
    while (i < SHMIG_FILE_EXTENTS && extents->data[i].end != end) {
        i++;
    }
    if (i == SHMIG_FILE_EXTENTS) {
        i = extents->oldest;
        extents->oldest = (i + 1) % SHMIG_FILE_EXTENTS;
    }
    extents->data[i].start = from;
    extents->data[i].end = end;
    pthread_mutex_unlock(&extents->lock);
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
    found = ((uint64_t)hole + SHMIG_SECTOR_BYTES - 1) / SHMIG_SECTOR_BYTES *
            SHMIG_SECTOR_BYTES;
    if (found <= from) {
        /* It became a hole under our feet. */
        return MIN(from + SHMIG_SECTOR_BYTES, end);
    }
    remember(extents, from, found);
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
