/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk in memory that misbehaves on demand.
 *
 * A request is HELD from submit to complete(), which carries it out and posts
 * it to its ring, and in flight until the ring's thread gets to on_ring().
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "fake-disk.h"
#include "fake-image.h"
#include "shmig/base/container.h"
#include "shmig/base/range.h"

#define SECTOR 512
#define BUFFER_ALIGN 4096
#define RUBBISH 0xdb
#define MAX_FAULTS 16
#define PATIENCE_S 60

typedef struct Entry {
    ShmigDiskReq *req;
    void *bytes;      /* as they were on submission */
    uint64_t changes; /* of the image on submission */
    int res;
    bool completed;
} Entry;

typedef struct Fault {
    ShmigDiskCmd cmd;
    unsigned nth; /* 0: by range */
    uint64_t offset, length;
    int error;
} Fault;

struct FakeDisk {
    ShmigDisk disk;
    /* Constant once the disk is used. */
    FakeDiskFunc *on_submit;
    void *on_submit_opaque;

    pthread_mutex_t lock; /* a GMutex would be opaque to ThreadSanitizer */
    pthread_cond_t changed;
    /* Under the lock. */
    unsigned refs;
    FakeImage *image;
    FakeDiskMode mode;
    GPtrArray *entries; /* in flight, oldest first */
    unsigned held;      /* of these, not completed */
    Fault faults[MAX_FAULTS];
    unsigned n_faults;
    unsigned calls[FAKE_DISK_CMDS];
    uint64_t done_bytes[FAKE_DISK_CMDS];
    unsigned max_in_flight;
    GThread *thread;
    bool stop;
};

static bool changes_bytes(const ShmigDiskReq *req)
{
    return req->cmd == SHMIG_DISK_WRITE || req->cmd == SHMIG_DISK_ZERO;
}

static bool has_buffer(const ShmigDiskReq *req)
{
    return req->cmd == SHMIG_DISK_WRITE || req->cmd == SHMIG_DISK_READ;
}

static bool overlap(const ShmigDiskReq *a, const ShmigDiskReq *b)
{
    return shmig_ranges_overlap(a->offset, a->length, b->offset, b->length);
}

static void check_contract(FakeDisk *fake, const ShmigDiskReq *req)
{
    g_assert_nonnull(req->op.done);
    g_assert_cmpuint(req->cmd, <, FAKE_DISK_CMDS);
    if (req->cmd != SHMIG_DISK_FLUSH) {
        g_assert_cmpuint(req->offset % SECTOR, ==, 0);
        g_assert_cmpuint(req->length % SECTOR, ==, 0);
        g_assert_true(
            shmig_range_ok(req->offset, req->length, fake->disk.size_bytes));
    }
    if (has_buffer(req)) {
        g_assert_nonnull(req->buf);
        g_assert_cmpuint((uintptr_t)req->buf % SECTOR, ==, 0);
        if (req->length % BUFFER_ALIGN == 0) {
            g_assert_cmpuint((uintptr_t)req->buf % BUFFER_ALIGN, ==, 0);
        }
    }
    for (unsigned i = 0; i < fake->entries->len; i++) {
        const Entry *entry = g_ptr_array_index(fake->entries, i);

        g_assert_true(entry->req != req);
        if (changes_bytes(req) && changes_bytes(entry->req)) {
            g_assert_false(overlap(req, entry->req));
        }
    }
}

/* Which fault @req meets, as 0 or -errno; counts down those by number. */
static int meet_fault(FakeDisk *fake, const ShmigDiskReq *req)
{
    int ret = 0;

    for (unsigned i = 0; i < fake->n_faults; i++) {
        Fault *fault = &fake->faults[i];

        if (fault->cmd != req->cmd || !fault->error) {
            continue;
        }
        if (fault->nth ? --fault->nth == 0
                       : shmig_ranges_overlap(req->offset, req->length,
                                              fault->offset, fault->length)) {
            ret = -fault->error;
        }
        if (!fault->length && !fault->nth) {
            fault->error = 0; /* has struck */
        }
    }
    return ret;
}

static void add_fault(FakeDisk *fake, const Fault *fault)
{
    g_assert_cmpint(fault->error, >, 0);
    pthread_mutex_lock(&fake->lock);
    g_assert_cmpuint(fake->n_faults, <, MAX_FAULTS);
    fake->faults[fake->n_faults++] = *fault;
    pthread_mutex_unlock(&fake->lock);
}

void fake_disk_fail(FakeDisk *fake, ShmigDiskCmd cmd, unsigned nth, int error)
{
    Fault fault = { .cmd = cmd, .nth = nth, .error = error };

    g_assert_cmpuint(nth, >, 0);
    add_fault(fake, &fault);
}

void fake_disk_fail_range(FakeDisk *fake, ShmigDiskCmd cmd, uint64_t offset,
                          uint64_t length, int error)
{
    Fault fault = {
        .cmd = cmd, .offset = offset, .length = length, .error = error
    };

    g_assert_cmpuint(length, >, 0);
    add_fault(fake, &fault);
}

/* Carries @entry out and lets its ring know.  Called with the lock held. */
static void complete(FakeDisk *fake, Entry *entry)
{
    ShmigDiskReq *req = entry->req;

    g_assert_false(entry->completed);
    entry->completed = true;
    fake->held--;
    if (req->cmd == SHMIG_DISK_WRITE) {
        /* A caller that reuses its buffer too early is found here. */
        g_assert_cmpmem(req->buf, req->length, entry->bytes, req->length);
    }
    if (entry->res == 0) {
        fake->done_bytes[req->cmd] += req->length;
        switch (req->cmd) {
        case SHMIG_DISK_WRITE:
            fake_image_write(fake->image, req->offset, req->length,
                             entry->bytes);
            break;
        case SHMIG_DISK_ZERO:
            fake_image_zero(fake->image, req->offset, req->length);
            break;
        case SHMIG_DISK_FLUSH:
            fake->image->durable = MAX(fake->image->durable, entry->changes);
            break;
        default:
            break;
        }
    }
    shmig_ring_post(req->ring, &req->io, entry->res);
}

static Entry *newest_held(FakeDisk *fake)
{
    for (unsigned i = fake->entries->len; i > 0; i--) {
        Entry *entry = g_ptr_array_index(fake->entries, i - 1);

        if (!entry->completed) {
            return entry;
        }
    }
    return NULL;
}

static void complete_all(FakeDisk *fake)
{
    Entry *entry;

    while ((entry = newest_held(fake))) {
        complete(fake, entry);
    }
}

static FakeDisk *fake_of(ShmigDisk *disk)
{
    return SHMIG_CONTAINER_OF(disk, FakeDisk, disk);
}

/* The request is no longer in flight; on its ring's thread. */
static void on_ring(ShmigOp *op, int res)
{
    ShmigDiskReq *req = SHMIG_CONTAINER_OF(op, ShmigDiskReq, io);
    FakeDisk *fake = fake_of(req->disk);
    Entry *entry = NULL;

    pthread_mutex_lock(&fake->lock);
    for (unsigned i = 0; i < fake->entries->len; i++) {
        entry = g_ptr_array_index(fake->entries, i);
        if (entry->req == req) {
            g_ptr_array_remove_index(fake->entries, i);
            break;
        }
    }
    pthread_mutex_unlock(&fake->lock);
    if (req->cmd == SHMIG_DISK_READ && res == 0) {
        memcpy(req->buf, entry->bytes, req->length);
    }
    g_free(entry->bytes);
    g_free(entry);
    req->op.done(&req->op, res);
}

static Entry *entry_new(FakeDisk *fake, ShmigDiskReq *req)
{
    Entry *entry = g_new0(Entry, 1);

    entry->req = req;
    entry->changes = fake->image->changes;
    entry->res = meet_fault(fake, req);
    if (req->cmd == SHMIG_DISK_STATUS) {
        req->extent_bytes = fake_image_extent(fake->image, req->offset,
                                              req->length, &req->extent_zero);
    }
    if (req->cmd == SHMIG_DISK_READ) {
        entry->bytes = g_malloc(req->length);
        memcpy(entry->bytes, fake->image->bytes + req->offset, req->length);
        memset(req->buf, RUBBISH, req->length);
    }
    if (req->cmd == SHMIG_DISK_WRITE) {
        entry->bytes = g_malloc(req->length);
        memcpy(entry->bytes, req->buf, req->length);
    }
    return entry;
}

static void fake_disk_submit(ShmigDisk *disk, ShmigRing *ring,
                             ShmigDiskReq *req)
{
    FakeDisk *fake = fake_of(disk);
    Entry *entry;

    if (fake->on_submit) {
        fake->on_submit(fake->on_submit_opaque, req);
    }
    pthread_mutex_lock(&fake->lock);
    check_contract(fake, req);
    fake->calls[req->cmd]++;
    req->io.done = on_ring;
    entry = entry_new(fake, req);
    g_ptr_array_add(fake->entries, entry);
    fake->held++;
    fake->max_in_flight = MAX(fake->max_in_flight, fake->entries->len);
    if (fake->mode == FAKE_DISK_PROMPT) {
        complete(fake, entry);
    }
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
}

static gpointer completer(gpointer opaque)
{
    FakeDisk *fake = opaque;

    pthread_mutex_lock(&fake->lock);
    while (!fake->stop) {
        if (fake->mode == FAKE_DISK_THREAD) {
            complete_all(fake);
        }
        pthread_cond_wait(&fake->changed, &fake->lock);
    }
    pthread_mutex_unlock(&fake->lock);
    return NULL;
}

static void fake_disk_free(ShmigDisk *disk)
{
    FakeDisk *fake = fake_of(disk);

    pthread_mutex_lock(&fake->lock);
    g_assert_cmpuint(fake->entries->len, ==, 0);
    fake->stop = true;
    pthread_cond_broadcast(&fake->changed);
    pthread_mutex_unlock(&fake->lock);
    if (fake->thread) {
        g_thread_join(fake->thread);
    }
    fake_disk_unref(fake);
}

static const ShmigDiskOps fake_disk_ops = {
    .name = "fake",
    .submit = fake_disk_submit,
    .free = fake_disk_free,
};

FakeDisk *fake_disk_new(uint64_t size_bytes)
{
    FakeDisk *fake = g_new0(FakeDisk, 1);

    fake->disk.ops = &fake_disk_ops;
    fake->disk.size_bytes = size_bytes;
    fake->image = fake_image_new(size_bytes);
    fake->entries = g_ptr_array_new();
    fake->refs = 2;
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->changed, NULL);
    return fake;
}

void fake_disk_unref(FakeDisk *fake)
{
    unsigned refs;

    pthread_mutex_lock(&fake->lock);
    refs = --fake->refs;
    pthread_mutex_unlock(&fake->lock);
    if (refs == 0) {
        fake_image_free(fake->image);
        g_ptr_array_free(fake->entries, TRUE);
        pthread_mutex_destroy(&fake->lock);
        pthread_cond_destroy(&fake->changed);
        g_free(fake);
    }
}

ShmigDisk *fake_disk_base(FakeDisk *fake)
{
    return &fake->disk;
}

void fake_disk_set_mode(FakeDisk *fake, FakeDiskMode mode)
{
    pthread_mutex_lock(&fake->lock);
    complete_all(fake);
    fake->mode = mode;
    if (mode == FAKE_DISK_THREAD && !fake->thread) {
        fake->thread = g_thread_new("fake-disk", completer, fake);
    }
    pthread_mutex_unlock(&fake->lock);
}

void fake_disk_wait_held(FakeDisk *fake, unsigned n)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&fake->lock);
    while (fake->held < n) {
        g_assert_cmpint(
            pthread_cond_timedwait(&fake->changed, &fake->lock, &until), ==, 0);
    }
    pthread_mutex_unlock(&fake->lock);
}

unsigned fake_disk_held(FakeDisk *fake)
{
    unsigned held;

    pthread_mutex_lock(&fake->lock);
    held = fake->held;
    pthread_mutex_unlock(&fake->lock);
    return held;
}

void fake_disk_release(FakeDisk *fake, unsigned index)
{
    Entry *entry = NULL;

    pthread_mutex_lock(&fake->lock);
    g_assert_cmpuint(index, <, fake->held);
    for (unsigned i = 0; i < fake->entries->len; i++) {
        entry = g_ptr_array_index(fake->entries, i);
        if (!entry->completed && index-- == 0) {
            break;
        }
    }
    complete(fake, entry);
    pthread_mutex_unlock(&fake->lock);
}

void fake_disk_release_all(FakeDisk *fake)
{
    pthread_mutex_lock(&fake->lock);
    complete_all(fake);
    pthread_mutex_unlock(&fake->lock);
}

void fake_disk_on_submit(FakeDisk *fake, FakeDiskFunc *func, void *opaque)
{
    fake->on_submit = func;
    fake->on_submit_opaque = opaque;
}

void fake_disk_poke(FakeDisk *fake, uint64_t offset, uint64_t length,
                    const void *buf)
{
    pthread_mutex_lock(&fake->lock);
    fake_image_write(fake->image, offset, length, buf);
    pthread_mutex_unlock(&fake->lock);
}

void fake_disk_poke_zero(FakeDisk *fake, uint64_t offset, uint64_t length)
{
    pthread_mutex_lock(&fake->lock);
    fake_image_zero(fake->image, offset, length);
    pthread_mutex_unlock(&fake->lock);
}

void fake_disk_peek(FakeDisk *fake, uint64_t offset, uint64_t length, void *buf)
{
    pthread_mutex_lock(&fake->lock);
    memcpy(buf, fake->image->bytes + offset, length);
    pthread_mutex_unlock(&fake->lock);
}

bool fake_disk_equal(FakeDisk *a, FakeDisk *b)
{
    g_autofree uint8_t *ours = g_malloc(FAKE_IMAGE_BLOCK);
    g_autofree uint8_t *theirs = g_malloc(FAKE_IMAGE_BLOCK);
    uint64_t size = a->disk.size_bytes;

    if (b->disk.size_bytes != size) {
        return false;
    }
    for (uint64_t at = 0; at < size; at += FAKE_IMAGE_BLOCK) {
        uint64_t n = MIN(FAKE_IMAGE_BLOCK, size - at);

        fake_disk_peek(a, at, n, ours);
        fake_disk_peek(b, at, n, theirs);
        if (memcmp(ours, theirs, n)) {
            return false;
        }
    }
    return true;
}

unsigned fake_disk_calls(FakeDisk *fake, ShmigDiskCmd cmd)
{
    unsigned calls;

    pthread_mutex_lock(&fake->lock);
    calls = fake->calls[cmd];
    pthread_mutex_unlock(&fake->lock);
    return calls;
}

uint64_t fake_disk_done_bytes(FakeDisk *fake, ShmigDiskCmd cmd)
{
    uint64_t bytes;

    pthread_mutex_lock(&fake->lock);
    bytes = fake->done_bytes[cmd];
    pthread_mutex_unlock(&fake->lock);
    return bytes;
}

unsigned fake_disk_max_in_flight(FakeDisk *fake)
{
    unsigned n;

    pthread_mutex_lock(&fake->lock);
    n = fake->max_in_flight;
    pthread_mutex_unlock(&fake->lock);
    return n;
}

uint64_t fake_disk_allocated_bytes(FakeDisk *fake)
{
    uint64_t bytes;

    pthread_mutex_lock(&fake->lock);
    bytes = fake->image->allocated_bytes;
    pthread_mutex_unlock(&fake->lock);
    return bytes;
}

bool fake_disk_changed(FakeDisk *fake, uint64_t offset, uint64_t length)
{
    bool changed;

    pthread_mutex_lock(&fake->lock);
    changed = fake_image_changed(fake->image, offset, length);
    pthread_mutex_unlock(&fake->lock);
    return changed;
}

bool fake_disk_durable(FakeDisk *fake, uint64_t offset, uint64_t length)
{
    bool durable;

    pthread_mutex_lock(&fake->lock);
    durable = fake_image_durable(fake->image, offset, length);
    pthread_mutex_unlock(&fake->lock);
    return durable;
}
