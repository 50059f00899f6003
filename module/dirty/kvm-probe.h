/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of KVM's dirty-log interfaces the running kernel has for a VM, and
 * switching them on.  kernel-uapi/kvm-dirty-log.h says what happens without
 * each of them.
 */
#ifndef SHMIG_DIRTY_KVM_PROBE_H
#define SHMIG_DIRTY_KVM_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* ioctl() of the VM; -errno on failure. */
typedef int ShmigKvmIoctl(void *opaque, unsigned long request, void *arg);

typedef struct ShmigKvmCaps {
    bool get;                /* GET_DIRTY_LOG */
    unsigned manual_protect; /* SHMIG_KVM_MANUAL_…; 0: no CLEAR_DIRTY_LOG */
    uint32_t ring_max_bytes; /* of one vCPU; 0: no rings */
    bool ring_acq_rel;
    bool ring_with_bitmap;
} ShmigKvmCaps;

/* Changes nothing. */
void shmig_kvm_probe(ShmigKvmIoctl *vm_ioctl, void *opaque, ShmigKvmCaps *caps);

/* Whether a ring may have @entries; the message names what it may have. */
bool shmig_kvm_ring_size_ok(const ShmigKvmCaps *caps, uint64_t entries,
                            GError **errp);

/* Before the first slot.  @flags: of caps->manual_protect. */
bool shmig_kvm_enable_manual_protect(ShmigKvmIoctl *vm_ioctl, void *opaque,
                                     const ShmigKvmCaps *caps, unsigned flags,
                                     GError **errp);

/*
 * Before the first vCPU and slot.  Switches WITH_BITMAP on too, if offered.
 * The VM must not use INITIALLY_SET.
 */
bool shmig_kvm_enable_ring(ShmigKvmIoctl *vm_ioctl, void *opaque,
                           const ShmigKvmCaps *caps, uint64_t entries,
                           GError **errp);

#endif
