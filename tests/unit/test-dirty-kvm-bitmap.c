/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kvm-bitmap tracker's use of GET and CLEAR, on a kernel in software. */
#include <errno.h>
#include <sys/mman.h>

#include "fake-kvm.h"
#include "kvm-dirty-log.h"
#include "shmig/base/error.h"
#include "shmig/dirty/chunks.h"

#define CHUNK SHMIG_CHUNK_PAGES
#define PAGES (2 * CHUNK + 100)
#define BOTH (SHMIG_KVM_MANUAL_PROTECT_ENABLE | SHMIG_KVM_MANUAL_INITIALLY_SET)

typedef struct World {
    ShmigRegion *region;
    uint8_t *bytes;
    FakeKvm *kvm;
    ShmigTracker *extra;
    ShmigTracker *tracker;
    uint64_t taken; /* a page that a channel takes just before a CLEAR */
} World;

static void make(World *w, unsigned manual_protect)
{
    w->region = shmig_region_new(1, SHMIG_REGION_RAM, PAGES * 4096ull);
    w->bytes = mmap(NULL, PAGES * 4096ull, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(w->bytes != MAP_FAILED);
    w->kvm = fake_kvm_new(manual_protect);
    w->extra = shmig_generic_new(NULL, NULL, &w->region, 1);
    w->tracker = shmig_kvm_bitmap_new(&fake_kvm_ops, w->kvm, &w->region, 1,
                                      manual_protect, w->extra);
    w->taken = UINT64_MAX;
}

/* Two slots; the first ends in the middle of the second chunk. */
static void setup(World *w, gconstpointer manual_protect)
{
    make(w, GPOINTER_TO_UINT(manual_protect));
    fake_kvm_add_slot(w->kvm, 0, 0, w->region, w->bytes, 0, CHUNK + 64);
    fake_kvm_add_slot(w->kvm, 0, 9, w->region, w->bytes, CHUNK + 64,
                      PAGES - CHUNK - 64);
    g_assert_true(w->tracker->ops->start(w->tracker, NULL));
}

static void teardown(World *w, gconstpointer unused)
{
    w->tracker->ops->stop(w->tracker);
    w->tracker->ops->free(w->tracker);
    fake_kvm_free(w->kvm);
    munmap(w->bytes, PAGES * 4096ull);
    shmig_region_free(w->region);
}

static int64_t harvest(World *w, bool last)
{
    return w->tracker->ops->harvest(w->tracker, last);
}

static int clear(World *w, uint64_t first, uint64_t n)
{
    return w->tracker->ops->clear(w->tracker, w->region, first, n);
}

static unsigned clears(World *w)
{
    return fake_kvm_calls(w->kvm, SHMIG_KVM_CLEAR_DIRTY_LOG);
}

static bool dirty(World *w, uint64_t page)
{
    return fake_kvm_dirty(w->kvm, 0, w->region, page);
}

static void write_page(World *w, uint64_t page)
{
    g_assert_true(fake_kvm_write(w->kvm, 0, w->region, page, page));
}

/* Takes everything, as a first pass does. */
static void take_all(World *w)
{
    shmig_region_set(w->region, 0, PAGES);
    g_assert_cmpint(clear(w, 0, PAGES), ==, 0);
    shmig_region_clear(w->region, 0, PAGES);
}

static void test_first_pass(World *w, gconstpointer unused)
{
    shmig_region_set(w->region, 0, PAGES);
    shmig_region_clear(w->region, 5, 1);
    g_assert_true(dirty(w, 0) && dirty(w, PAGES - 1));

    g_assert_cmpint(clear(w, 0, 1), ==, 0);
    g_assert_cmpuint(clears(w), ==, 1);
    g_assert_false(dirty(w, 0) || dirty(w, CHUNK - 1));
    g_assert_true(dirty(w, CHUNK));
    g_assert_true(dirty(w, 5)); /* was not pending */

    g_assert_cmpint(clear(w, 0, CHUNK), ==, 0);
    g_assert_cmpuint(clears(w), ==, 1);

    /* Both slots have a part of the second chunk. */
    g_assert_cmpint(clear(w, CHUNK + 64, 1), ==, 0);
    g_assert_cmpuint(clears(w), ==, 3);
    g_assert_false(dirty(w, CHUNK) || dirty(w, CHUNK + 64));
    g_assert_cmpint(clear(w, PAGES - 1, 1), ==, 0);
    g_assert_false(dirty(w, PAGES - 1));
    g_assert_cmpuint(w->region->pending_granules, ==, PAGES - 1);
}

/* Each chunk of the given size is cleared by itself. */
static void test_chunk_size(World *w, gconstpointer unused)
{
    w->tracker->ops->stop(w->tracker);
    shmig_kvm_bitmap_set_chunk_bytes(w->tracker, 64 * 4096);
    g_assert_true(w->tracker->ops->start(w->tracker, NULL));
    shmig_region_set(w->region, 0, PAGES);
    g_assert_cmpint(clear(w, 63, 1), ==, 0);
    g_assert_true(dirty(w, 64));
    g_assert_false(dirty(w, 0) || dirty(w, 63));
    g_assert_cmpint(clear(w, 64, 65), ==, 0);
    g_assert_cmpuint(clears(w), ==, 3);
    g_assert_false(dirty(w, 64) || dirty(w, 191));
    g_assert_true(dirty(w, 192));
    g_assert_cmpint(clear(w, PAGES - 1, 1), ==, 0);
    g_assert_false(dirty(w, PAGES - 1) || dirty(w, PAGES - PAGES % 64));
    g_assert_true(dirty(w, PAGES - PAGES % 64 - 1));
}

static void test_rounds(World *w, gconstpointer unused)
{
    uint64_t first;

    take_all(w);
    g_assert_cmpint(harvest(w, false), ==, 0);
    write_page(w, CHUNK + 63);
    write_page(w, CHUNK + 64);
    write_page(w, PAGES - 1);
    shmig_generic_mark(w->extra, w->region, 7, 1);
    g_assert_cmpint(harvest(w, false), ==, 4);
    g_assert_cmpint(harvest(w, false), ==, 0);
    g_assert_cmpuint(shmig_region_find(w->region, 8, PAGES, 10, &first), ==, 2);
    g_assert_cmpuint(first, ==, CHUNK + 63);
    g_assert_true(shmig_region_all(w->region, 7, 1));
    g_assert_true(shmig_region_all(w->region, PAGES - 1, 1));

    /* Only where there is something to arm. */
    g_assert_cmpint(clear(w, 7, 1), ==, 0);
    g_assert_cmpint(clear(w, CHUNK + 63, 2), ==, 0);
    g_assert_false(dirty(w, CHUNK + 63) || dirty(w, CHUNK + 64));
    g_assert_true(dirty(w, PAGES - 1));
}

static void test_last_arms_nothing(World *w, gconstpointer unused)
{
    unsigned before;

    take_all(w);
    write_page(w, 3);
    before = clears(w);
    g_assert_cmpint(harvest(w, true), ==, 1);
    g_assert_cmpint(clear(w, 3, 1), ==, 0);
    g_assert_cmpuint(clears(w), ==, before);

    /* And should the guest run after all, it is only sent once more. */
    shmig_region_clear(w->region, 3, 1);
    g_assert_cmpint(harvest(w, false), ==, 1);
}

/* What the comment in kvm-bitmap.c tells, step by step. */
static void take_before_clear(void *opaque, unsigned long request)
{
    World *w = opaque;

    if (request == SHMIG_KVM_CLEAR_DIRTY_LOG && w->taken != UINT64_MAX) {
        g_assert_cmpuint(shmig_region_clear(w->region, w->taken, 1), ==, 1);
        write_page(w, w->taken);
    }
}

static void test_taken_while_cleared(World *w, gconstpointer unused)
{
    take_all(w);
    write_page(w, 100);
    g_assert_cmpint(harvest(w, false), ==, 1);
    fake_kvm_on_ioctl(w->kvm, take_before_clear, w);
    w->taken = 100;
    g_assert_cmpint(clear(w, 100, 1), ==, 0);
    w->taken = UINT64_MAX;
    g_assert_false(dirty(w, 100));
    g_assert_true(shmig_region_all(w->region, 100, 1));
}

static void test_no_manual_protect(World *w, gconstpointer unused)
{
    take_all(w);
    write_page(w, 100);
    g_assert_cmpint(harvest(w, false), ==, 1);
    g_assert_false(dirty(w, 100));
    g_assert_cmpint(clear(w, 100, 1), ==, 0);
    g_assert_cmpuint(clears(w), ==, 0);
}

static void test_not_initially_set(World *w, gconstpointer unused)
{
    take_all(w);
    g_assert_cmpuint(clears(w), ==, 0);
    write_page(w, 100);
    g_assert_cmpint(harvest(w, false), ==, 1);
    g_assert_cmpint(clear(w, 100, 1), ==, 0);
    g_assert_cmpuint(clears(w), ==, 1);
    g_assert_false(dirty(w, 100));
}

/* System management mode sees the same RAM through slots of its own. */
static void test_second_address_space(World *w, gconstpointer unused)
{
    w->tracker->ops->stop(w->tracker);
    fake_kvm_add_slot(w->kvm, 1, 0, w->region, w->bytes, 0, PAGES);
    g_assert_true(w->tracker->ops->start(w->tracker, NULL));
    take_all(w);
    g_assert_cmpint(harvest(w, false), ==, 0);
    g_assert_true(fake_kvm_write(w->kvm, 1, w->region, 77, 1));
    g_assert_cmpint(harvest(w, true), ==, 1);
    g_assert_true(shmig_region_all(w->region, 77, 1));
}

static void test_slot_comes_and_goes(World *w, gconstpointer unused)
{
    take_all(w);
    write_page(w, CHUNK + 70);
    fake_kvm_remove_slot(w->kvm, 0, 9, w->extra);
    g_assert_cmpint(harvest(w, false), ==, 1);
    g_assert_true(shmig_region_all(w->region, CHUNK + 70, 1));
    g_assert_cmpint(clear(w, CHUNK + 70, 1), ==, 0);
    shmig_region_clear(w->region, CHUNK + 70, 1);

    /* A new slot reports all its pages. */
    fake_kvm_add_slot(w->kvm, 0, 3, w->region, w->bytes, CHUNK + 128, 65);
    g_assert_cmpint(harvest(w, false), ==, 65);
    g_assert_cmpint(clear(w, CHUNK + 128, 65), ==, 0);
    g_assert_false(dirty(w, CHUNK + 128) || dirty(w, CHUNK + 128 + 64));
}

static void test_errors(World *w, gconstpointer unused)
{
    fake_kvm_fail(w->kvm, SHMIG_KVM_GET_DIRTY_LOG, ENOENT);
    g_assert_cmpint(harvest(w, false), >=, 0);
    fake_kvm_fail(w->kvm, SHMIG_KVM_GET_DIRTY_LOG, EIO);
    g_assert_cmpint(harvest(w, false), ==, -EIO);
    shmig_region_set(w->region, 0, PAGES);
    fake_kvm_fail(w->kvm, SHMIG_KVM_CLEAR_DIRTY_LOG, EFAULT);
    g_assert_cmpint(clear(w, 0, 1), ==, -EFAULT);
    g_assert_cmpint(clear(w, 0, 1), ==, 0);
    g_assert_false(dirty(w, 0));
    fake_kvm_fail(w->kvm, SHMIG_KVM_CLEAR_DIRTY_LOG, ENOENT);
    g_assert_cmpint(clear(w, PAGES - 1, 1), ==, 0);
}

static void test_bad_slot(gconstpointer opaque)
{
    static const struct {
        uint64_t first, n;
    } bad[] = { { 32, 64 }, { 0, PAGES + 1 }, { PAGES - PAGES % 64, 65 } };
    unsigned i = GPOINTER_TO_UINT(opaque);
    World w = { 0 };

    make(&w, BOTH);
    fake_kvm_add_slot(w.kvm, 0, 0, w.region, w.bytes, bad[i].first, bad[i].n);
    g_assert_true(w.tracker->ops->start(w.tracker, NULL));
    g_assert_cmpint(harvest(&w, false), ==, -EINVAL);
    shmig_region_set(w.region, 0, PAGES);
    g_assert_cmpint(clear(&w, bad[i].first, 1), ==, -EINVAL);
    teardown(&w, NULL);
}

#define ADD(path, manual_protect, func)          \
    g_test_add("/dirty/kvm-bitmap/" path, World, \
               GUINT_TO_POINTER(manual_protect), setup, func, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("first-pass", BOTH, test_first_pass);
    ADD("chunk-size", BOTH, test_chunk_size);
    ADD("rounds", BOTH, test_rounds);
    ADD("last-arms-nothing", BOTH, test_last_arms_nothing);
    ADD("taken-while-cleared", BOTH, test_taken_while_cleared);
    ADD("no-manual-protect", 0, test_no_manual_protect);
    ADD("not-initially-set", SHMIG_KVM_MANUAL_PROTECT_ENABLE,
        test_not_initially_set);
    ADD("second-address-space", BOTH, test_second_address_space);
    ADD("slot-comes-and-goes", BOTH, test_slot_comes_and_goes);
    ADD("errors", BOTH, test_errors);
    g_test_add_data_func("/dirty/kvm-bitmap/slot-not-aligned",
                         GUINT_TO_POINTER(0), test_bad_slot);
    g_test_add_data_func("/dirty/kvm-bitmap/slot-too-long", GUINT_TO_POINTER(1),
                         test_bad_slot);
    g_test_add_data_func("/dirty/kvm-bitmap/slot-past-end", GUINT_TO_POINTER(2),
                         test_bad_slot);
    return g_test_run();
}
