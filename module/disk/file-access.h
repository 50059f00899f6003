/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Through which descriptor of a file a request goes, for disk/file.c.
 *
 * Constant after init: any thread.
 */
#ifndef SHMIG_DISK_FILE_ACCESS_H
#define SHMIG_DISK_FILE_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ShmigFileAccess {
    int fd;                   /* as given to us: one of the other two */
    int cached_fd, direct_fd; /* or -1 */
    uint64_t align;           /* of what direct_fd takes */
    bool block_device;
} ShmigFileAccess;

/* Takes ownership of @fd.  Never fails: at worst there is only @fd. */
void shmig_file_access_init(ShmigFileAccess *access, int fd);
void shmig_file_access_destroy(ShmigFileAccess *access);

/* Of a read, or a @write, of @length bytes at @offset, from @buf. */
int shmig_file_access_fd(const ShmigFileAccess *access, bool write,
                         uint64_t offset, uint64_t length, const void *buf);

#endif
