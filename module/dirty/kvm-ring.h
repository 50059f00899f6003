/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm-ring tracker: the vCPUs' dirty rings, harvested straight into the
 * pending bitmaps.
 *
 * It costs what was written, not what there is; the bitmap's tracker is the
 * other way around.  It sees what vCPUs write through KVM's memory slots.
 * All else (devices, the kernel's own writes outside a vCPU that
 * RING_WITH_BITMAP keeps a bitmap of, slots that come and go, regions not
 * listed) is the business of the "extra" tracker.
 *
 * The VM must not use INITIALLY_SET: see kvm-dirty-log.h.
 */
#ifndef SHMIG_DIRTY_KVM_RING_H
#define SHMIG_DIRTY_KVM_RING_H

#include "shmig/dirty/kvm-bitmap.h"
#include "shmig/dirty/tracker.h"

struct shmig_kvm_dirty_gfn;

/* One vCPU's ring, as it is mapped. */
typedef struct ShmigKvmRing {
    struct shmig_kvm_dirty_gfn *entries;
    uint32_t n_entries; /* a power of two */
    uint32_t *next;     /* the entry to harvest next, modulo n_entries; kept
                           by the owner, changed by us with the lock held */
} ShmigKvmRing;

/* 0 to go on, else what foreach_ring() returns. */
typedef int ShmigKvmRingFunc(void *opaque, const ShmigKvmRing *ring);

typedef struct ShmigKvmRingOps {
    /*
     * One lock keeps the slots and the vCPUs as they are, and keeps others
     * from harvesting the rings.  Nothing of this library is locked inside
     * it.  Any thread, vCPUs' included: who holds it must not wait for a
     * vCPU to leave the guest.
     */
    void (*lock)(void *opaque);
    void (*unlock)(void *opaque);

    /* The slot of that number, if this tracker is to handle it.  Locked. */
    bool (*find_slot)(void *opaque, uint32_t as_id, uint32_t slot,
                      ShmigKvmSlot *found);

    /* Calls @func for each vCPU's ring.  Locked. */
    int (*foreach_ring)(void *opaque, ShmigKvmRingFunc *func,
                        void *func_opaque);

    /* A page was written that find_slot() finds no slot for.  Locked.
     * NULL if nobody wants to know. */
    void (*stray)(void *opaque, uint32_t as_id, uint32_t slot, uint64_t page);

    /* ioctl() of the VM; -errno on failure.  Locked. */
    int (*vm_ioctl)(void *opaque, unsigned long request, void *arg);

    /*
     * What vCPUs wrote before the call is in their rings on return: processors
     * keep their own lists of written pages until the vCPU leaves the guest.
     * Not locked.  Control thread.  NULL if that is so by itself, or if the
     * extra tracker's harvest sees to it and has the rings reaped then.
     */
    void (*flush)(void *opaque);

    /* As in ShmigKvmOps.  Control thread, not locked. */
    bool (*start)(void *opaque, GError **errp);
    void (*stop)(void *opaque);
    void (*free)(void *opaque);
} ShmigKvmRingOps;

/* As shmig_kvm_bitmap_new(). */
ShmigTracker *shmig_kvm_ring_new(const ShmigKvmRingOps *ops, void *opaque,
                                 ShmigRegion *const *regions,
                                 unsigned n_regions, ShmigTracker *extra);

/*
 * A vCPU's thread, not locked, when the vCPU has left the guest because its
 * ring is full; afterwards it may run again.  0 or -errno, which the next
 * harvest returns too.
 */
int shmig_kvm_ring_full(ShmigTracker *tracker);

/*
 * Takes over what the rings hold.  Locked; before a slot goes, so that the
 * entries still lead to their region.  0 or -errno.
 */
int shmig_kvm_ring_reap_locked(ShmigTracker *tracker);

#endif
