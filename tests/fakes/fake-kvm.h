/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's dirty log in software: slots in several address spaces, with a
 * dirty bit and a write protection for each page, behind the ops of the
 * kvm-bitmap tracker.
 *
 * A page that is not protected is written without a trace, as by a real
 * vCPU; GET and CLEAR check what a kernel checks.  All functions may be
 * called from any thread.
 */
#ifndef FAKE_KVM_H
#define FAKE_KVM_H

#include "shmig/dirty/generic.h"
#include "shmig/dirty/kvm-bitmap.h"

typedef struct FakeKvm FakeKvm;

/* For shmig_kvm_bitmap_new(), with a FakeKvm as opaque; it is not freed. */
extern const ShmigKvmOps fake_kvm_ops;

FakeKvm *fake_kvm_new(unsigned manual_protect);
void fake_kvm_free(FakeKvm *kvm);

/* @bytes are the region's, for the slot's guest to write. */
void fake_kvm_add_slot(FakeKvm *kvm, uint32_t as_id, uint32_t slot,
                       ShmigRegion *region, uint8_t *bytes, uint64_t first_page,
                       uint64_t n_pages);

/* Reports the slot's dirty bits to @extra, a generic tracker or NULL. */
void fake_kvm_remove_slot(FakeKvm *kvm, uint32_t as_id, uint32_t slot,
                          ShmigTracker *extra);

/* A vCPU's store into the page's first bytes; false if no slot has it. */
bool fake_kvm_write(FakeKvm *kvm, uint32_t as_id, const ShmigRegion *region,
                    uint64_t page, uint64_t value);

/* Whether the page is dirty in the kernel's eyes. */
bool fake_kvm_dirty(FakeKvm *kvm, uint32_t as_id, const ShmigRegion *region,
                    uint64_t page);

/* Makes the next ioctl @request fail with @error, a positive errno. */
void fake_kvm_fail(FakeKvm *kvm, unsigned long request, int error);

/* How many ioctls @request there were. */
unsigned fake_kvm_calls(FakeKvm *kvm, unsigned long request);

/* Called before each ioctl is carried out. */
typedef void FakeKvmFunc(void *opaque, unsigned long request);
void fake_kvm_on_ioctl(FakeKvm *kvm, FakeKvmFunc *func, void *opaque);

/* Switches the log of all slots on or off; what start() and stop() do. */
void fake_kvm_log(FakeKvm *kvm, bool on);

#endif
