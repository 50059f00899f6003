/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Through which descriptor of a file a request goes.
 *
 * A file may get a second descriptor, so that it has one that is O_DIRECT and
 * one that is cached:
 *   - A file given as O_DIRECT may need coarser alignment than the 512 bytes
 *     of a request: guests write 512 bytes to images on disks with 4 KiB
 *     sectors, and images end in the middle of a sector.  Such requests go
 *     through the cache.
 *   - A file given as cached gets its large writes O_DIRECT: the cache costs
 *     several times the CPU, pushes out what the host needs, and what it
 *     leaves dirty has to be written while the guest is stopped.
 * The kernel keeps both coherent as long as no two requests touch one page
 * through different descriptors at the same time.  Requests do not overlap,
 * and those that share a page with others are cached: then it is the kernel
 * that merges neighbours, whichever channels they come from.
 */
#include <fcntl.h>
#include <glib.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmig/disk/file-access.h"
#include "shmig/base/units.h"

/*
 * Smaller writes to a file given as cached are the guest's, mirrored: the
 * cache may collect them.  The bulk copy moves whole granules.
 */
#define MIN_DIRECT_WRITE (64 << 10)

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
    return SHMIG_PAGE_BYTES;
}

/* A descriptor of its own, not one more of the same open file. */
static int reopen(int fd, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

static void init_direct(ShmigFileAccess *access, int mode)
{
    access->direct_fd = access->fd;
    access->align = direct_align(access->fd, access->block_device);
    if (access->align > SHMIG_SECTOR_BYTES) {
        access->cached_fd = reopen(access->fd, mode);
    }
}

static void init_cached(ShmigFileAccess *access, int mode)
{
    uint64_t page_bytes = sysconf(_SC_PAGESIZE);

    access->cached_fd = access->fd;
    if (mode == O_RDONLY) {
        return;
    }
    access->direct_fd = reopen(access->fd, mode | O_DIRECT);
    if (access->direct_fd >= 0) {
        access->align = MAX(
            page_bytes, direct_align(access->direct_fd, access->block_device));
    }
}

void shmig_file_access_init(ShmigFileAccess *access, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    access->fd = fd;
    access->cached_fd = access->direct_fd = -1;
    access->align = SHMIG_SECTOR_BYTES;
    access->block_device = fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
    if (flags >= 0 && (flags & O_NONBLOCK)) {
        /* Means nothing for files, but io_uring would answer EAGAIN to it. */
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    if (flags >= 0 && (flags & O_DIRECT)) {
        init_direct(access, flags & O_ACCMODE);
    } else {
        init_cached(access, flags < 0 ? O_RDONLY : flags & O_ACCMODE);
    }
}

void shmig_file_access_destroy(ShmigFileAccess *access)
{
    if (access->cached_fd >= 0 && access->cached_fd != access->fd) {
        close(access->cached_fd);
    }
    if (access->direct_fd >= 0 && access->direct_fd != access->fd) {
        close(access->direct_fd);
    }
    close(access->fd);
}

int shmig_file_access_fd(const ShmigFileAccess *access, bool write,
                         uint64_t offset, uint64_t length, const void *buf)
{
    bool aligned = (offset | length | (uintptr_t)buf) % access->align == 0;

    if (access->cached_fd < 0 || access->direct_fd < 0) {
        return access->fd;
    }
    if (!aligned) {
        return access->cached_fd;
    }
    return write && length >= MIN_DIRECT_WRITE ? access->direct_fd : access->fd;
}
