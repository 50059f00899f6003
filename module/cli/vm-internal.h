/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vm.c and vcpu.c share. */
#ifndef SHMIG_CLI_VM_INTERNAL_H
#define SHMIG_CLI_VM_INTERNAL_H

#include <pthread.h>

#include "vm.h"

struct kvm_run;

typedef struct Vcpu {
    /* Constant. */
    Vm *vm;
    unsigned index;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    bool has_thread;
    PayloadCommand *command; /* the vCPU's, while busy */
    uint64_t first_page, n_pages;

    /* Under the ring's lock, which is the tracker's owner's. */
    ShmigKvmRing ring;
    uint32_t ring_next;

    /* Under the VM's lock. */
    bool busy;
    uint64_t flushed; /* the last flush that it has answered */
} Vcpu;

struct Vm {
    /* Constant. */
    VmOptions options;
    int kvm, fd;
    bool is_64bit;
    uint64_t base; /* guest address of the memory */
    uint8_t *own;  /* code, commands, stacks, page tables */
    uint64_t own_bytes;
    uint8_t *memory;
    ShmigRegion *region;
    unsigned n_slots;
    size_t run_bytes;
    int done_fd; /* readable: no vCPU is busy */

    /* Main thread, while no vCPU is busy. */
    VmRingFull *on_full;
    void *opaque;
    bool endless;
    uint64_t rate; /* of each vCPU */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */

    /* Under the lock. */
    unsigned n_busy;
    uint64_t flush; /* the last one asked for */
    bool stop, quit;
    char *error;

    uint64_t ring_fulls; /* atomic */

    unsigned n_vcpus; /* made so far */
    Vcpu *vcpus;
};

/* Makes the vCPU's thread, which waits. */
bool vcpu_start(Vcpu *vcpu, GError **errp);

#endif
