/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter over a real image and a mirror that keeps a second copy of it:
 * whatever guests do at once, the copy must end up equal to the image.
 */
#include "qemu/osdep.h"

#include "block/block_int.h"
#include "block/snapshot.h"
#include "iothread.h"
#include "qapi/error.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qobject/qdict.h"
#include "system/block-backend.h"

#include "mirror-filter.h"

#define IMAGE_BYTES (4 * 1024 * 1024)
#define N_THREADS 3
#define N_WRITERS 8
#define N_WRITES 200
#define LONG_DELAY_NS (60 * NANOSECONDS_PER_SECOND)

/* In place of the library's: applies what it is told to a copy. */
struct ShmigMirror {
    QemuMutex lock;
    uint8_t *copy;
    uint8_t *stale;    /* a byte a sector: to be read again */
    uint8_t *reported; /* a byte a sector: told of since insertion */
    int64_t delay_ns;
    unsigned written;
    unsigned discarded;
};

static void record(ShmigMirror *mirror, uint64_t offset, uint64_t length,
                   const void *buf, bool known)
{
    g_assert_cmpuint(offset % 512, ==, 0);
    g_assert_cmpuint(length % 512, ==, 0);
    g_assert_cmpuint(offset + length, <=, IMAGE_BYTES);
    memset(mirror->reported + offset / 512, 1, length / 512);
    if (!known) {
        memset(mirror->stale + offset / 512, 1, length / 512);
        return;
    }
    memset(mirror->stale + offset / 512, 0, length / 512);
    if (buf) {
        memcpy(mirror->copy + offset, buf, length);
    } else {
        memset(mirror->copy + offset, 0, length);
    }
}

int64_t shmig_mirror_written(ShmigMirror *mirror, uint64_t offset,
                             uint64_t length, const void *buf, int ret)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    mirror->written++;
    record(mirror, offset, length, buf, ret >= 0);
    return mirror->delay_ns;
}

int64_t shmig_mirror_zeroed(ShmigMirror *mirror, uint64_t offset,
                            uint64_t length, int ret)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    record(mirror, offset, length, NULL, ret >= 0);
    return mirror->delay_ns;
}

void shmig_mirror_discarded(ShmigMirror *mirror, uint64_t offset,
                            uint64_t length)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    mirror->discarded++;
    record(mirror, offset, length, NULL, false);
}

/* Bulk copy, where it is later than whatever was reported. */
static void apply_bulk(ShmigMirror *mirror, const char *bulk)
{
    QEMU_LOCK_GUARD(&mirror->lock);
    for (unsigned i = 0; i < IMAGE_BYTES / 512; i++) {
        if (!mirror->reported[i]) {
            memcpy(mirror->copy + i * 512, bulk + i * 512, 512);
        }
    }
    mirror->written = 0;
}

/* An image, the guest's BlockBackend on it, and a mirror. */
typedef struct Setup {
    char *path;
    BlockDriverState *bs;
    BlockDriverState *filter;
    BlockBackend *guest;
    ShmigMirror mirror;
} Setup;

static void setup_open(Setup *t)
{
    QDict *options = qdict_new();
    int fd = g_file_open_tmp("shmig-filter-XXXXXX", &t->path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, IMAGE_BYTES), ==, 0);
    close(fd);
    qdict_put_str(options, "driver", "raw");
    qdict_put_str(options, "file.driver", "file");
    qdict_put_str(options, "file.filename", t->path);
    t->bs = bdrv_open(NULL, NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP,
                      &error_abort);
    t->guest = blk_new(qemu_get_aio_context(),
                       BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE,
                       BLK_PERM_ALL & ~BLK_PERM_WRITE);
    blk_insert_bs(t->guest, t->bs, &error_abort);

    qemu_mutex_init(&t->mirror.lock);
    t->mirror.copy = g_malloc0(IMAGE_BYTES);
    t->mirror.stale = g_malloc0(IMAGE_BYTES / 512);
    t->mirror.reported = g_malloc0(IMAGE_BYTES / 512);
}

static void setup_insert(Setup *t)
{
    t->filter = shmig_filter_insert(t->bs, &error_abort);
    g_assert(blk_bs(t->guest) == t->filter);
    memset(t->mirror.reported, 0, IMAGE_BYTES / 512);
    shmig_filter_set_mirror(t->filter, &t->mirror);
}

static void setup_close(Setup *t)
{
    if (t->filter) {
        shmig_filter_drop(t->filter);
        g_assert(blk_bs(t->guest) == t->bs);
    }
    blk_unref(t->guest);
    bdrv_unref(t->bs);
    unlink(t->path);
    g_free(t->path);
    g_free(t->mirror.copy);
    g_free(t->mirror.stale);
    g_free(t->mirror.reported);
    qemu_mutex_destroy(&t->mirror.lock);
}

/*
 * What is stale is read again, as bulk copy would; then both are equal.
 * Nothing may be in flight.
 */
static void check_copy(Setup *t)
{
    g_autofree char *image = NULL;
    gsize length;

    g_assert_true(g_file_get_contents(t->path, &image, &length, NULL));
    g_assert_cmpuint(length, ==, IMAGE_BYTES);
    for (unsigned i = 0; i < IMAGE_BYTES / 512; i++) {
        if (t->mirror.stale[i]) {
            memcpy(t->mirror.copy + i * 512, image + i * 512, 512);
        }
    }
    g_assert_cmpint(memcmp(t->mirror.copy, image, IMAGE_BYTES), ==, 0);
}

typedef struct Writer {
    Setup *t;
    GRand *random;
    int *running;
} Writer;

static int coroutine_fn one_request(Writer *w, uint8_t *buf)
{
    /* Few places, so that requests overlap all the time. */
    int64_t offset = g_rand_int_range(w->random, 0, 64) * 512;
    int64_t bytes = g_rand_int_range(w->random, 1, 64) * 512;

    switch (g_rand_int_range(w->random, 0, 8)) {
    case 0:
        return blk_co_pwrite_zeroes(w->t->guest, offset, bytes,
                                    BDRV_REQ_MAY_UNMAP);
    case 1:
        return blk_co_pdiscard(w->t->guest, offset, bytes, 0);
    case 2:
        return blk_co_flush(w->t->guest);
    case 3: /* less than a sector */
        return blk_co_pwrite(w->t->guest, offset + 100, 77, buf, 0);
    default:
        return blk_co_pwrite(w->t->guest, offset, bytes, buf, BDRV_REQ_FUA);
    }
}

static void coroutine_fn writer_co(void *opaque)
{
    Writer *w = opaque;
    g_autofree uint8_t *buf = g_malloc(64 * 512);

    for (unsigned i = 0; i < N_WRITES; i++) {
        memset(buf, g_rand_int(w->random), 64 * 512);
        g_assert_cmpint(one_request(w, buf), >=, 0);
    }
    qatomic_dec(w->running);
    aio_wait_kick();
}

static void start_writers(Setup *t, IOThread **threads, Writer *writers,
                          int *running)
{
    for (unsigned i = 0; i < N_WRITERS; i++) {
        IOThread *thread = threads[i % N_THREADS];
        AioContext *ctx =
            thread ? iothread_get_aio_context(thread) : qemu_get_aio_context();

        writers[i] = (Writer) {
            .t = t,
            .random = g_rand_new_with_seed(i),
            .running = running,
        };
        qatomic_inc(running);
        aio_co_schedule(ctx, qemu_coroutine_create(writer_co, &writers[i]));
    }
}

static void threads_start(IOThread **threads)
{
    for (unsigned i = 1; i < N_THREADS; i++) {
        threads[i] = iothread_new();
    }
}

static void threads_stop(IOThread **threads)
{
    for (unsigned i = 1; i < N_THREADS; i++) {
        iothread_join(threads[i]);
    }
}

/* The order of reports is that of the disk, over several threads. */
static void overlapping_writes(void)
{
    Setup t = {};
    IOThread *threads[N_THREADS] = {};
    Writer writers[N_WRITERS];
    int running = 0;

    setup_open(&t);
    setup_insert(&t);
    threads_start(threads);
    start_writers(&t, threads, writers, &running);
    AIO_WAIT_WHILE_UNLOCKED(NULL, qatomic_read(&running) > 0);
    g_assert_cmpuint(t.mirror.written, >, 0);
    check_copy(&t);
    threads_stop(threads);
    for (unsigned i = 0; i < N_WRITERS; i++) {
        g_rand_free(writers[i].random);
    }
    setup_close(&t);
}

/* Inserted, armed and dropped again and again while guests write: what was
 * written before is found by bulk copy, what comes after is reported. */
static void insert_under_load(void)
{
    Setup t = {};
    IOThread *threads[N_THREADS] = {};
    Writer writers[N_WRITERS];
    int running = 0;
    unsigned rounds = 0;

    setup_open(&t);
    threads_start(threads);
    start_writers(&t, threads, writers, &running);
    do {
        g_autofree char *bulk = NULL;
        gsize length;

        setup_insert(&t);
        g_file_get_contents(t.path, &bulk, &length, NULL);
        apply_bulk(&t.mirror, bulk);
        AIO_WAIT_WHILE_UNLOCKED(NULL, qatomic_read(&t.mirror.written) < 20 &&
                                          qatomic_read(&running) > 0);
        bdrv_drain_all_begin();
        check_copy(&t);
        bdrv_drain_all_end();
        shmig_filter_drop(t.filter);
        t.filter = NULL;
        rounds++;
    } while (qatomic_read(&running) > 0);
    g_assert_cmpuint(rounds, >, 1);
    threads_stop(threads);
    for (unsigned i = 0; i < N_WRITERS; i++) {
        g_rand_free(writers[i].random);
    }
    setup_close(&t);
}

typedef struct Scribbler {
    uint8_t *buf;
    bool stop;
} Scribbler;

static void *scribble(void *opaque)
{
    Scribbler *s = opaque;
    uint8_t value = 0;

    while (!qatomic_read(&s->stop)) {
        memset(s->buf, ++value, 65536);
    }
    return NULL;
}

/* The guest changes its buffer while it is being written. */
static void payload_changes(void)
{
    Setup t = {};
    g_autofree uint8_t *buf = g_malloc0(65536);
    Scribbler s = { .buf = buf };
    QemuThread thread;

    setup_open(&t);
    setup_insert(&t);
    qemu_thread_create(&thread, "scribble", scribble, &s, QEMU_THREAD_JOINABLE);
    for (unsigned i = 0; i < 200; i++) {
        g_assert_cmpint(blk_pwrite(t.guest, i % 8 * 65536, 65536, buf, 0), >=,
                        0);
    }
    qatomic_set(&s.stop, true);
    qemu_thread_join(&thread);
    check_copy(&t);
    setup_close(&t);
}

typedef struct OneWrite {
    Setup *t;
    uint8_t *buf;
    bool done;
} OneWrite;

static void coroutine_fn one_write_co(void *opaque)
{
    OneWrite *w = opaque;

    g_assert_cmpint(blk_co_pwrite(w->t->guest, 0, 4096, w->buf, 0), >=, 0);
    qatomic_set(&w->done, true);
    aio_wait_kick();
}

static void start_one_write(OneWrite *w, AioContext *ctx)
{
    Coroutine *co = qemu_coroutine_create(one_write_co, w);

    if (ctx == qemu_get_aio_context()) {
        qemu_coroutine_enter(co);
    } else {
        aio_co_schedule(ctx, co);
    }
}

/* A drain lets a write go that is held back, wherever it runs. */
static void drain_ends_delay(gconstpointer in_thread)
{
    Setup t = { .mirror.delay_ns = LONG_DELAY_NS };
    uint8_t buf[4096] = { 1 };
    OneWrite w = { .t = &t, .buf = buf };
    IOThread *thread = in_thread ? iothread_new() : NULL;
    int64_t start = g_get_monotonic_time();

    setup_open(&t);
    setup_insert(&t);
    start_one_write(&w, thread ? iothread_get_aio_context(thread)
                               : qemu_get_aio_context());
    while (!qatomic_read(&t.mirror.written)) {
        aio_poll(qemu_get_aio_context(), !thread);
    }
    g_assert_false(qatomic_read(&w.done));
    blk_drain(t.guest);
    g_assert_true(qatomic_read(&w.done));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 10 * G_USEC_PER_SEC);
    if (thread) {
        iothread_join(thread);
    }
    setup_close(&t);
}

/* A write that began before there was a mirror is not lost. */
static void armed_in_mid_write(void)
{
    Setup t = {};
    uint8_t buf[4096] = { 1 };
    OneWrite w = { .t = &t, .buf = buf };

    setup_open(&t);
    t.filter = shmig_filter_insert(t.bs, &error_abort);
    start_one_write(&w, qemu_get_aio_context());
    g_assert_false(w.done);
    shmig_filter_set_mirror(t.filter, &t.mirror);
    AIO_WAIT_WHILE_UNLOCKED(NULL, !w.done);
    g_assert_cmpuint(t.mirror.written, ==, 0);
    g_assert_cmpuint(t.mirror.discarded, ==, 1);
    check_copy(&t);
    setup_close(&t);
}

/* The image cannot be written past the filter, nor resized, nor be the
 * subject of a job. */
static void others_are_kept_out(void)
{
    Setup t = {};
    Error *err = NULL;
    BlockBackend *other;

    setup_open(&t);
    setup_insert(&t);
    other = blk_new(qemu_get_aio_context(), BLK_PERM_WRITE, BLK_PERM_ALL);
    g_assert_cmpint(blk_insert_bs(other, t.bs, &err), <, 0);
    error_free_or_abort(&err);
    blk_set_perm(other, BLK_PERM_RESIZE, BLK_PERM_ALL, &error_abort);
    g_assert_cmpint(blk_insert_bs(other, t.bs, &err), <, 0);
    error_free_or_abort(&err);
    blk_unref(other);

    bdrv_graph_rdlock_main_loop();
    g_assert_true(bdrv_op_is_blocked(t.bs, BLOCK_OP_TYPE_MIRROR_SOURCE, NULL));
    g_assert_true(
        bdrv_op_is_blocked(t.filter, BLOCK_OP_TYPE_COMMIT_SOURCE, NULL));
    bdrv_graph_rdunlock_main_loop();
    shmig_filter_drop(t.filter);
    t.filter = NULL;
    bdrv_graph_rdlock_main_loop();
    g_assert_false(bdrv_op_is_blocked(t.bs, BLOCK_OP_TYPE_MIRROR_SOURCE, NULL));
    bdrv_graph_rdunlock_main_loop();
    setup_close(&t);
}

/* Nobody can have the image become another one below the filter. */
static void snapshots_are_kept_out(void)
{
    Setup t = {};
    Error *err = NULL;
    uint8_t buf[4096] = { 1 };

    setup_open(&t);
    setup_insert(&t);
    g_assert_cmpint(bdrv_snapshot_goto(t.filter, "before", &err), ==, -EBUSY);
    error_free_or_abort(&err);
    g_assert_cmpint(blk_pwrite(t.guest, 0, 4096, buf, 0), >=, 0);
    g_assert_cmpuint(t.mirror.written, ==, 1);
    check_copy(&t);
    setup_close(&t);
}

/* As blockdev-reopen does: another file in place of the one that is copied. */
static int reopen_with(BlockDriverState *bs, const char *node)
{
    QDict *options = qdict_new();
    Error *err = NULL;
    int ret;

    qdict_put_str(options, "file", node);
    ret = bdrv_reopen(bs, options, true, &err);
    g_test_message("%s", err ? error_get_pretty(err) : "");
    error_free(err);
    return ret;
}

static BlockDriverState *open_file(const char *path)
{
    QDict *options = qdict_new();

    qdict_put_str(options, "driver", "file");
    qdict_put_str(options, "filename", path);
    return bdrv_open(NULL, NULL, options, BDRV_O_RDWR, &error_abort);
}

static void files_are_kept(void)
{
    Setup t = {};
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("shmig-filter-XXXXXX", &path, NULL);
    BlockDriverState *other;
    const char *name;

    g_assert_cmpint(ftruncate(fd, IMAGE_BYTES), ==, 0);
    close(fd);
    other = open_file(path);
    name = bdrv_get_node_name(other);
    setup_open(&t);
    setup_insert(&t);
    g_assert_cmpint(reopen_with(t.bs, name), ==, -EPERM);
    shmig_filter_drop(t.filter);
    t.filter = NULL;
    g_assert_cmpint(reopen_with(t.bs, name), ==, 0);
    setup_close(&t);
    bdrv_unref(other);
    unlink(path);
}

/* As at switch-over: no more writes, still readable, and the image's locks
 * are given up. */
static void inactive_is_readable(void)
{
    Setup t = {};
    uint8_t buf[4096] = { 1 };
    BlockBackend *reader;

    setup_open(&t);
    blk_set_force_allow_inactivate(t.guest);
    setup_insert(&t);
    reader = blk_new(qemu_get_aio_context(), BLK_PERM_CONSISTENT_READ,
                     BLK_PERM_ALL & ~BLK_PERM_RESIZE);
    blk_insert_bs(reader, t.filter, &error_abort);
    g_assert_cmpint(blk_pwrite(t.guest, 0, 4096, buf, 0), >=, 0);
    g_assert_cmpint(bdrv_inactivate_all(), ==, 0);
    memset(buf, 0, sizeof(buf));
    g_assert_cmpint(blk_pread(reader, 0, 4096, buf, 0), >=, 0);
    g_assert_cmpuint(buf[0], ==, 1);
    bdrv_activate_all(&error_abort);
    g_assert_cmpint(blk_pwrite(t.guest, 4096, 4096, buf, 0), >=, 0);
    check_copy(&t);
    blk_unref(reader);
    setup_close(&t);
}

int main(int argc, char **argv)
{
    bdrv_init();
    qemu_init_main_loop(&error_abort);
    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/qemu/mirror-filter/overlapping-writes",
                    overlapping_writes);
    g_test_add_func("/qemu/mirror-filter/insert-under-load", insert_under_load);
    g_test_add_func("/qemu/mirror-filter/payload-changes", payload_changes);
    g_test_add_data_func("/qemu/mirror-filter/drain-ends-delay", NULL,
                         drain_ends_delay);
    g_test_add_data_func("/qemu/mirror-filter/drain-ends-delay-iothread",
                         (void *)1, drain_ends_delay);
    g_test_add_func("/qemu/mirror-filter/armed-in-mid-write",
                    armed_in_mid_write);
    g_test_add_func("/qemu/mirror-filter/others-are-kept-out",
                    others_are_kept_out);
    g_test_add_func("/qemu/mirror-filter/snapshots-are-kept-out",
                    snapshots_are_kept_out);
    g_test_add_func("/qemu/mirror-filter/files-are-kept", files_are_kept);
    g_test_add_func("/qemu/mirror-filter/inactive-is-readable",
                    inactive_is_readable);
    return g_test_run();
}
