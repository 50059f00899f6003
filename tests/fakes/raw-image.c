/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file or device under test as a disk. */
#include <string.h>
#include <unistd.h>

#include "raw-image.h"

ShmigRing *raw_image_ring(void)
{
    g_autoptr(GError) err = NULL;
    ShmigRing *ring = shmig_ring_new(16, &err);

    g_assert_no_error(err);
    return ring;
}

void raw_image_init(RawImage *image, int fd, int disk_fd, uint64_t size_bytes)
{
    image->fd = fd;
    image->ring = raw_image_ring();
    image->disk = shmig_disk_file_new(disk_fd, size_bytes);
}

void raw_image_close(RawImage *image)
{
    shmig_disk_free(image->disk);
    shmig_ring_free(image->ring);
    close(image->fd);
}

static void request_done(ShmigOp *op, int res)
{
    RawRequest *request = (RawRequest *)op;

    request->done_count++;
    request->res = res;
}

void raw_image_start(RawImage *image, RawRequest *request, ShmigDiskCmd cmd,
                     uint64_t offset, uint64_t length, void *buf)
{
    request->req.op.done = request_done;
    request->req.cmd = cmd;
    request->req.offset = offset;
    request->req.length = length;
    request->req.buf = buf;
    request->done_count = 0;
    shmig_disk_submit(image->disk, image->ring, &request->req);
    g_assert_cmpuint(request->done_count, ==, 0);
}

int raw_image_wait(RawImage *image, RawRequest *request)
{
    while (!request->done_count) {
        g_assert_cmpint(shmig_ring_run(image->ring, -1), ==, 0);
    }
    g_assert_cmpuint(request->done_count, ==, 1);
    return request->res;
}

int raw_image_do(RawImage *image, ShmigDiskCmd cmd, uint64_t offset,
                 uint64_t length, void *buf)
{
    RawRequest request = { 0 };
    int ret;

    raw_image_start(image, &request, cmd, offset, length, buf);
    ret = raw_image_wait(image, &request);
    g_assert_cmpuint(shmig_ring_in_flight(image->ring), ==, 0);
    return ret;
}

void raw_image_status(RawImage *image, uint64_t offset, uint64_t length,
                      bool zero, uint64_t bytes)
{
    RawRequest request = { 0 };

    raw_image_start(image, &request, SHMIG_DISK_STATUS, offset, length, NULL);
    g_assert_cmpint(raw_image_wait(image, &request), ==, 0);
    g_assert_cmpint(request.req.extent_zero, ==, zero);
    g_assert_cmpuint(request.req.extent_bytes, ==, bytes);
}

uint8_t *raw_image_buffer(uint64_t bytes)
{
    void *buf = NULL;

    g_assert_cmpint(posix_memalign(&buf, 4096, bytes), ==, 0);
    memset(buf, 0xee, bytes);
    return buf;
}

void raw_image_fill(uint8_t *buf, uint64_t offset, uint64_t length)
{
    for (uint64_t i = 0; i < length; i += 8) {
        uint64_t value = (offset + i) * 0x9e3779b97f4a7c15 + 1;

        memcpy(buf + i, &value, 8);
    }
}

void raw_image_check(const uint8_t *buf, uint64_t offset, uint64_t length,
                     bool zero)
{
    uint8_t *want = raw_image_buffer(length);

    if (zero) {
        memset(want, 0, length);
    } else {
        raw_image_fill(want, offset, length);
    }
    g_assert_cmpmem(buf, length, want, length);
    free(want);
}

void raw_image_poke(RawImage *image, uint64_t offset, uint64_t length)
{
    uint8_t *buf = raw_image_buffer(length);

    raw_image_fill(buf, offset, length);
    g_assert_cmpint(pwrite(image->fd, buf, length, offset), ==, length);
    g_assert_cmpint(fsync(image->fd), ==, 0);
    free(buf);
}

void raw_image_expect(RawImage *image, uint64_t offset, uint64_t length,
                      bool zero)
{
    uint8_t *buf = raw_image_buffer(length);

    g_assert_cmpint(pread(image->fd, buf, length, offset), ==, length);
    raw_image_check(buf, offset, length, zero);
    free(buf);
}
