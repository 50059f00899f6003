/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's dirty rings in software: one ring a vCPU and a write protection
 * for each page, behind the ops of the kvm-ring tracker.
 *
 * A page that is not protected is written without a trace, as by a real
 * vCPU; a write that finds its ring full has it harvested first.  All
 * functions may be called from any thread; a vCPU belongs to one.
 */
#ifndef FAKE_RING_H
#define FAKE_RING_H

#include "shmig/dirty/generic.h"
#include "shmig/dirty/kvm-ring.h"

#define FAKE_RING_VCPUS 3

typedef struct FakeRing FakeRing;

/* For shmig_kvm_ring_new(), with a FakeRing as opaque; it is not freed. */
extern const ShmigKvmRingOps fake_ring_ops;

/* @n_entries: of each ring; a power of two. */
FakeRing *fake_ring_new(uint32_t n_entries);
void fake_ring_free(FakeRing *kvm);

/* Who empties full rings.  Before the first write. */
void fake_ring_set_tracker(FakeRing *kvm, ShmigTracker *tracker);

/* @bytes are the region's. */
void fake_ring_add_slot(FakeRing *kvm, uint32_t as_id, uint32_t slot,
                        ShmigRegion *region, uint8_t *bytes,
                        uint64_t first_page, uint64_t n_pages);

/* @reap: the rings are emptied first. */
void fake_ring_remove_slot(FakeRing *kvm, uint32_t as_id, uint32_t slot,
                           bool reap);

/* A vCPU's store into the page's first bytes; false if no slot has it. */
bool fake_ring_write(FakeRing *kvm, unsigned vcpu, uint32_t as_id,
                     const ShmigRegion *region, uint64_t page, uint64_t value);

/* Whether a write to the page would leave no trace. */
bool fake_ring_writable(FakeRing *kvm, uint32_t as_id,
                        const ShmigRegion *region, uint64_t page);

/* Hides a slot from find_slot(). */
void fake_ring_hide_slot(FakeRing *kvm, uint32_t as_id, uint32_t slot);

/* Makes the next reset fail with @error, a positive errno. */
void fake_ring_fail(FakeRing *kvm, int error);

/* A reset does no more than @entries at once, and every other one none. */
void fake_ring_cut_resets(FakeRing *kvm, unsigned entries);

/* Resets return 0 and do nothing. */
void fake_ring_no_resets(FakeRing *kvm);

/* vCPUs do not stop for a full ring any more. */
void fake_ring_overrun(FakeRing *kvm);

/* Called before each reset is carried out. */
typedef void FakeRingFunc(void *opaque);
void fake_ring_on_reset(FakeRing *kvm, FakeRingFunc *func, void *opaque);

typedef struct FakeRingCounts {
    unsigned resets;
    unsigned fulls;   /* writes that found the ring full */
    unsigned strays;  /* pages told to stray() */
    unsigned flushes; /* calls of flush() */
} FakeRingCounts;

FakeRingCounts fake_ring_counts(FakeRing *kvm);

#endif
