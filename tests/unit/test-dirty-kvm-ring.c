/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kvm-ring tracker's use of the rings, on a kernel in software. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "fake-ring.h"
#include "kvm-dirty-log.h"
#include "shmig/base/error.h"

#define PAGES 1000u
#define EDGE 192u
#define ENTRIES 256u

typedef struct World {
    ShmigRegion *region;
    uint8_t *bytes;
    uint64_t pages;
    FakeRing *kvm;
    ShmigTracker *extra;
    ShmigTracker *tracker;
} World;

static void make_region(World *w, uint32_t entries, uint64_t pages)
{
    w->pages = pages;
    w->region = shmig_region_new(1, SHMIG_REGION_RAM, pages * 4096);
    w->bytes = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(w->bytes != MAP_FAILED);
    w->kvm = fake_ring_new(entries);
    w->extra = shmig_generic_new(NULL, NULL, &w->region, 1);
    w->tracker =
        shmig_kvm_ring_new(&fake_ring_ops, w->kvm, &w->region, 1, w->extra);
    fake_ring_set_tracker(w->kvm, w->tracker);
}

static void make(World *w, uint32_t entries)
{
    make_region(w, entries, PAGES);
}

/* All of them in one slot, and tracked. */
static void make_pages(World *w, uint32_t entries, uint64_t pages)
{
    make_region(w, entries, pages);
    fake_ring_add_slot(w->kvm, 0, 0, w->region, w->bytes, 0, pages);
    g_assert_true(w->tracker->ops->start(w->tracker, NULL));
}

static void setup(World *w, gconstpointer unused)
{
    make(w, ENTRIES);
    fake_ring_add_slot(w->kvm, 0, 0, w->region, w->bytes, 0, EDGE);
    fake_ring_add_slot(w->kvm, 0, 9, w->region, w->bytes, EDGE, PAGES - EDGE);
    g_assert_true(w->tracker->ops->start(w->tracker, NULL));
}

static void teardown(World *w, gconstpointer unused)
{
    w->tracker->ops->stop(w->tracker);
    w->tracker->ops->free(w->tracker);
    fake_ring_free(w->kvm);
    munmap(w->bytes, w->pages * 4096);
    shmig_region_free(w->region);
}

static int64_t harvest(World *w, bool last)
{
    return w->tracker->ops->harvest(w->tracker, last);
}

static void write_page(World *w, unsigned vcpu, uint64_t page)
{
    g_assert_true(fake_ring_write(w->kvm, vcpu, 0, w->region, page, page));
}

static bool writable(World *w, uint64_t page)
{
    return fake_ring_writable(w->kvm, 0, w->region, page);
}

static void test_rounds(World *w, gconstpointer unused)
{
    g_assert_cmpstr(w->tracker->ops->name, ==, "kvm-ring");
    write_page(w, 0, 3);
    write_page(w, 1, EDGE);
    write_page(w, 2, PAGES - 1);
    write_page(w, 2, 3);
    shmig_generic_mark(w->extra, w->region, 500, 1);
    g_assert_cmpint(harvest(w, false), ==, 4);
    g_assert_true(shmig_region_all(w->region, 3, 1));
    g_assert_true(shmig_region_all(w->region, EDGE, 1));
    g_assert_true(shmig_region_all(w->region, 500, 1));
    g_assert_true(shmig_region_all(w->region, PAGES - 1, 1));
    g_assert_false(writable(w, 3) || writable(w, EDGE));
    g_assert_cmpuint(w->region->pending_granules, ==, 4);

    /* Armed: a write is seen again; one that is pending is not new. */
    g_assert_cmpint(w->tracker->ops->clear(w->tracker, w->region, 3, 1), ==, 0);
    shmig_region_clear(w->region, 3, 1);
    write_page(w, 1, 3);
    write_page(w, 1, PAGES - 1);
    g_assert_cmpint(harvest(w, true), ==, 1);
    g_assert_cmpint(harvest(w, true), ==, 0);
    g_assert_cmpuint(fake_ring_counts(w->kvm).flushes, ==, 3);
}

static void test_nothing_to_reset(World *w, gconstpointer unused)
{
    unsigned before = fake_ring_counts(w->kvm).resets;

    g_assert_cmpint(harvest(w, false), ==, 0);
    g_assert_cmpuint(fake_ring_counts(w->kvm).resets, ==, before);
}

/* Every entry is filled, harvested and reset several times over. */
static void test_overflow(World *w, gconstpointer unused)
{
    for (unsigned i = 0; i < 5 * PAGES; i++) {
        write_page(w, 0, i % PAGES);
    }
    g_assert_cmpuint(fake_ring_counts(w->kvm).fulls, >=, 5);
    g_assert_cmpint(harvest(w, false), ==, PAGES);
    g_assert_true(shmig_region_all(w->region, 0, PAGES));
}

/* As a channel would that takes a page as soon as it is pending. */
static void not_pending_yet(void *opaque)
{
    World *w = opaque;

    g_assert_false(shmig_region_any(w->region, 100, 1));
}

static void test_pending_after_reset(World *w, gconstpointer unused)
{
    write_page(w, 0, 100);
    fake_ring_on_reset(w->kvm, not_pending_yet, w);
    g_assert_cmpint(harvest(w, false), ==, 1);
    g_assert_true(shmig_region_all(w->region, 100, 1));
    fake_ring_on_reset(w->kvm, NULL, NULL);
}

static void armed_before_pending(void *opaque)
{
    World *w = opaque;

    for (unsigned p = 0; p < 10; p++) {
        g_assert_false(writable(w, p) && shmig_region_any(w->region, p, 1));
    }
}

static void test_reset_cut_short(World *w, gconstpointer unused)
{
    for (unsigned p = 0; p < 10; p++) {
        write_page(w, p % 3, p);
    }
    fake_ring_cut_resets(w->kvm, 3);
    fake_ring_on_reset(w->kvm, armed_before_pending, w);
    g_assert_cmpint(harvest(w, false), ==, 10);
    armed_before_pending(w);
    g_assert_false(writable(w, 0) || writable(w, 9));
    g_assert_cmpuint(fake_ring_counts(w->kvm).resets, >=, 7);
}

/* Not for ever, should a kernel reset nothing at all. */
static void test_reset_does_nothing(World *w, gconstpointer unused)
{
    write_page(w, 0, 3);
    fake_ring_no_resets(w->kvm);
    g_assert_cmpint(harvest(w, false), ==, -EIO);
    g_assert_true(shmig_region_all(w->region, 3, 1));
}

/* A lost page must not stay unnoticed. */
static void test_overrun(World *w, gconstpointer unused)
{
    fake_ring_overrun(w->kvm);
    for (unsigned p = 0; p < ENTRIES + 10; p++) {
        write_page(w, 1, p);
    }
    g_assert_cmpint(harvest(w, false), ==, -EOVERFLOW);
    g_assert_cmpint(harvest(w, true), ==, -EOVERFLOW);
}

/* The vCPU goes on, though: what it writes next is found. */
static void test_after_overrun(World *w, gconstpointer unused)
{
    fake_ring_overrun(w->kvm);
    for (unsigned p = 0; p < ENTRIES + 10; p++) {
        write_page(w, 1, p);
    }
    g_assert_cmpint(harvest(w, false), ==, -EOVERFLOW);
    write_page(w, 1, 500);
    g_assert_false(shmig_region_any(w->region, 500, 1));
    g_assert_cmpint(harvest(w, false), ==, -EOVERFLOW);
    g_assert_true(shmig_region_all(w->region, 500, 1));
    g_assert_false(writable(w, 500));
}

/* However many pieces it is reaped in. */
static void test_overrun_in_runs(void)
{
    const uint32_t entries = 65536;
    World w = { 0 };

    make_pages(&w, entries, 2 * (entries + 10));
    fake_ring_overrun(w.kvm);
    for (uint64_t p = 0; p < entries + 10; p++) {
        write_page(&w, 0, 2 * p);
    }
    g_assert_cmpint(harvest(&w, false), ==, -EOVERFLOW);
    teardown(&w, NULL);
}

/* One entry is left: as long as the kernel keeps its word, all is well. */
static void test_almost_overrun(World *w, gconstpointer unused)
{
    fake_ring_overrun(w->kvm);
    for (unsigned p = 0; p < ENTRIES - 1; p++) {
        write_page(w, 1, p);
    }
    g_assert_cmpint(harvest(w, false), ==, ENTRIES - 1);
}

static void test_full_counts(World *w, gconstpointer unused)
{
    write_page(w, 0, 100);
    write_page(w, 0, 101);
    g_assert_cmpint(shmig_kvm_ring_full(w->tracker), ==, 0);
    g_assert_true(shmig_region_all(w->region, 100, 2));
    write_page(w, 0, 102);
    g_assert_cmpint(harvest(w, false), ==, 3);
}

/* As QEMU's own log does when it is brought up to date: it tells no error. */
static int reap_for_others(void *opaque, bool last)
{
    World *w = opaque;

    write_page(w, 0, 7);
    shmig_kvm_ring_full(w->tracker);
    return 0;
}

static const ShmigGenericOps reaping_ops = { .sync = reap_for_others };

static void make_reaping(World *w)
{
    make(w, ENTRIES);
    w->tracker->ops->free(w->tracker);
    w->extra = shmig_generic_new(&reaping_ops, w, &w->region, 1);
    w->tracker =
        shmig_kvm_ring_new(&fake_ring_ops, w->kvm, &w->region, 1, w->extra);
    fake_ring_set_tracker(w->kvm, w->tracker);
    fake_ring_add_slot(w->kvm, 0, 0, w->region, w->bytes, 0, PAGES);
}

/* What is reaped on behalf of the extra tracker counts in this harvest. */
static void test_reaped_by_extra(void)
{
    World w = { 0 };

    make_reaping(&w);
    g_assert_true(w.tracker->ops->start(w.tracker, NULL));
    shmig_region_clear(w.region, 7, 1);
    g_assert_cmpint(harvest(&w, false), ==, 1);
    g_assert_true(shmig_region_all(w.region, 7, 1));
    teardown(&w, NULL);
}

/* A last harvest has nobody after it who could tell. */
static void test_reaped_by_extra_fails(void)
{
    World w = { 0 };

    make_reaping(&w);
    g_assert_true(w.tracker->ops->start(w.tracker, NULL));
    fake_ring_fail(w.kvm, EIO);
    g_assert_cmpint(harvest(&w, true), ==, -EIO);
    teardown(&w, NULL);
}

static void test_slot_goes(World *w, gconstpointer unused)
{
    write_page(w, 0, EDGE + 7);
    fake_ring_remove_slot(w->kvm, 0, 9, true);
    g_assert_cmpint(harvest(w, false), ==, 1);
    g_assert_true(shmig_region_all(w->region, EDGE + 7, 1));
}

/* An entry that leads nowhere any more must not lead anywhere else. */
static void test_slot_shrinks(World *w, gconstpointer unused)
{
    write_page(w, 0, EDGE + 70);
    write_page(w, 0, EDGE + 63);
    fake_ring_remove_slot(w->kvm, 0, 9, false);
    fake_ring_add_slot(w->kvm, 0, 9, w->region, w->bytes, EDGE, 64);
    g_assert_cmpint(harvest(w, false), ==, 1);
    g_assert_true(shmig_region_all(w->region, EDGE + 63, 1));
    g_assert_cmpuint(fake_ring_counts(w->kvm).strays, ==, 0);
}

static void test_not_ours(World *w, gconstpointer unused)
{
    fake_ring_hide_slot(w->kvm, 0, 9);
    write_page(w, 0, EDGE);
    write_page(w, 0, 1);
    write_page(w, 0, EDGE + 1);
    g_assert_cmpint(harvest(w, false), ==, 1);
    g_assert_cmpuint(fake_ring_counts(w->kvm).strays, ==, 2);
    g_assert_false(writable(w, EDGE));
}

static void test_second_address_space(World *w, gconstpointer unused)
{
    fake_ring_add_slot(w->kvm, 1, 0, w->region, w->bytes, EDGE, EDGE);
    g_assert_true(fake_ring_write(w->kvm, 0, 1, w->region, EDGE + 3, 1));
    write_page(w, 0, 3);
    g_assert_cmpint(harvest(w, true), ==, 2);
    g_assert_true(shmig_region_all(w->region, EDGE + 3, 1));
    g_assert_true(shmig_region_all(w->region, 3, 1));
}

static void test_reset_fails(World *w, gconstpointer unused)
{
    write_page(w, 0, 3);
    fake_ring_fail(w->kvm, EIO);
    g_assert_cmpint(shmig_kvm_ring_full(w->tracker), ==, -EIO);
    g_assert_true(shmig_region_all(w->region, 3, 1));

    /* The page was not armed: whoever asks later has to know. */
    g_assert_cmpint(harvest(w, false), ==, -EIO);
    g_assert_cmpint(harvest(w, true), ==, -EIO);
}

static void test_start_fails(void)
{
    World w = { 0 };
    g_autoptr(GError) err = NULL;

    make(&w, ENTRIES);
    fake_ring_add_slot(w.kvm, 0, 0, w.region, w.bytes, 0, PAGES);
    g_assert_true(w.tracker->ops->start(w.tracker, NULL));
    write_page(&w, 0, 3);
    w.tracker->ops->stop(w.tracker);
    fake_ring_fail(w.kvm, EIO);
    g_assert_false(w.tracker->ops->start(w.tracker, &err));
    g_assert_error(err, SHMIG_ERROR, SHMIG_ERROR_RAM);
    g_assert_true(w.tracker->ops->start(w.tracker, NULL));
    g_assert_cmpint(harvest(&w, false), ==, 0);
    teardown(&w, NULL);
}

static void test_bad_slot(void)
{
    World w = { 0 };

    make(&w, ENTRIES);
    fake_ring_add_slot(w.kvm, 0, 0, w.region, w.bytes, 0, PAGES + 1);
    g_assert_true(w.tracker->ops->start(w.tracker, NULL));
    write_page(&w, 0, 3);
    g_assert_cmpint(harvest(&w, false), ==, -EINVAL);
    teardown(&w, NULL);
}

/* More runs than are collected at once, and the rest is not forgotten. */
static void test_many_runs(void)
{
    World w = { 0 };
    const uint64_t pages = 40000;

    make_pages(&w, 65536, 2 * pages);
    for (uint64_t p = 0; p < pages; p++) {
        write_page(&w, 0, 2 * p);
    }
    g_assert_cmpint(harvest(&w, false), ==, pages);
    g_assert_cmpuint(fake_ring_counts(w.kvm).resets, ==, 3);
    for (uint64_t p = 0; p < pages; p++) {
        g_assert_false(writable(&w, 2 * p));
    }
    teardown(&w, NULL);
}

#define ADD(path, func) \
    g_test_add("/dirty/kvm-ring/" path, World, NULL, setup, func, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("rounds", test_rounds);
    ADD("nothing-to-reset", test_nothing_to_reset);
    ADD("overflow", test_overflow);
    ADD("pending-after-reset", test_pending_after_reset);
    ADD("reset-cut-short", test_reset_cut_short);
    ADD("reset-does-nothing", test_reset_does_nothing);
    ADD("overrun", test_overrun);
    g_test_add_func("/dirty/kvm-ring/overrun-in-runs", test_overrun_in_runs);
    ADD("after-overrun", test_after_overrun);
    ADD("almost-overrun", test_almost_overrun);
    ADD("full-counts", test_full_counts);
    ADD("slot-goes", test_slot_goes);
    ADD("slot-shrinks", test_slot_shrinks);
    ADD("not-ours", test_not_ours);
    ADD("second-address-space", test_second_address_space);
    ADD("reset-fails", test_reset_fails);
    g_test_add_func("/dirty/kvm-ring/start-fails", test_start_fails);
    g_test_add_func("/dirty/kvm-ring/bad-slot", test_bad_slot);
    g_test_add_func("/dirty/kvm-ring/reaped-by-extra", test_reaped_by_extra);
    g_test_add_func("/dirty/kvm-ring/reaped-by-extra-fails",
                    test_reaped_by_extra_fails);
    g_test_add_func("/dirty/kvm-ring/many-runs", test_many_runs);
    return g_test_run();
}
