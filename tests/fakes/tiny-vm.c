/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A real virtual machine whose vCPUs do nothing but write pages.
 *
 * Pausing: immediate_exit is set before the signal is sent, so a vCPU that
 * was just about to enter the guest comes back at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>
#include <linux/kvm.h>

#include "kvm-dirty-log.h"
#include "shmig/dirty/kvm-probe.h"
#include "tiny-vm.h"

#define OWN_BYTES 0x10000u
#define CODE_AT 0x1000u
#define STOP_AT 0x2000u     /* not 0: the guest halts */
#define COUNTERS_AT 0x3000u /* 64 bytes a vCPU */
#define TSS_AT 0xfffbd000u

typedef struct TinyVcpu {
    TinyVm *vm;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    uint32_t gpa, n_pages;
    ShmigKvmRing ring;
    uint32_t next; /* of the ring */
} TinyVcpu;

struct TinyVm {
    int kvm, fd;
    uint8_t *own;
    size_t run_bytes;
    unsigned n_vcpus;
    unsigned ring_entries;
    TinyVmFull *on_full;
    void *opaque;
    bool running; /* control thread */
    TinyVcpu vcpus[TINY_VM_MAX_VCPUS];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool pause;       /* under the lock */
    unsigned outside; /* under the lock: vCPUs that wait or have ended */

    /* Atomic. */
    uint64_t misses;
    uint64_t fulls;
    unsigned bad_exit;
};

/*
 * eax: random state, not 0    ebp: number of pages
 * edi: address of the first   esi: address of the counter
 *
 * A KVM that emulates does some 1,000 instructions before it looks whether a
 * ring is full, and it keeps 64 entries in reserve for that: hence the nops.
 */
static const uint8_t code[] = {
    0x83, 0x3d, 0x00, 0x20, 0x00, 0x00, 0x00, /* again: cmpl $0, STOP_AT */
    0x75, 0x2f,                               /* jne done */
    0x89, 0xc1,                               /* mov %eax, %ecx */
    0xc1, 0xe1, 0x0d,                         /* shl $13, %ecx */
    0x31, 0xc8,                               /* xor %ecx, %eax */
    0x89, 0xc1,                               /* mov %eax, %ecx */
    0xc1, 0xe9, 0x11,                         /* shr $17, %ecx */
    0x31, 0xc8,                               /* xor %ecx, %eax */
    0x89, 0xc1,                               /* mov %eax, %ecx */
    0xc1, 0xe1, 0x05,                         /* shl $5, %ecx */
    0x31, 0xc8,                               /* xor %ecx, %eax */
    0x89, 0xc3,                               /* mov %eax, %ebx */
    0xf7, 0xe5,                               /* mul %ebp: page in edx */
    0xc1, 0xe2, 0x0c,                         /* shl $12, %edx */
    0x89, 0x1c, 0x3a,                         /* mov %ebx, (%edx,%edi) */
    0x89, 0xd8,                               /* mov %ebx, %eax */
    0xff, 0x06,                               /* incl (%esi) */
    0x90, 0x90, 0x90, 0x90, 0x90,             /* nop, ten times */
    0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0xc8, /* jmp again */
    0xf4,                                     /* done: hlt */
};

static uint32_t *own_word(TinyVm *vm, uint32_t at)
{
    return (uint32_t *)(vm->own + at);
}

int tiny_vm_ioctl(TinyVm *vm, unsigned long request, void *arg)
{
    int ret = ioctl(vm->fd, request, arg);

    return ret < 0 ? -errno : ret;
}

static void set_slot(TinyVm *vm, uint32_t slot, uint64_t gpa, void *bytes,
                     uint64_t n_bytes, uint32_t flags)
{
    struct kvm_userspace_memory_region mem = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = gpa,
        .memory_size = n_bytes,
        .userspace_addr = (uintptr_t)bytes,
    };

    g_assert_cmpint(tiny_vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &mem), ==, 0);
}

void tiny_vm_set_slot(TinyVm *vm, uint32_t slot, uint64_t gpa, void *bytes,
                      uint64_t n_bytes, uint32_t flags)
{
    g_assert_true(slot > 0 && gpa >= TINY_VM_FIRST_GPA);
    set_slot(vm, slot, gpa, bytes, n_bytes, flags);
}

static int probe_ioctl(void *opaque, unsigned long request, void *arg)
{
    return tiny_vm_ioctl(opaque, request, arg);
}

static char *enable(TinyVm *vm, const TinyVmOptions *options)
{
    g_autoptr(GError) err = NULL;
    ShmigKvmCaps caps;
    bool ok = true;

    shmig_kvm_probe(probe_ioctl, vm, &caps);
    if (options->manual_protect) {
        ok = shmig_kvm_enable_manual_protect(probe_ioctl, vm, &caps,
                                             options->manual_protect, &err);
    }
    if (ok && options->ring_entries) {
        ok = shmig_kvm_enable_ring(probe_ioctl, vm, &caps,
                                   options->ring_entries, &err);
        vm->ring_entries = options->ring_entries;
    }
    return ok ? NULL : g_strdup(err->message);
}

static size_t ring_bytes(const TinyVm *vm)
{
    return vm->ring_entries * sizeof(struct shmig_kvm_dirty_gfn);
}

static void map_ring(TinyVcpu *vcpu)
{
    void *at =
        mmap(NULL, ring_bytes(vcpu->vm), PROT_READ | PROT_WRITE, MAP_SHARED,
             vcpu->fd, SHMIG_KVM_RING_PAGE_OFFSET * sysconf(_SC_PAGESIZE));

    g_assert_true(at != MAP_FAILED);
    vcpu->ring = (ShmigKvmRing) { at, vcpu->vm->ring_entries, &vcpu->next };
}

int tiny_vm_foreach_ring(TinyVm *vm, ShmigKvmRingFunc *func, void *opaque)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < vm->n_vcpus; i++) {
        ret = func(opaque, &vm->vcpus[i].ring);
    }
    return ret;
}

void tiny_vm_on_ring_full(TinyVm *vm, TinyVmFull *func, void *opaque)
{
    vm->on_full = func;
    vm->opaque = opaque;
}

static char *add_vcpu(TinyVm *vm)
{
    TinyVcpu *vcpu = &vm->vcpus[vm->n_vcpus];

    vcpu->vm = vm;
    vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (long)vm->n_vcpus);
    if (vcpu->fd < 0) {
        return g_strdup_printf("a vCPU: %s", g_strerror(errno));
    }
    vcpu->run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                     vcpu->fd, 0);
    g_assert_true(vcpu->run != MAP_FAILED);
    if (vm->ring_entries) {
        map_ring(vcpu);
    }
    vm->n_vcpus++;
    return NULL;
}

static char *open_vm(TinyVm *vm)
{
    vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (vm->kvm < 0) {
        return g_strdup_printf("/dev/kvm: %s", g_strerror(errno));
    }
    if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0) {
        return g_strdup("a KVM with immediate_exit (Linux 4.11)");
    }
    vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
    if (vm->fd < 0) {
        return g_strdup_printf("a VM: %s", g_strerror(errno));
    }
    vm->run_bytes = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    return NULL;
}

TinyVm *tiny_vm_new(const TinyVmOptions *options, char **missing)
{
    TinyVm *vm = g_new0(TinyVm, 1);

    g_assert_cmpuint(options->n_vcpus, <=, TINY_VM_MAX_VCPUS);
    vm->kvm = vm->fd = -1;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->changed, NULL);
    vm->own = mmap(NULL, OWN_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(vm->own != MAP_FAILED);
    memcpy(vm->own + CODE_AT, code, sizeof(code));

    *missing = open_vm(vm);
    if (!*missing) {
        *missing = enable(vm, options);
    }
    if (!*missing) {
        /* Hosts without unrestricted guests want a place; others ignore. */
        ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_AT);
        set_slot(vm, 0, 0, vm->own, OWN_BYTES, 0);
    }
    while (!*missing && vm->n_vcpus < options->n_vcpus) {
        *missing = add_vcpu(vm);
    }
    if (*missing) {
        tiny_vm_free(vm);
        return NULL;
    }
    return vm;
}

void tiny_vm_free(TinyVm *vm)
{
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        if (vm->ring_entries) {
            munmap(vm->vcpus[i].ring.entries, ring_bytes(vm));
        }
        munmap(vm->vcpus[i].run, vm->run_bytes);
        close(vm->vcpus[i].fd);
    }
    if (vm->fd >= 0) {
        close(vm->fd);
    }
    if (vm->kvm >= 0) {
        close(vm->kvm);
    }
    munmap(vm->own, OWN_BYTES);
    pthread_cond_destroy(&vm->changed);
    pthread_mutex_destroy(&vm->lock);
    g_free(vm);
}

void tiny_vm_set_writer(TinyVm *vm, unsigned i, uint32_t gpa, uint32_t n_pages)
{
    vm->vcpus[i].gpa = gpa;
    vm->vcpus[i].n_pages = n_pages;
}

/* 32-bit protected mode, flat segments, no paging. */
static void set_registers(TinyVcpu *vcpu)
{
    unsigned index = vcpu - vcpu->vm->vcpus;
    struct kvm_segment data = {
        .limit = 0xffffffff,
        .selector = 16,
        .type = 3,
        .present = 1,
        .db = 1,
        .s = 1,
        .g = 1,
    };
    struct kvm_segment text = data;
    struct kvm_regs regs = {
        .rip = CODE_AT,
        .rflags = 2,
        .rax = 0x9e3779b9u + index,
        .rbp = vcpu->n_pages,
        .rdi = vcpu->gpa,
        .rsi = COUNTERS_AT + 64 * index,
    };
    struct kvm_sregs sregs;

    text.selector = 8;
    text.type = 11;
    g_assert_cmpint(ioctl(vcpu->fd, KVM_GET_SREGS, &sregs), ==, 0);
    sregs.cs = text;
    sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = data;
    sregs.cr0 |= 1;
    g_assert_cmpint(ioctl(vcpu->fd, KVM_SET_SREGS, &sregs), ==, 0);
    g_assert_cmpint(ioctl(vcpu->fd, KVM_SET_REGS, &regs), ==, 0);
}

/* Whether the vCPU goes on. */
static bool handle_exit(TinyVcpu *vcpu)
{
    struct kvm_run *run = vcpu->run;

    switch (run->exit_reason) {
    case KVM_EXIT_HLT:
        return false;
    case KVM_EXIT_MMIO:
        /* No slot there just now: the bytes are lost, reads give 0. */
        __atomic_fetch_add(&vcpu->vm->misses, 1, __ATOMIC_RELAXED);
        if (!run->mmio.is_write) {
            memset(run->mmio.data, 0, sizeof(run->mmio.data));
        }
        return true;
    case SHMIG_KVM_EXIT_RING_FULL:
        __atomic_fetch_add(&vcpu->vm->fulls, 1, __ATOMIC_RELAXED);
        if (vcpu->vm->on_full && vcpu->vm->on_full(vcpu->vm->opaque) == 0) {
            return true;
        }
        /* fall through */
    default:
        __atomic_store_n(&vcpu->vm->bad_exit, run->exit_reason,
                         __ATOMIC_RELAXED);
        return false;
    }
}

static void wait_while_paused(TinyVcpu *vcpu)
{
    TinyVm *vm = vcpu->vm;

    pthread_mutex_lock(&vm->lock);
    if (vm->pause) {
        vm->outside++;
        pthread_cond_broadcast(&vm->changed);
        while (vm->pause) {
            pthread_cond_wait(&vm->changed, &vm->lock);
        }
        vm->outside--;
        pthread_cond_broadcast(&vm->changed);
    }
    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&vm->lock);
}

static void *vcpu_thread(void *opaque)
{
    TinyVcpu *vcpu = opaque;
    TinyVm *vm = vcpu->vm;
    bool more = true;

    set_registers(vcpu);
    while (more) {
        wait_while_paused(vcpu);
        if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
            more = handle_exit(vcpu);
        } else if (errno != EINTR && errno != EAGAIN) {
            __atomic_store_n(&vm->bad_exit, UINT32_MAX, __ATOMIC_RELAXED);
            more = false;
        }
    }
    pthread_mutex_lock(&vm->lock);
    vm->outside++;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
    return NULL;
}

static void on_signal(int number)
{
}

void tiny_vm_run(TinyVm *vm)
{
    struct sigaction action = { .sa_handler = on_signal };

    sigaction(SIGUSR1, &action, NULL);
    vm->outside = 0;
    vm->running = true;
    __atomic_store_n(own_word(vm, STOP_AT), 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        g_assert_cmpint(pthread_create(&vm->vcpus[i].thread, NULL, vcpu_thread,
                                       &vm->vcpus[i]),
                        ==, 0);
    }
}

void tiny_vm_pause(TinyVm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->pause = true;
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        __atomic_store_n(&vm->vcpus[i].run->immediate_exit, 1,
                         __ATOMIC_RELAXED);
        pthread_kill(vm->vcpus[i].thread, SIGUSR1);
    }
    while (vm->outside < vm->n_vcpus) {
        pthread_cond_wait(&vm->changed, &vm->lock);
    }
    pthread_mutex_unlock(&vm->lock);
}

void tiny_vm_resume(TinyVm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->pause = false;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
}

void tiny_vm_halt(TinyVm *vm)
{
    __atomic_store_n(own_word(vm, STOP_AT), 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        pthread_join(vm->vcpus[i].thread, NULL);
    }
    vm->running = false;
}

/* Leaving the guest is what empties a processor's own list. */
void tiny_vm_flush(TinyVm *vm)
{
    if (vm->running) {
        tiny_vm_pause(vm);
        tiny_vm_resume(vm);
    }
}

uint64_t tiny_vm_writes(TinyVm *vm)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        sum += __atomic_load_n(own_word(vm, COUNTERS_AT + 64 * i),
                               __ATOMIC_RELAXED);
    }
    return sum;
}

uint64_t tiny_vm_misses(TinyVm *vm)
{
    return __atomic_load_n(&vm->misses, __ATOMIC_RELAXED);
}

uint64_t tiny_vm_ring_fulls(TinyVm *vm)
{
    return __atomic_load_n(&vm->fulls, __ATOMIC_RELAXED);
}

unsigned tiny_vm_bad_exit(TinyVm *vm)
{
    return __atomic_load_n(&vm->bad_exit, __ATOMIC_RELAXED);
}
