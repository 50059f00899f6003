/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A raw image or host device as a disk, through the submitting ring.
 *
 * A request is a loop: request_start() submits what is left of it as one
 * operation, io_done() accounts for the result and comes back, until nothing
 * is left or an error ends it.  Whatever may wait for the device (reads,
 * writes, fallocate, fdatasync) is the kernel's to do; only lseek(), which
 * has no such form, is called in place.
 *
 * A file opened O_DIRECT may need coarser alignment than the 512 bytes of a
 * request: guests write 512 bytes to images on disks with 4 KiB sectors, and
 * images end in the middle of a sector.  Such requests go through a second,
 * buffered descriptor of the same file.  The kernel keeps the two coherent as
 * long as no two of them touch one block at the same time, and it, not we,
 * then merges neighbours in one block, whichever channels they come from.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmig/base/container.h"
#include "shmig/base/range.h"
#include "shmig/disk/disk.h"
#include "shmig/disk/file-extent.h"

#define SECTOR 512
/* What Linux carries in one read or write, rounded to any alignment. */
#define MAX_CHUNK (1u << 30)

/* How zeroes get into a file, best first. */
typedef enum ZeroStep {
    ZERO_PUNCH, /* gives the space back */
    ZERO_RANGE, /* keeps it; block devices write zeroes themselves */
    ZERO_WRITE,
} ZeroStep;

typedef struct DiskFile {
    ShmigDisk disk;
    ShmigFileExtents extents;
    int fd;
    int buffered_fd; /* for what O_DIRECT does not take; or -1 */
    unsigned align;  /* of offsets, lengths and memory on fd */
    bool block_device;
    unsigned zero_step; /* atomic: what lies before it does not work here */
} DiskFile;

static const uint8_t zeroes[64 << 10] __attribute__((aligned(4096)));

static DiskFile *disk_file(const ShmigDiskReq *req)
{
    return SHMIG_CONTAINER_OF(req->disk, DiskFile, disk);
}

static int fd_for(const DiskFile *file, uint64_t offset, uint64_t length,
                  const void *buf)
{
    if (file->buffered_fd >= 0 &&
        (offset | length | (uintptr_t)buf) % file->align) {
        return file->buffered_fd;
    }
    return file->fd;
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

    io_uring_prep_read(sqe, fd_for(disk_file(req), offset, n, buf), buf, n,
                       offset);
    submit_sqe(req, sqe);
}

static void submit_write(ShmigDiskReq *req, const void *buf, uint64_t n)
{
    uint64_t offset = req->offset + req->progress;
    struct io_uring_sqe *sqe = shmig_ring_sqe(req->ring);

    n = MIN(n, MAX_CHUNK);
    io_uring_prep_write(sqe, fd_for(disk_file(req), offset, n, buf), buf, n,
                        offset);
    submit_sqe(req, sqe);
}

static void submit_fallocate(ShmigDiskReq *req, int mode, uint64_t n)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(req->ring);

    req->chunk = n;
    io_uring_prep_fallocate(sqe, disk_file(req)->fd, mode | FALLOC_FL_KEEP_SIZE,
                            req->offset + req->progress, n);
    submit_sqe(req, sqe);
}

static void submit_flush(ShmigDiskReq *req)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(req->ring);

    io_uring_prep_fsync(sqe, disk_file(req)->fd, IORING_FSYNC_DATASYNC);
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

    if (file->block_device) {
        return -EIO;
    }
    if (fstat(file->fd, &st) < 0) {
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
            return res;
        }
        req->progress += res;
        return res % SECTOR || !res ? end_of_file(req, res == 0) : 0;
    case SHMIG_DISK_ZERO:
        if (res < 0) {
            return next_zero_step(req, res);
        }
        if (req->step != ZERO_WRITE) {
            req->progress += req->chunk;
            return 0;
        }
        /* fall through */
    case SHMIG_DISK_WRITE:
        if (res < 0) {
            return res;
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
           ((req->offset | req->length) % SECTOR == 0 &&
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
    if (file->buffered_fd >= 0) {
        close(file->buffered_fd);
    }
    close(file->fd);
    g_free(file);
}

static const ShmigDiskOps disk_file_ops = {
    .name = "file",
    .submit = disk_file_submit,
    .free = disk_file_free,
};

/* What O_DIRECT wants of @fd; 4096 is enough for every device made so far. */
static unsigned direct_align(int fd, bool block_device)
{
    int sector = 0;

#ifdef STATX_DIOALIGN
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
        (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align) {
        return MAX(stx.stx_dio_offset_align, stx.stx_dio_mem_align);
    }
#endif
    if (block_device && ioctl(fd, BLKSSZGET, &sector) == 0 && sector > 0) {
        return sector;
    }
    return 4096;
}

static int reopen_buffered(int fd, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, (flags & O_ACCMODE) | O_CLOEXEC);
}

ShmigDisk *shmig_disk_file_new(int fd, uint64_t size_bytes)
{
    DiskFile *file = g_new0(DiskFile, 1);
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    file->disk.ops = &disk_file_ops;
    file->disk.size_bytes = size_bytes;
    file->fd = fd;
    file->buffered_fd = -1;
    file->align = 1;
    file->block_device = fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
    shmig_file_extents_init(&file->extents, fd);
    if (flags < 0) {
        return &file->disk; /* each request will say what is wrong with it */
    }
    if (flags & O_NONBLOCK) {
        /* Means nothing for files, but io_uring would answer EAGAIN to it. */
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    if (flags & O_DIRECT) {
        file->align = direct_align(fd, file->block_device);
    }
    if (file->align > SECTOR) {
        /* Where this is not allowed, the kernel refuses: EINVAL. */
        file->buffered_fd = reopen_buffered(fd, flags);
    }
    return &file->disk;
}
