/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The contents of a fake disk. */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake-image.h"

#define SECTOR 512

FakeImage *fake_image_new(uint64_t size_bytes)
{
    FakeImage *image = g_new0(FakeImage, 1);

    g_assert_cmpuint(size_bytes, >, 0);
    g_assert_cmpuint(size_bytes % SECTOR, ==, 0);
    image->size_bytes = size_bytes;
    /* A large disk costs only what is written to it. */
    image->bytes = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(image->bytes != MAP_FAILED);
    image->allocated = g_new0(bool, size_bytes / FAKE_IMAGE_BLOCK + 1);
    image->changed = g_new0(uint64_t, size_bytes / SECTOR);
    return image;
}

void fake_image_free(FakeImage *image)
{
    if (image) {
        munmap(image->bytes, image->size_bytes);
        g_free(image->allocated);
        g_free(image->changed);
        g_free(image);
    }
}

static void mark_changed(FakeImage *image, uint64_t offset, uint64_t length)
{
    image->changes++;
    for (uint64_t i = offset; i < offset + length; i += SECTOR) {
        image->changed[i / SECTOR] = image->changes;
    }
}

static uint64_t block_bytes(const FakeImage *image, uint64_t block)
{
    return MIN(FAKE_IMAGE_BLOCK, image->size_bytes - block * FAKE_IMAGE_BLOCK);
}

static void set_allocated(FakeImage *image, uint64_t block, bool allocated)
{
    if (image->allocated[block] != allocated) {
        image->allocated[block] = allocated;
        if (allocated) {
            image->allocated_bytes += block_bytes(image, block);
        } else {
            image->allocated_bytes -= block_bytes(image, block);
        }
    }
}

void fake_image_write(FakeImage *image, uint64_t offset, uint64_t length,
                      const void *buf)
{
    memcpy(image->bytes + offset, buf, length);
    for (uint64_t block = offset / FAKE_IMAGE_BLOCK;
         block * FAKE_IMAGE_BLOCK < offset + length; block++) {
        set_allocated(image, block, true);
    }
    mark_changed(image, offset, length);
}

void fake_image_zero(FakeImage *image, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;

    for (uint64_t block = offset / FAKE_IMAGE_BLOCK;
         block * FAKE_IMAGE_BLOCK < end; block++) {
        uint64_t at = block * FAKE_IMAGE_BLOCK;

        if (image->allocated[block]) {
            uint64_t from = MAX(at, offset);
            uint64_t to = MIN(at + block_bytes(image, block), end);

            memset(image->bytes + from, 0, to - from);
            if (to - from == block_bytes(image, block)) {
                set_allocated(image, block, false);
            }
        }
    }
    mark_changed(image, offset, length);
}

uint64_t fake_image_extent(const FakeImage *image, uint64_t offset,
                           uint64_t length, bool *hole)
{
    uint64_t block = offset / FAKE_IMAGE_BLOCK;
    bool allocated = image->allocated[block];

    do {
        block++;
    } while (block * FAKE_IMAGE_BLOCK < offset + length &&
             image->allocated[block] == allocated);
    *hole = !allocated;
    return MIN(block * FAKE_IMAGE_BLOCK - offset, length);
}

bool fake_image_changed(const FakeImage *image, uint64_t offset,
                        uint64_t length)
{
    for (uint64_t i = offset; i < offset + length; i += SECTOR) {
        if (!image->changed[i / SECTOR]) {
            return false;
        }
    }
    return true;
}

bool fake_image_durable(const FakeImage *image, uint64_t offset,
                        uint64_t length)
{
    for (uint64_t i = offset; i < offset + length; i += SECTOR) {
        if (image->changed[i / SECTOR] > image->durable) {
            return false;
        }
    }
    return true;
}
