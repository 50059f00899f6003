/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk over the block layer, used by threads with rings of their own while
 * the main thread drains, and the choice of the direct path. */
#include "qemu/osdep.h"

#include <sys/stat.h>

#include "block/block_int.h"
#include "iothread.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qobject/qdict.h"
#include "system/block-backend.h"

#include "disk-block.h"
#include "disk-raw.h"

#define IMAGE_BYTES (16 * 1024 * 1024)
#define N_CHANNELS 3
#define N_ROUNDS 300
#define CHUNK 65536

typedef struct Image {
    char *path;
    BlockDriverState *bs;
} Image;

static void image_open(Image *image, const char *format, const char *key,
                       const char *value, int flags)
{
    QDict *options = qdict_new();
    int fd = g_file_open_tmp("shmig-disk-XXXXXX", &image->path, NULL);

    g_assert_cmpint(ftruncate(fd, IMAGE_BYTES), ==, 0);
    close(fd);
    if (!strcmp(format, "qcow2")) {
        bdrv_img_create(image->path, format, NULL, NULL, NULL, IMAGE_BYTES, 0,
                        true, &error_abort);
    }
    qdict_put_str(options, "driver", format);
    qdict_put_str(options, "file.driver", "file");
    qdict_put_str(options, "file.filename", image->path);
    if (key) {
        qdict_put_str(options, key, value);
    }
    image->bs = bdrv_open(NULL, NULL, options, flags, &error_abort);
}

static void image_close(Image *image)
{
    bdrv_unref(image->bs);
    unlink(image->path);
    g_free(image->path);
}

static ShmigDisk *disk_open(Image *image, IOThread *io)
{
    BlockBackend *blk =
        blk_new(qemu_get_aio_context(),
                BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE, BLK_PERM_ALL);

    blk_insert_bs(blk, image->bs, &error_abort);
    return shmig_disk_block_new(blk, iothread_get_aio_context(io), IMAGE_BYTES);
}

/* One thread with a ring, as a channel is. */
typedef struct Channel {
    ShmigDisk *disk;
    ShmigRing *ring;
    unsigned index;
    int *running;
    int error;
    QemuThread thread;
} Channel;

typedef struct Request {
    ShmigDiskReq req;
    bool done;
    int res;
} Request;

static void request_done(ShmigOp *op, int res)
{
    Request *r = container_of(op, Request, req.op);

    r->res = res;
    r->done = true;
}

static int request(Channel *c, ShmigDiskCmd cmd, uint64_t offset, void *buf,
                   Request *r)
{
    *r = (Request) {
        .req = {
            .op.done = request_done,
            .cmd = cmd,
            .offset = offset,
            .length = cmd == SHMIG_DISK_FLUSH ? 0 : CHUNK,
            .buf = buf,
        },
    };
    shmig_disk_submit(c->disk, c->ring, &r->req);
    g_assert_false(r->done);
    while (!r->done) {
        g_assert_cmpint(shmig_ring_run(c->ring, -1), ==, 0);
    }
    return r->res;
}

static int one_round(Channel *c, unsigned i, uint8_t *buf)
{
    /* A channel has chunks of its own: 255 is a multiple of 3. */
    uint64_t offset = (i * N_CHANNELS + c->index) % 255 * CHUNK;
    Request r;
    int ret;

    memset(buf, i + 1, CHUNK);
    ret =
        request(c, i % 4 ? SHMIG_DISK_WRITE : SHMIG_DISK_ZERO, offset, buf, &r);
    if (ret < 0) {
        return ret;
    }
    ret = request(c, SHMIG_DISK_STATUS, offset, NULL, &r);
    if (ret < 0) {
        return ret;
    }
    /* QEMU may take a zero for data for a while, never the reverse. */
    g_assert_false(r.req.extent_zero && i % 4);
    g_assert_cmpuint(r.req.extent_bytes, >, 0);
    ret = request(c, SHMIG_DISK_READ, offset, buf, &r);
    if (ret < 0) {
        return ret;
    }
    g_assert_cmpuint(buf[CHUNK - 1], ==, i % 4 ? (uint8_t)(i + 1) : 0);
    return request(c, SHMIG_DISK_FLUSH, 0, NULL, &r);
}

static void *channel_thread(void *opaque)
{
    Channel *c = opaque;
    g_autofree uint8_t *buf = g_malloc(CHUNK);

    for (unsigned i = 0; i < N_ROUNDS && c->error >= 0; i++) {
        c->error = one_round(c, i, buf);
    }
    qatomic_dec(c->running);
    aio_wait_kick();
    return NULL;
}

static void channels_start(Channel *channels, ShmigDisk *disk, int *running)
{
    for (unsigned i = 0; i < N_CHANNELS; i++) {
        channels[i] = (Channel) {
            .disk = disk,
            .ring = shmig_ring_new(8, NULL),
            .index = i,
            .running = running,
        };
        qatomic_inc(running);
        qemu_thread_create(&channels[i].thread, "channel", channel_thread,
                           &channels[i], QEMU_THREAD_JOINABLE);
    }
}

static void channels_join(Channel *channels)
{
    for (unsigned i = 0; i < N_CHANNELS; i++) {
        qemu_thread_join(&channels[i].thread);
        shmig_ring_free(channels[i].ring);
    }
}

/* Channels that never pause do not keep a drain from ending. */
static void drains_end(gconstpointer format)
{
    Image image;
    IOThread *io = iothread_new();
    Channel channels[N_CHANNELS];
    ShmigDisk *disk;
    int running = 0;

    image_open(&image, format, NULL, NULL, BDRV_O_RDWR | BDRV_O_UNMAP);
    disk = disk_open(&image, io);
    channels_start(channels, disk, &running);
    while (qatomic_read(&running) > 0) {
        bdrv_drain_all_begin();
        g_assert_cmpuint(image.bs->in_flight, ==, 0);
        bdrv_drain_all_end();
        aio_poll(qemu_get_aio_context(), false);
    }
    channels_join(channels);
    for (unsigned i = 0; i < N_CHANNELS; i++) {
        g_assert_cmpint(channels[i].error, ==, 0);
    }
    shmig_disk_block_close(disk);
    shmig_disk_free(disk);
    image_close(&image);
    iothread_join(io);
}

/* Closed while it is used: everything ends, with an error. */
static void close_cancels(void)
{
    Image image;
    IOThread *io = iothread_new();
    Channel channels[N_CHANNELS];
    ShmigDisk *disk;
    int running = 0;

    image_open(&image, "qcow2", NULL, NULL, BDRV_O_RDWR | BDRV_O_UNMAP);
    disk = disk_open(&image, io);
    bdrv_drain_all_begin();
    channels_start(channels, disk, &running);
    bdrv_drain_all_end();
    shmig_disk_block_close(disk);
    channels_join(channels);
    for (unsigned i = 0; i < N_CHANNELS; i++) {
        g_assert_cmpint(channels[i].error, ==, -ECANCELED);
    }
    shmig_disk_free(disk);
    image_close(&image);
    iothread_join(io);
}

static uint64_t allocated(const Image *image)
{
    struct stat st;

    g_assert_cmpint(stat(image->path, &st), ==, 0);
    return st.st_blocks * 512;
}

static void zero_allocates_nothing(gconstpointer format)
{
    Image image;
    IOThread *io = iothread_new();
    int running = 0;
    Channel c = { .index = 0, .running = &running };
    uint64_t before;
    Request r;

    image_open(&image, format, NULL, NULL, BDRV_O_RDWR);
    c.disk = disk_open(&image, io);
    c.ring = shmig_ring_new(8, NULL);
    before = allocated(&image);
    for (uint64_t at = 0; at < IMAGE_BYTES; at += CHUNK) {
        g_assert_cmpint(request(&c, SHMIG_DISK_ZERO, at, NULL, &r), ==, 0);
    }
    g_assert_cmpuint(allocated(&image), ==, before);
    shmig_disk_block_close(c.disk);
    shmig_disk_free(c.disk);
    shmig_ring_free(c.ring);
    image_close(&image);
    iothread_join(io);
}

static bool goes_direct(const char *format, const char *key, const char *value,
                        int flags)
{
    Image image;
    int fd;

    image_open(&image, format, key, value, flags);
    fd = shmig_disk_raw_open(image.bs, flags & BDRV_O_RDWR);
    if (fd >= 0) {
        g_assert_cmpint(!!(fcntl(fd, F_GETFL) & O_DIRECT), ==,
                        !!(flags & BDRV_O_NOCACHE));
        g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==,
                        flags & BDRV_O_RDWR ? O_RDWR : O_RDONLY);
        close(fd);
    }
    image_close(&image);
    return fd >= 0;
}

static void only_plain_files_go_direct(void)
{
    g_assert_true(goes_direct("raw", NULL, NULL, BDRV_O_RDWR));
    g_assert_true(goes_direct("raw", NULL, NULL, 0));
    g_assert_true(goes_direct("raw", "size", "16777216", BDRV_O_RDWR));
    g_assert_false(goes_direct("raw", "size", "16776704", BDRV_O_RDWR));
    g_assert_false(goes_direct("raw", "offset", "512", BDRV_O_RDWR));
    g_assert_false(goes_direct("qcow2", NULL, NULL, BDRV_O_RDWR));
    g_assert_false(goes_direct("copy-on-read", NULL, NULL, BDRV_O_RDWR));
}

static void direct_as_qemu_does(void)
{
    g_autofree char *name = NULL;
    int fd = g_file_open_tmp("shmig-direct-XXXXXX", &name, NULL);
    int direct = open(name, O_RDWR | O_DIRECT);

    close(fd);
    unlink(name);
    if (direct < 0) {
        g_test_skip("the temporary directory has no O_DIRECT");
        return;
    }
    close(direct);
    g_assert_true(goes_direct("raw", NULL, NULL, BDRV_O_RDWR | BDRV_O_NOCACHE));
}

/* The name belongs to another file by now. */
static void replaced_file_is_noticed(void)
{
    Image image;
    struct stat st;

    image_open(&image, "raw", NULL, NULL, BDRV_O_RDWR);
    g_assert_true(shmig_disk_raw_stat(image.bs, &st));
    unlink(image.path);
    g_assert_cmpint(shmig_disk_raw_open(image.bs, false), ==, -1);
    g_assert_true(g_file_set_contents(image.path, "other", 5, NULL));
    g_assert_cmpint(shmig_disk_raw_open(image.bs, false), ==, -1);
    g_assert_false(shmig_disk_raw_stat(image.bs, &st));
    image_close(&image);
}

int main(int argc, char **argv)
{
    bdrv_init();
    qemu_init_main_loop(&error_abort);
    g_test_init(&argc, &argv, NULL);

    g_test_add_data_func("/qemu/disk-block/drains-end/raw", "raw", drains_end);
    g_test_add_data_func("/qemu/disk-block/drains-end/qcow2", "qcow2",
                         drains_end);
    g_test_add_func("/qemu/disk-block/close-cancels", close_cancels);
    g_test_add_data_func("/qemu/disk-block/zero-allocates-nothing/raw", "raw",
                         zero_allocates_nothing);
    g_test_add_data_func("/qemu/disk-block/zero-allocates-nothing/qcow2",
                         "qcow2", zero_allocates_nothing);
    g_test_add_func("/qemu/disk-raw/only-plain-files-go-direct",
                    only_plain_files_go_direct);
    g_test_add_func("/qemu/disk-raw/direct-as-qemu-does", direct_as_qemu_does);
    g_test_add_func("/qemu/disk-raw/replaced-file-is-noticed",
                    replaced_file_is_noticed);
    return g_test_run();
}
