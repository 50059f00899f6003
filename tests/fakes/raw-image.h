/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file or device under test as a disk: one request at a time, and what is
 * in it by plain pread().
 */
#ifndef RAW_IMAGE_H
#define RAW_IMAGE_H

#include "shmig/disk/disk.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

typedef struct RawImage {
    ShmigRing *ring;
    ShmigDisk *disk;
    int fd; /* the test's own, cached */
} RawImage;

typedef struct RawRequest {
    ShmigDiskReq req;
    unsigned done_count;
    int res;
} RawRequest;

/* Takes both descriptors; @disk_fd is for the disk. */
void raw_image_init(RawImage *image, int fd, int disk_fd, uint64_t size_bytes);
void raw_image_close(RawImage *image);

ShmigRing *raw_image_ring(void);

/* Submits, and sees that it is not done yet. */
void raw_image_start(RawImage *image, RawRequest *request, ShmigDiskCmd cmd,
                     uint64_t offset, uint64_t length, void *buf);
/* Waits; the result is 0 or -errno. */
int raw_image_wait(RawImage *image, RawRequest *request);
int raw_image_do(RawImage *image, ShmigDiskCmd cmd, uint64_t offset,
                 uint64_t length, void *buf);
/* Asserts on the answer to a status request. */
void raw_image_status(RawImage *image, uint64_t offset, uint64_t length,
                      bool zero, uint64_t bytes);

/* Aligned memory full of rubbish, for free(). */
uint8_t *raw_image_buffer(uint64_t bytes);
/* Bytes that are right in one place of an image only. */
void raw_image_fill(uint8_t *buf, uint64_t offset, uint64_t length);
/* Asserts that @buf holds them, or zeroes. */
void raw_image_check(const uint8_t *buf, uint64_t offset, uint64_t length,
                     bool zero);

/* Past the disk: writes them, durable; asserts that the file holds them. */
void raw_image_poke(RawImage *image, uint64_t offset, uint64_t length);
void raw_image_expect(RawImage *image, uint64_t offset, uint64_t length,
                      bool zero);

#endif
