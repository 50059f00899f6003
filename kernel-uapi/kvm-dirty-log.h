/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's dirty-log interfaces, under names of our own.
 *
 * The numbers and layouts are the kernel's; a build host's <linux/kvm.h> may
 * be older than what the running kernel offers, and this header needs none.
 * It may be included before, after or without <linux/kvm.h> (5.8 or later);
 * module/dirty/kvm-uapi-check.c compares the two when the library is built.
 *
 * Capabilities are asked for on the VM (CHECK_EXTENSION) and switched on
 * with ENABLE_CAP before the first vCPU or slot that they concern.
 * module/dirty/kvm-probe.h asks the running kernel for each of them.
 *
 * interface                      first    without it
 * -----------------------------  -------  ----------------------------------
 * GET_DIRTY_LOG                  2.6.20   no tracking in KVM: generic tracker
 * CAP_MANUAL_PROTECT2, value 1,  5.2      GET clears and write-protects the
 *   and CLEAR_DIRTY_LOG                   whole slot at once; nothing to
 *                                         clear before the bytes are read
 *   INITIALLY_SET                5.7      switching the log on
 *                                         write-protects the whole slot
 * CAP_RING, RESET_RINGS,         5.11     bitmap
 *   EXIT_RING_FULL, dirty_gfn
 *   (weakly ordered hosts have            (they have CAP_RING_ACQ_REL only)
 *   no ring before 6.1)
 * CAP_RING_ACQ_REL               6.1      CAP_RING; the states are read and
 *                                         written with acquire and release
 *                                         in any case
 * CAP_RING_WITH_BITMAP           6.2      writes outside a vCPU cannot be
 *                                         logged while rings are used (some
 *                                         arm64 devices); x86 needs it not
 *
 * A VM uses rings or the bitmap, never both: with rings, GET and CLEAR fail
 * with ENXIO (unless WITH_BITMAP), and INITIALLY_SET must not be on, for it
 * leaves pages writable that no ring entry was made for.
 *
 * In all of them a slot is named by its number in bits 0 to 15 and its
 * address space in bits 16 to 31.
 */
#ifndef SHMIG_KVM_DIRTY_LOG_H
#define SHMIG_KVM_DIRTY_LOG_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SHMIG_KVM_IO 0xae

/* Of /dev/kvm and of the VM; the argument is the capability's number. */
#define SHMIG_KVM_CHECK_EXTENSION _IO(SHMIG_KVM_IO, 0x03)

struct shmig_kvm_enable_cap {
    __u32 cap;
    __u32 flags; /* 0 */
    __u64 args[4];
    __u8 reserved[64];
};

#define SHMIG_KVM_ENABLE_CAP \
    _IOW(SHMIG_KVM_IO, 0xa3, struct shmig_kvm_enable_cap)

/* Flags of a memory region, for KVM_SET_USER_MEMORY_REGION. */
#define SHMIG_KVM_MEM_LOG_DIRTY_PAGES (1u << 0)
#define SHMIG_KVM_MEM_READONLY (1u << 1)

#define SHMIG_KVM_SLOT(as_id, slot) ((__u32)(as_id) << 16 | (slot))

/*
 * Bit 0 of the bitmap's first word is the slot's first page (of
 * CLEAR_DIRTY_LOG: first_page).  Words are 64 bits, little endian on every
 * host.  GET writes whole words for the whole slot.
 */
struct shmig_kvm_dirty_log {
    __u32 slot;
    __u32 reserved; /* 0 */
    union {
        void *bitmap;
        __u64 reserved_bitmap;
    };
};

/*
 * Pages whose bit is set are marked clean and will be marked dirty by the
 * next write.  first_page is a multiple of 64; so is num_pages, unless the
 * range ends where the slot ends.
 */
struct shmig_kvm_clear_dirty_log {
    __u32 slot;
    __u32 num_pages;
    __u64 first_page;
    union {
        void *bitmap;
        __u64 reserved_bitmap;
    };
};

/* ENOENT: the slot does not exist or has no dirty log. */
#define SHMIG_KVM_GET_DIRTY_LOG \
    _IOW(SHMIG_KVM_IO, 0x42, struct shmig_kvm_dirty_log)
#define SHMIG_KVM_CLEAR_DIRTY_LOG \
    _IOWR(SHMIG_KVM_IO, 0xc0, struct shmig_kvm_clear_dirty_log)

/* CHECK_EXTENSION returns the flags that ENABLE_CAP takes. */
#define SHMIG_KVM_CAP_MANUAL_PROTECT2 168
#define SHMIG_KVM_MANUAL_PROTECT_ENABLE (1u << 0)
#define SHMIG_KVM_MANUAL_INITIALLY_SET (1u << 1)

/*
 * One ring of struct shmig_kvm_dirty_gfn a vCPU, mapped from the vCPU's fd at
 * the page offset below.  CHECK_EXTENSION returns the largest ring in bytes,
 * ENABLE_CAP takes the size: a power of two, at least a page.  The kernel
 * keeps some hundred entries in reserve and calls the ring full before.
 */
#define SHMIG_KVM_CAP_RING 192
#define SHMIG_KVM_CAP_RING_ACQ_REL 223
#define SHMIG_KVM_CAP_RING_WITH_BITMAP 225

#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)
#define SHMIG_KVM_RING_PAGE_OFFSET 64
#endif

/* The vCPU cannot go on before its ring is reaped and reset. */
#define SHMIG_KVM_EXIT_RING_FULL 31

/*
 * States of an entry, in flags: 0, the kernel's to fill → DIRTY, ours to
 * harvest → RESET, the kernel's to re-protect at the next RESET_RINGS → 0.
 * Entries are harvested in order.  DIRTY is loaded with acquire before slot
 * and offset are read; RESET is stored with release.
 */
struct shmig_kvm_dirty_gfn {
    __u32 flags;
    __u32 slot;
    __u64 offset; /* page in the slot */
};

#define SHMIG_KVM_GFN_DIRTY (1u << 0)
#define SHMIG_KVM_GFN_RESET (1u << 1)

/*
 * Of the VM: returns how many entries it re-protected.  A pending signal cuts
 * it short (6.16).
 */
#define SHMIG_KVM_RESET_RINGS _IO(SHMIG_KVM_IO, 0xc7)

#endif
