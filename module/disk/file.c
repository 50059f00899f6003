/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A raw image or host device as a disk, through the submitting ring.
 *
 * A request is a loop: request_start() submits what is left of it as one
 * operation, io_done() accounts for the result and comes back, until nothing
 * is left or an error ends it.  Whatever may wait for the device (reads,
 * writes, fallocate, fdatasync) is the kernel's to do; only lseek(), which
 * has no such form, is called in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>

#include "shmig/base/container.h"
#include "shmig/base/range.h"
#include "shmig/base/units.h"
#include "shmig/disk/disk.h"
#include "shmig/disk/file-access.h"
#include "shmig/disk/file-extent.h"

/* What Linux carries in one read or write, rounded to any alignment. */
#define MAX_CHUNK (1u << 30)

/* How bytes are read and written: ShmigDiskReq.step. */
typedef enum RwStep {
    RW_BEST,
    RW_CACHED, /* the kernel refused O_DIRECT, whatever it said before */
} RwStep;

/* How zeroes get into a file, best first. */
typedef enum ZeroStep {
    ZERO_PUNCH, /* gives the space back */
    ZERO_RANGE, /* keeps it; block devices write zeroes themselves */
    ZERO_WRITE,
} ZeroStep;

typedef struct DiskFile {
    ShmigDisk disk;
    ShmigFileExtents extents;
    ShmigFileAccess access;
    unsigned zero_step; /* atomic: what lies before it does not work here */
} DiskFile;

static const uint8_t zeroes[64 << 10]
    __attribute__((aligned(SHMIG_PAGE_BYTES)));

static DiskFile *disk_file(const ShmigDiskReq *req)
{
    return SHMIG_CONTAINER_OF(req->disk, DiskFile, disk);
}

/* Where the part [@offset, + @length) of @req is read or written. */
static int fd_for(const ShmigDiskReq *req, uint64_t offset, uint64_t length,
                  const void *buf)
{
    const ShmigFileAccess *access = &disk_file(req)->access;
    bool write = req->cmd != SHMIG_DISK_READ;

    if (req->cmd != SHMIG_DISK_ZERO && req->step == RW_CACHED) {
        return access->cached_fd;
    }
    return shmig_file_access_fd(access, write, offset, length, buf);
}

static void submit_sqe(ShmigDiskReq *req, struct io_uring_sqe *sqe)
{
    shmig_ring_tie(req->ring, sqe, &req->io);
}

static void submit_read(ShmigDiskReq *req)
{
    uint64_t offset = req->offset + req->progress;
    uint8_t *buf = (uint8_t *)req->buf + req->progress;
    unsigned n = MIN(req->length - req->progress, MAX_CHUNK);
    struct io_uring_sqe *sqe = shmig_ring_sqe(req->ring);

    io_uring_prep_read(sqe, fd_for(req, offset, n, buf), buf, n, offset);
    submit_sqe(req, sqe);
}

static void submit_write(ShmigDiskReq *req, const void *buf, uint64_t n)
{
    uint64_t offset = req->offset + req->progress;
    struct io_uring_sqe *sqe = shmig_ring_sqe(req->ring);

    n = MIN(n, MAX_CHUNK);
    io_uring_prep_write(sqe, fd_for(req, offset, n, buf), buf, n, offset);
    submit_sqe(req, sqe);
}

static void submit_fallocate(ShmigDiskReq *req, int mode, uint64_t n)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(req->ring);

    req->chunk = n;
    io_uring_prep_fallocate(sqe, disk_file(req)->access.fd,
                            mode | FALLOC_FL_KEEP_SIZE,
                            req->offset + req->progress, n);
    submit_sqe(req, sqe);
}

static void submit_flush(ShmigDiskReq *req)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(req->ring);

    io_uring_prep_fsync(sqe, disk_file(req)->access.fd, IORING_FSYNC_DATASYNC);
    submit_sqe(req, sqe);
}

/* Submits zeroes for the next data of the range, or finds none: false. */
static bool submit_zero(ShmigDiskReq *req)
{
    DiskFile *file = disk_file(req);
    uint64_t end = req->offset + req->length;
    uint64_t at =
        shmig_file_next_data(&file->extents, req->offset + req->progress, end);
    uint64_t data_bytes;

    if (at == end) {
        return false;
    }
    req->progress = at - req->offset;
    if (req->step == ZERO_PUNCH) {
        submit_fallocate(req, FALLOC_FL_PUNCH_HOLE, end - at);
        return true;
    }
    /* These allocate: holes further on have to be left out. */
    data_bytes = shmig_file_data_end(&file->extents, at, end) - at;
    if (req->step == ZERO_RANGE) {
        submit_fallocate(req, FALLOC_FL_ZERO_RANGE, data_bytes);
    } else {
        submit_write(req, zeroes, MIN(data_bytes, sizeof(zeroes)));
    }
    return true;
}

/* Submits what is left of @req; 1 if there was something, 0 if it is done. */
static int request_start(ShmigDiskReq *req)
{
    bool left = req->progress < req->length;

    switch (req->cmd) {
    case SHMIG_DISK_STATUS:
        shmig_file_status(&disk_file(req)->extents, req);
        return 0;
    case SHMIG_DISK_READ:
        if (left) {
            submit_read(req);
        }
        return left;
    case SHMIG_DISK_WRITE:
        if (left) {
            submit_write(req, (uint8_t *)req->buf + req->progress,
                         req->length - req->progress);
        }
        return left;
    case SHMIG_DISK_ZERO:
        return left && submit_zero(req);
    case SHMIG_DISK_FLUSH:
        if (req->step == 0) {
            submit_flush(req);
        }
        return req->step++ == 0;
    }
    return -EINVAL;
}

/*
 * The kernel read no whole number of sectors, or nothing.  At the end of a
 * file that is shorter than the disk the rest is zero.
 */
static int end_of_file(ShmigDiskReq *req, bool nothing)
{
    DiskFile *file = disk_file(req);
    struct stat st;

    if (file->access.block_device) {
        return -EIO;
    }
    if (fstat(file->access.fd, &st) < 0) {
        return -errno;
    }
    if ((uint64_t)st.st_size > req->offset + req->progress) {
        return nothing ? -EIO : 0;
    }
    memset((uint8_t *)req->buf + req->progress, 0, req->length - req->progress);
    req->progress = req->length;
    return 0;
}

/* Zeroing by req->step failed with @err: what to try next, or -errno. */
static int next_zero_step(ShmigDiskReq *req, int err)
{
    DiskFile *file = disk_file(req);

    if (req->step == ZERO_WRITE) {
        return err;
    }
    if (err == -EINVAL) {
        /* This range is not aligned for the device; others may be. */
        req->step = ZERO_WRITE;
        return 0;
    }
    if (err != -EOPNOTSUPP && err != -ENOSYS) {
        return err;
    }
    req->step++;
    if (__atomic_load_n(&file->zero_step, __ATOMIC_RELAXED) < req->step) {
        /* Two rings may race here: then the other step is tried once more. */
        __atomic_store_n(&file->zero_step, req->step, __ATOMIC_RELAXED);
    }
    return 0;
}

/* A read or write failed with @err: 0 to try another way, or -errno. */
static int next_rw_step(ShmigDiskReq *req, int err)
{
    if (err != -EINVAL || req->step == RW_CACHED ||
        disk_file(req)->access.cached_fd < 0) {
        return err;
    }
    req->step = RW_CACHED;
    return 0;
}

/* Accounts for a result; 0 to go on, or -errno. */
static int io_result(ShmigDiskReq *req, int res)
{
    if (res == -EINTR || res == -EAGAIN) {
        if (req->cmd == SHMIG_DISK_FLUSH) {
            req->step = 0;
        }
        return 0;
    }
    switch (req->cmd) {
    case SHMIG_DISK_READ:
        if (res < 0) {
            return next_rw_step(req, res);
        }
        req->progress += res;
        return res % SHMIG_SECTOR_BYTES || !res ? end_of_file(req, res == 0)
                                                : 0;
    case SHMIG_DISK_ZERO:
        if (res < 0) {
            return next_zero_step(req, res);
        }
        if (req->step != ZERO_WRITE) {
            req->progress += req->chunk;
            return 0;
        }
        req->progress += res;
        return res ? 0 : -EIO;
    case SHMIG_DISK_WRITE:
        if (res < 0) {
            return next_rw_step(req, res);
        }
        req->progress += res;
        return res ? 0 : -EIO;
    default:
        return res;
    }
}

static void io_done(ShmigOp *op, int res)
{
    ShmigDiskReq *req = SHMIG_CONTAINER_OF(op, ShmigDiskReq, io);
    int ret = io_result(req, res);

    if (ret == 0) {
        ret = request_start(req);
    }
    if (ret <= 0) {
        req->op.done(&req->op, ret);
    }
}

static bool request_ok(const ShmigDiskReq *req)
{
    return req->cmd == SHMIG_DISK_FLUSH ||
           ((req->offset | req->length) % SHMIG_SECTOR_BYTES == 0 &&
            shmig_range_ok(req->offset, req->length, req->disk->size_bytes));
}

static void disk_file_submit(ShmigDisk *disk, ShmigRing *ring,
                             ShmigDiskReq *req)
{
    DiskFile *file = disk_file(req);
    int ret = -EINVAL;

    req->progress = 0;
    req->io.done = io_done;
    req->step = req->cmd == SHMIG_DISK_ZERO
                    ? __atomic_load_n(&file->zero_step, __ATOMIC_RELAXED)
                    : 0;
    if (request_ok(req)) {
        ret = request_start(req);
    }
    if (ret <= 0) {
        shmig_ring_post(ring, &req->op, ret);
    }
}

static void disk_file_free(ShmigDisk *disk)
{
    DiskFile *file = SHMIG_CONTAINER_OF(disk, DiskFile, disk);

    shmig_file_extents_destroy(&file->extents);
    shmig_file_access_destroy(&file->access);
    g_free(file);
}

static const ShmigDiskOps disk_file_ops = {
    .name = "file",
    .submit = disk_file_submit,
    .free = disk_file_free,
};

ShmigDisk *shmig_disk_file_new(int fd, uint64_t size_bytes)
{
    DiskFile *file = g_new0(DiskFile, 1);

    file->disk.ops = &disk_file_ops;
    file->disk.size_bytes = size_bytes;
    shmig_file_access_init(&file->access, fd);
    shmig_file_extents_init(&file->extents, fd);
    return &file->disk;
}
