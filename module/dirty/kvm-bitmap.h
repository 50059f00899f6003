/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm-bitmap tracker: KVM's dirty log, slot by slot, straight into the
 * pending bitmaps.
 *
 * It sees what vCPUs and the kernel write through KVM's memory slots.  All
 * else that writes guest memory (devices, slots that come and go, regions
 * not listed) is the business of the "extra" tracker.
 */
#ifndef SHMIG_DIRTY_KVM_BITMAP_H
#define SHMIG_DIRTY_KVM_BITMAP_H

#include "shmig/dirty/tracker.h"

/* A slot with its dirty log switched on. */
typedef struct ShmigKvmSlot {
    uint32_t as_id;
    uint32_t slot;
    uint64_t n_pages; /* as KVM knows it, all inside the region */
    ShmigRegion *region;
    uint64_t region_first_page; /* a multiple of 64 */
} ShmigKvmSlot;

/* 0 to go on, else what foreach_slot() returns. */
typedef int ShmigKvmSlotFunc(void *opaque, const ShmigKvmSlot *slot);

typedef struct ShmigKvmOps {
    /*
     * Calls @func for each slot of all address spaces that this tracker is
     * to handle, as they are now.  No slot may come, go or change while
     * @func runs: the kernel writes as many bits as the slot has pages.
     * Any thread.
     */
    int (*foreach_slot)(void *opaque, ShmigKvmSlotFunc *func,
                        void *func_opaque);

    /* ioctl() of the VM; -errno on failure.  Any thread, in foreach_slot. */
    int (*vm_ioctl)(void *opaque, unsigned long request, void *arg);

    /*
     * Switches the dirty log of all slots, present and to come, on and off.
     * NULL if others do it before start() and after stop().  Control thread.
     */
    bool (*start)(void *opaque, GError **errp);
    void (*stop)(void *opaque);

    /* May be NULL. */
    void (*free)(void *opaque);
} ShmigKvmOps;

/*
 * @manual_protect: the flags with which the VM's manual dirty-log protection
 * was enabled; 0 without it: then a harvest arms what it takes.
 * @extra: another tracker of the same regions, or NULL; owned by this one.
 * The regions outlive the tracker.
 *
 * When a slot goes, the bits that it had must have become known to @extra.
 */
ShmigTracker *shmig_kvm_bitmap_new(const ShmigKvmOps *ops, void *opaque,
                                   ShmigRegion *const *regions,
                                   unsigned n_regions, unsigned manual_protect,
                                   ShmigTracker *extra);

/*
 * How much is cleared in the kernel at once, just before its bytes are read:
 * a multiple of 256 KiB; 64 MiB if not set.  Before start().
 */
void shmig_kvm_bitmap_set_chunk_bytes(ShmigTracker *tracker, uint64_t bytes);

#endif
