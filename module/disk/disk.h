/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk as the engine sees it: where bytes of a disk region are read from
 * or written to.  Implemented by disk/file.c for raw images and host devices
 * (the channel's own io_uring) and, in QEMU, by the block layer.
 */
#ifndef SHMIG_DISK_DISK_H
#define SHMIG_DISK_DISK_H

#include "shmig/io/ring.h"

typedef struct ShmigDisk ShmigDisk;
typedef struct ShmigDiskReq ShmigDiskReq;

typedef enum ShmigDiskCmd {
    /*
     * How the bytes at @offset are stored: sets @extent_zero and
     * @extent_bytes (1 to @length).  A disk that cannot tell says "not zero".
     */
    SHMIG_DISK_STATUS,
    SHMIG_DISK_READ,  /* all of @length into @buf, or an error */
    SHMIG_DISK_WRITE, /* all of @length from @buf, or an error */
    /*
     * Bytes read as zero afterwards, and what can be thin is thin; nothing
     * is allocated, and what already is a hole is left alone.
     */
    SHMIG_DISK_ZERO,
    SHMIG_DISK_FLUSH, /* what was completed before is durable; no range */
} ShmigDiskCmd;

/*
 * One request.  The caller fills the first group and keeps everything in
 * place until op.done(), which gets 0 or -errno.  Offsets and lengths are
 * multiples of 512 and lie within the disk; @buf is
 * aligned to 512, and if the length is a multiple of 4096 to that.
 */
struct ShmigDiskReq {
    ShmigOp op;
    ShmigDiskCmd cmd;
    uint64_t offset;
    uint64_t length;
    void *buf;

    /* Results of SHMIG_DISK_STATUS. */
    uint64_t extent_bytes;
    bool extent_zero;

    /* For the disk's own use while the request is in flight. */
    ShmigDisk *disk;
    ShmigRing *ring;
    uint64_t progress;
    uint64_t chunk;
    unsigned step;
    ShmigOp io; /* what the disk itself waits for */
};

typedef struct ShmigDiskOps {
    const char *name; /* for statistics: "file", "block-layer" */
    /*
     * Starts @req; op.done() runs later on the thread of @ring, never from
     * inside submit.  Called on that thread; several rings may submit to one
     * disk.  Overlapping writes are never in flight together.
     */
    void (*submit)(ShmigDisk *disk, ShmigRing *ring, ShmigDiskReq *req);
    /* Nothing is in flight any more.  Any thread. */
    void (*free)(ShmigDisk *disk);
} ShmigDiskOps;

/* Base of every implementation. */
struct ShmigDisk {
    const ShmigDiskOps *ops;
    uint64_t size_bytes;
};

static inline void shmig_disk_submit(ShmigDisk *disk, ShmigRing *ring,
                                     ShmigDiskReq *req)
{
    req->disk = disk;
    req->ring = ring;
    disk->ops->submit(disk, ring, req);
}

static inline void shmig_disk_free(ShmigDisk *disk)
{
    if (disk) {
        disk->ops->free(disk);
    }
}

/*
 * A raw image or host device through io_uring.  Takes ownership of @fd,
 * opened O_DIRECT or not, as the caller's own use of the file is; large writes
 * go past the page cache in any case, if the process may reopen the file.
 */
ShmigDisk *shmig_disk_file_new(int fd, uint64_t size_bytes);

#endif
