/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compares kvm-dirty-log.h with the build host's <linux/kvm.h>, as far as
 * that one goes.  No code comes of it.
 */
#include <stddef.h>

#include <linux/kvm.h>

#include "kvm-dirty-log.h"

#define SAME_VALUE(ours, theirs) \
    _Static_assert((ours) == (theirs), #ours " is not " #theirs)
#define SAME_SIZE(ours, theirs)                                  \
    _Static_assert(sizeof(struct ours) == sizeof(struct theirs), \
                   #ours " has another size than " #theirs)
#define SAME_OFFSET(ours, our_field, theirs, their_field)    \
    _Static_assert(offsetof(struct ours, our_field) ==       \
                       offsetof(struct theirs, their_field), \
                   #ours "." #our_field " has another offset")

SAME_VALUE(SHMIG_KVM_IO, KVMIO);
SAME_VALUE(SHMIG_KVM_CHECK_EXTENSION, KVM_CHECK_EXTENSION);
SAME_VALUE(SHMIG_KVM_ENABLE_CAP, KVM_ENABLE_CAP);
SAME_SIZE(shmig_kvm_enable_cap, kvm_enable_cap);
SAME_OFFSET(shmig_kvm_enable_cap, cap, kvm_enable_cap, cap);
SAME_OFFSET(shmig_kvm_enable_cap, flags, kvm_enable_cap, flags);
SAME_OFFSET(shmig_kvm_enable_cap, args, kvm_enable_cap, args);

SAME_VALUE(SHMIG_KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
SAME_VALUE(SHMIG_KVM_MEM_READONLY, KVM_MEM_READONLY);

SAME_VALUE(SHMIG_KVM_GET_DIRTY_LOG, KVM_GET_DIRTY_LOG);
SAME_SIZE(shmig_kvm_dirty_log, kvm_dirty_log);
SAME_OFFSET(shmig_kvm_dirty_log, slot, kvm_dirty_log, slot);
SAME_OFFSET(shmig_kvm_dirty_log, bitmap, kvm_dirty_log, dirty_bitmap);

SAME_VALUE(SHMIG_KVM_CLEAR_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG);
SAME_SIZE(shmig_kvm_clear_dirty_log, kvm_clear_dirty_log);
SAME_OFFSET(shmig_kvm_clear_dirty_log, slot, kvm_clear_dirty_log, slot);
SAME_OFFSET(shmig_kvm_clear_dirty_log, num_pages, kvm_clear_dirty_log,
            num_pages);
SAME_OFFSET(shmig_kvm_clear_dirty_log, first_page, kvm_clear_dirty_log,
            first_page);
SAME_OFFSET(shmig_kvm_clear_dirty_log, bitmap, kvm_clear_dirty_log,
            dirty_bitmap);

SAME_VALUE(SHMIG_KVM_CAP_MANUAL_PROTECT2, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
SAME_VALUE(SHMIG_KVM_MANUAL_PROTECT_ENABLE,
           KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
SAME_VALUE(SHMIG_KVM_MANUAL_INITIALLY_SET, KVM_DIRTY_LOG_INITIALLY_SET);

#ifdef KVM_CAP_DIRTY_LOG_RING
SAME_VALUE(SHMIG_KVM_CAP_RING, KVM_CAP_DIRTY_LOG_RING);
SAME_VALUE(SHMIG_KVM_EXIT_RING_FULL, KVM_EXIT_DIRTY_RING_FULL);
SAME_VALUE(SHMIG_KVM_RESET_RINGS, KVM_RESET_DIRTY_RINGS);
SAME_VALUE(SHMIG_KVM_GFN_DIRTY, KVM_DIRTY_GFN_F_DIRTY);
SAME_VALUE(SHMIG_KVM_GFN_RESET, KVM_DIRTY_GFN_F_RESET);
SAME_SIZE(shmig_kvm_dirty_gfn, kvm_dirty_gfn);
SAME_OFFSET(shmig_kvm_dirty_gfn, flags, kvm_dirty_gfn, flags);
SAME_OFFSET(shmig_kvm_dirty_gfn, slot, kvm_dirty_gfn, slot);
SAME_OFFSET(shmig_kvm_dirty_gfn, offset, kvm_dirty_gfn, offset);
/* 0 where the architecture had no ring yet. */
#if defined(SHMIG_KVM_RING_PAGE_OFFSET) && KVM_DIRTY_LOG_PAGE_OFFSET
SAME_VALUE(SHMIG_KVM_RING_PAGE_OFFSET, KVM_DIRTY_LOG_PAGE_OFFSET);
#endif
#endif

#ifdef KVM_CAP_DIRTY_LOG_RING_ACQ_REL
SAME_VALUE(SHMIG_KVM_CAP_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING_ACQ_REL);
#endif

#ifdef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
SAME_VALUE(SHMIG_KVM_CAP_RING_WITH_BITMAP, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP);
#endif
