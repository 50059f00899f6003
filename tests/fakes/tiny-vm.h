/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A real virtual machine whose vCPUs do nothing but write pages in random
 * order, straight on /dev/kvm.  x86 only.
 *
 * The guest's code uses a dozen plain instructions, so that it also runs
 * where KVM emulates them one by one.
 */
#ifndef TINY_VM_H
#define TINY_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "shmig/dirty/kvm-ring.h"

#define TINY_VM_MAX_VCPUS 4

/* Below this there is the guest's code; slots of the test go above. */
#define TINY_VM_FIRST_GPA (16u << 20)

typedef struct TinyVm TinyVm;

typedef struct TinyVmOptions {
    unsigned manual_protect; /* flags */
    unsigned ring_entries;   /* of each vCPU; 0: no rings */
    unsigned n_vcpus;
} TinyVmOptions;

/*
 * Slot 0 is the VM's own.  NULL if there is no such VM here; *@missing then
 * says in a phrase what is missing (to be freed).
 */
TinyVm *tiny_vm_new(const TinyVmOptions *options, char **missing);
void tiny_vm_free(TinyVm *vm); /* of one that does not run */

/* ioctl() of the VM, -errno on failure.  Any thread. */
int tiny_vm_ioctl(TinyVm *vm, unsigned long request, void *arg);

/* Calls @func for each vCPU's ring, as ShmigKvmRingOps wants it. */
int tiny_vm_foreach_ring(TinyVm *vm, ShmigKvmRingFunc *func, void *opaque);

/* Who empties full rings: 0 or -errno.  Before run(). */
typedef int TinyVmFull(void *opaque);
void tiny_vm_on_ring_full(TinyVm *vm, TinyVmFull *func, void *opaque);

/* Sets, changes or (@n_bytes 0) removes a slot, 1 or above. */
void tiny_vm_set_slot(TinyVm *vm, uint32_t slot, uint64_t gpa, void *bytes,
                      uint64_t n_bytes, uint32_t flags);

/* What vCPU @i writes: 4 bytes at the start of [gpa, gpa + n_pages). */
void tiny_vm_set_writer(TinyVm *vm, unsigned i, uint32_t gpa, uint32_t n_pages);

void tiny_vm_run(TinyVm *vm);

/* From the return on no vCPU is in the guest, until resume(). */
void tiny_vm_pause(TinyVm *vm);
void tiny_vm_resume(TinyVm *vm);

/* The vCPUs end by themselves; from the return on they write no more. */
void tiny_vm_halt(TinyVm *vm);

/* What vCPUs have written is in their rings.  Also of one that has halted. */
void tiny_vm_flush(TinyVm *vm);

/* How many pages were written; how often there was no slot. */
uint64_t tiny_vm_writes(TinyVm *vm);
uint64_t tiny_vm_misses(TinyVm *vm);

/* How often a ring was full. */
uint64_t tiny_vm_ring_fulls(TinyVm *vm);

/* The first exit that should not have been, or 0. */
unsigned tiny_vm_bad_exit(TinyVm *vm);

#endif
