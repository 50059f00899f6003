/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contents of a fake disk: bytes in memory, which of them take space,
 * and which of them a flush has made durable.  Not locked.
 */
#ifndef FAKE_IMAGE_H
#define FAKE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_IMAGE_BLOCK 4096 /* what is allocated or a hole as a whole */

typedef struct FakeImage {
    uint64_t size_bytes;
    uint8_t *bytes;
    bool *allocated;   /* by block */
    uint64_t *changed; /* by sector: value of changes then, or 0 */
    uint64_t changes;  /* how many there were */
    uint64_t durable;  /* up to which change all is durable */
    uint64_t allocated_bytes;
} FakeImage;

/* All of it is a hole. */
FakeImage *fake_image_new(uint64_t size_bytes);
void fake_image_free(FakeImage *image);

void fake_image_write(FakeImage *image, uint64_t offset, uint64_t length,
                      const void *buf);
void fake_image_zero(FakeImage *image, uint64_t offset, uint64_t length);

/* The length of what is alike from @offset on, at most @length. */
uint64_t fake_image_extent(const FakeImage *image, uint64_t offset,
                           uint64_t length, bool *hole);

/* Whether each sector of the range was written or zeroed. */
bool fake_image_changed(const FakeImage *image, uint64_t offset,
                        uint64_t length);
/* Whether what was written or zeroed of the range is durable. */
bool fake_image_durable(const FakeImage *image, uint64_t offset,
                        uint64_t length);

#endif
