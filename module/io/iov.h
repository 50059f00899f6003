/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moving through pieces of memory. */
#ifndef SHMIG_IO_IOV_H
#define SHMIG_IO_IOV_H

#include <stdint.h>
#include <sys/uio.h>

/* Drops the first @bytes of iov[*at..n). */
static inline void shmig_iov_advance(struct iovec *iov, unsigned *at,
                                     unsigned n, size_t bytes)
{
    while (*at < n && bytes >= iov[*at].iov_len) {
        bytes -= iov[*at].iov_len;
        (*at)++;
    }
    if (*at < n) {
        iov[*at].iov_base = (uint8_t *)iov[*at].iov_base + bytes;
        iov[*at].iov_len -= bytes;
    }
}

#endif
