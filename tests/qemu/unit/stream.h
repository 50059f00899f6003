/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A piece of QEMU's migration stream in memory, and what is said about it. */
#ifndef SHMIG_TEST_STREAM_H
#define SHMIG_TEST_STREAM_H

#include "migration/qemu-file.h"

/* An empty one; big-endian as QEMU's. */
GByteArray *stream_new(void);
void stream_put_u32(GByteArray *stream, uint32_t value);
void stream_put_u64(GByteArray *stream, uint64_t value);
void stream_put_name(GByteArray *stream, const char *name);

/* Its first @length bytes, to be read. */
QEMUFile *stream_open(const GByteArray *stream, size_t length);

/* What error_report() said since it was asked last. */
char *stream_said(void);

#endif
