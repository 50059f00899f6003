/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bench's virtual machine, made with the KVM API alone: slots of memory,
 * and vCPUs that write pages when they are told to.
 *
 * The main thread owns it.  Each vCPU has a thread that waits until there is
 * something to write; it tells the main thread through a file descriptor, so
 * that a wait can end by a signal.
 */
#ifndef SHMIG_CLI_VM_H
#define SHMIG_CLI_VM_H

#include "backing.h"
#include "payload/command.h"
#include "shmig/dirty/kvm-probe.h"
#include "shmig/dirty/kvm-ring.h"

typedef struct VmOptions {
    const char *device; /* of KVM */
    unsigned n_vcpus;
    uint64_t memory_bytes;
    uint64_t working_bytes; /* the first ones, which are written */
    Backing backing;
    uint64_t slot_bytes; /* the last one may be smaller */

    /* What the vCPUs write. */
    PayloadPattern pattern;
    uint32_t stride_pages;
    double hot_percent;

    /* How KVM logs. */
    unsigned manual_protect;
    uint64_t ring_entries; /* 0: no rings */
} VmOptions;

typedef struct Vm Vm;

/* A CLI_ERROR in *@errp on failure. */
Vm *vm_new(const VmOptions *options, GError **errp);
void vm_free(Vm *vm);

/* What the kernel offers, asked on a VM without anything. */
bool vm_probe(const char *device, ShmigKvmCaps *caps, uint64_t *max_slots,
              GError **errp);

/* -errno on failure.  Any thread. */
int vm_ioctl(Vm *vm, unsigned long request, void *arg);

ShmigRegion *vm_region(Vm *vm);

/* Slots are there as long as the VM is. */
int vm_foreach_slot(Vm *vm, ShmigKvmSlotFunc *func, void *opaque);
bool vm_find_slot(Vm *vm, uint32_t slot, ShmigKvmSlot *found);
bool vm_log(Vm *vm, bool on, GError **errp);

int vm_foreach_ring(Vm *vm, ShmigKvmRingFunc *func, void *opaque);

/* Empties full rings: 0 or -errno.  A vCPU's thread. */
typedef int VmRingFull(void *opaque);
void vm_on_ring_full(Vm *vm, VmRingFull *func, void *opaque);
uint64_t vm_ring_fulls(Vm *vm);

/*
 * All vCPUs write each page of theirs once, in order; or @fraction of their
 * pages' number in the pattern.  vm_wait() returns when they are done.
 */
void vm_populate(Vm *vm);
void vm_pass(Vm *vm, double fraction);

/* They write in the pattern until vm_stop().  @rate: a second; 0: no limit. */
void vm_run(Vm *vm, uint64_t rate);

/*
 * Until all vCPUs are done, or @interrupt_fd can be read (then they are
 * stopped).  False if a vCPU has failed.
 */
bool vm_wait(Vm *vm, int interrupt_fd, GError **errp);

/* No vCPU is in the guest from the return on. */
bool vm_stop(Vm *vm, GError **errp);

/* What vCPUs have written is in their rings. */
void vm_flush(Vm *vm);

/* How many writes there were in all; exact when no vCPU runs. */
uint64_t vm_writes(Vm *vm);

#endif
