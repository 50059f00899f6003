/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bench's virtual machine: what it is made of.
 *
 * Guest addresses: the guest's own slot begins at 0.  Its memory begins at
 * 16 MiB and is written by a 32-bit guest without paging, or, if there is
 * more than 3 GiB of it, at 4 GiB and is written by a 64-bit guest, whose
 * page tables map every address to itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "exit.h"
#include "kvm-dirty-log.h"
#include "payload.h"
#include "vm-internal.h"

#define PAGE 4096u
#define GIB (UINT64_C(1) << 30)
#define BASE_32 (UINT64_C(16) << 20)
#define BASE_64 (UINT64_C(4) << 30)
#define MAX_32 (UINT64_C(3) << 30)
#define TSS_AT 0xfffbd000u
#define MAX_CPUID_ENTRIES 256u

#define TABLE_ENTRIES 512u
#define ENTRY_PRESENT 3u /* and writable */
#define ENTRY_BIG 0x80u

int vm_ioctl(Vm *vm, unsigned long request, void *arg)
{
    int ret = ioctl(vm->fd, request, arg);

    return ret < 0 ? -errno : ret;
}

static int probe_ioctl(void *opaque, unsigned long request, void *arg)
{
    return vm_ioctl(opaque, request, arg);
}

static bool set_slot(Vm *vm, uint32_t slot, uint64_t gpa, uint8_t *bytes,
                     uint64_t n_bytes, uint32_t flags, GError **errp)
{
    struct kvm_userspace_memory_region mem = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = gpa,
        .memory_size = n_bytes,
        .userspace_addr = (uintptr_t)bytes,
    };
    int ret = vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &mem);

    if (ret < 0) {
        g_set_error(errp, CLI_ERROR, CLI_FAILED,
                    "memory slot %u: KVM refuses %" PRIu64 " MiB of it: %s",
                    slot, n_bytes >> 20, g_strerror(-ret));
    }
    return ret == 0;
}

static bool get_slot(Vm *vm, unsigned i, ShmigKvmSlot *slot)
{
    uint64_t offset = i * vm->options.slot_bytes;

    *slot = (ShmigKvmSlot) {
        .slot = i + 1,
        .n_pages =
            MIN(vm->options.slot_bytes, vm->options.memory_bytes - offset) /
            PAGE,
        .region = vm->region,
        .region_first_page = offset / PAGE,
    };
    return true;
}

bool vm_find_slot(Vm *vm, uint32_t slot, ShmigKvmSlot *found)
{
    return slot >= 1 && slot <= vm->n_slots && get_slot(vm, slot - 1, found);
}

int vm_foreach_slot(Vm *vm, ShmigKvmSlotFunc *func, void *opaque)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < vm->n_slots; i++) {
        ShmigKvmSlot slot;

        get_slot(vm, i, &slot);
        ret = func(opaque, &slot);
    }
    return ret;
}

bool vm_log(Vm *vm, bool on, GError **errp)
{
    uint32_t flags = on ? SHMIG_KVM_MEM_LOG_DIRTY_PAGES : 0;
    bool ok = true;

    for (unsigned i = 0; ok && i < vm->n_slots; i++) {
        ShmigKvmSlot slot;
        uint64_t offset;

        get_slot(vm, i, &slot);
        offset = slot.region_first_page * PAGE;
        ok = set_slot(vm, slot.slot, vm->base + offset, vm->memory + offset,
                      slot.n_pages * PAGE, flags, errp);
    }
    return ok;
}

static bool open_kvm(Vm *vm, const char *device, GError **errp)
{
    vm->kvm = open(device, O_RDWR | O_CLOEXEC);
    if (vm->kvm < 0) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT, "%s: %s; %s", device,
                    g_strerror(errno),
                    errno == EACCES || errno == EPERM
                        ? "become a member of its group (kvm, mostly), or root"
                        : "load kvm_intel or kvm_amd, and see that "
                          "virtualization is on in the firmware");
        return false;
    }
    if (ioctl(vm->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT,
                    "%s: is not a KVM device; name one with --device", device);
        return false;
    }
    vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
    if (vm->fd < 0) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT,
                    "%s: KVM makes no virtual machine: %s; see the kernel log",
                    device, g_strerror(errno));
        return false;
    }
    vm->run_bytes = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    return true;
}

bool vm_probe(const char *device, ShmigKvmCaps *caps, uint64_t *max_slots,
              GError **errp)
{
    Vm vm = { .kvm = -1, .fd = -1 };
    bool ok = open_kvm(&vm, device, errp);

    if (ok) {
        int slots = ioctl(vm.fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

        shmig_kvm_probe(probe_ioctl, &vm, caps);
        *max_slots = MAX(slots, 32);
    }
    if (vm.fd >= 0) {
        close(vm.fd);
    }
    if (vm.kvm >= 0) {
        close(vm.kvm);
    }
    return ok;
}

static bool enable(Vm *vm, GError **errp)
{
    ShmigKvmCaps caps;
    bool ok = true;

    if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT,
                    "KVM: vCPUs cannot be called back without a race; "
                    "use Linux 4.11 or later");
        return false;
    }
    shmig_kvm_probe(probe_ioctl, vm, &caps);
    if (vm->options.manual_protect) {
        ok = shmig_kvm_enable_manual_protect(probe_ioctl, vm, &caps,
                                             vm->options.manual_protect, errp);
    }
    if (ok && vm->options.ring_entries) {
        ok = shmig_kvm_enable_ring(probe_ioctl, vm, &caps,
                                   vm->options.ring_entries, errp);
    }
    if (!ok) {
        cli_error_set_code(errp, CLI_CANNOT);
    }
    return ok;
}

/* Every address up to the memory's end maps to itself, by pages of 2 MiB. */
static void make_tables(Vm *vm)
{
    uint64_t *root = (uint64_t *)(vm->own + PAYLOAD_TABLES_AT);
    uint64_t *giants = root + TABLE_ENTRIES;
    uint64_t *bigs = giants + TABLE_ENTRIES;
    uint64_t n = (vm->base + vm->options.memory_bytes + GIB - 1) / GIB;

    root[0] = PAYLOAD_TABLES_AT + PAGE + ENTRY_PRESENT;
    for (uint64_t i = 0; i < n; i++) {
        giants[i] = PAYLOAD_TABLES_AT + (2 + i) * PAGE + ENTRY_PRESENT;
    }
    for (uint64_t i = 0; i < n * TABLE_ENTRIES; i++) {
        bigs[i] = (i << 21) | ENTRY_PRESENT | ENTRY_BIG;
    }
}

static bool make_memory(Vm *vm, GError **errp)
{
    uint64_t bytes = vm->options.memory_bytes;

    vm->is_64bit = bytes > MAX_32;
    vm->base = vm->is_64bit ? BASE_64 : BASE_32;
    vm->own_bytes = PAYLOAD_TABLES_AT;
    if (vm->is_64bit) {
        vm->own_bytes += (3 + (vm->base + bytes) / GIB) * PAGE;
    }
    vm->own = mmap(NULL, vm->own_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert(vm->own != MAP_FAILED);
    if (vm->is_64bit) {
        memcpy(vm->own + PAYLOAD_CODE_AT, payload_64, sizeof(payload_64));
        make_tables(vm);
    } else {
        memcpy(vm->own + PAYLOAD_CODE_AT, payload_32, sizeof(payload_32));
    }
    vm->memory = backing_map(vm->options.backing, bytes, errp);
    if (!vm->memory) {
        return false;
    }
    vm->region = shmig_region_new(1, SHMIG_REGION_RAM, bytes);
    vm->n_slots = (bytes - 1) / vm->options.slot_bytes + 1;

    /* Hosts without unrestricted guests want a place; others ignore it. */
    ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_AT);
    return set_slot(vm, 0, 0, vm->own, vm->own_bytes, 0, errp) &&
           vm_log(vm, false, errp);
}

static bool map_ring(Vcpu *vcpu, GError **errp)
{
    uint64_t entries = vcpu->vm->options.ring_entries;
    void *at = mmap(NULL, entries * sizeof(struct shmig_kvm_dirty_gfn),
                    PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd,
                    SHMIG_KVM_RING_PAGE_OFFSET * PAGE);

    if (at == MAP_FAILED) {
        g_set_error(errp, CLI_ERROR, CLI_FAILED,
                    "vCPU %u: its dirty ring cannot be mapped: %s", vcpu->index,
                    g_strerror(errno));
        return false;
    }
    vcpu->ring = (ShmigKvmRing) { at, entries, &vcpu->ring_next };
    return true;
}

/*
 * A 64-bit guest is told how wide addresses are: without a word, KVM takes 36
 * bits for granted.
 */
static bool set_cpuid(Vcpu *vcpu, GError **errp)
{
    g_autofree struct kvm_cpuid2 *cpuid = g_malloc0(
        sizeof(*cpuid) + MAX_CPUID_ENTRIES * sizeof(cpuid->entries[0]));

    cpuid->nent = MAX_CPUID_ENTRIES;
    if (ioctl(vcpu->vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
        ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT,
                    "vCPU %u: KVM does not say what it can: %s; choose less "
                    "than 3G of --memory",
                    vcpu->index, g_strerror(errno));
        return false;
    }
    return true;
}

static bool add_vcpu(Vm *vm, GError **errp)
{
    unsigned i = vm->n_vcpus;
    uint64_t pages = vm->options.working_bytes / PAGE;
    Vcpu *vcpu = &vm->vcpus[i];

    vcpu->vm = vm;
    vcpu->index = i;
    vcpu->command = (PayloadCommand *)(vm->own + PAYLOAD_COMMANDS_AT +
                                       i * PAYLOAD_COMMAND_BYTES);
    vcpu->first_page = pages * i / vm->options.n_vcpus;
    vcpu->n_pages = pages * (i + 1) / vm->options.n_vcpus - vcpu->first_page;
    vcpu->command->random = 0x9e3779b9u + i;
    vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (long)i);
    if (vcpu->fd < 0) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT,
                    "vCPU %u: KVM makes none: %s; choose fewer --vcpus", i,
                    g_strerror(errno));
        return false;
    }
    vm->n_vcpus++;
    vcpu->run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                     vcpu->fd, 0);
    g_assert(vcpu->run != MAP_FAILED);
    if (vm->is_64bit && !set_cpuid(vcpu, errp)) {
        return false;
    }
    if (vm->options.ring_entries && !map_ring(vcpu, errp)) {
        return false;
    }
    return vcpu_start(vcpu, errp);
}

static void make_locks(Vm *vm)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&vm->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&vm->changed, &attr);
    pthread_condattr_destroy(&attr);
}

Vm *vm_new(const VmOptions *options, GError **errp)
{
    Vm *vm = g_new0(Vm, 1);
    bool ok;

    vm->options = *options;
    vm->kvm = vm->fd = -1;
    vm->own = MAP_FAILED;
    vm->vcpus = g_new0(Vcpu, options->n_vcpus);
    vm->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_assert(vm->done_fd >= 0);
    make_locks(vm);
    ok = open_kvm(vm, options->device, errp) && enable(vm, errp) &&
         make_memory(vm, errp);
    while (ok && vm->n_vcpus < options->n_vcpus) {
        ok = add_vcpu(vm, errp);
    }
    if (!ok) {
        g_clear_pointer(&vm, vm_free);
    }
    return vm;
}

static void free_vcpu(Vcpu *vcpu)
{
    if (vcpu->has_thread) {
        pthread_join(vcpu->thread, NULL);
    }
    if (vcpu->ring.entries) {
        munmap(vcpu->ring.entries,
               vcpu->ring.n_entries * sizeof(struct shmig_kvm_dirty_gfn));
    }
    munmap(vcpu->run, vcpu->vm->run_bytes);
    close(vcpu->fd);
}

void vm_free(Vm *vm)
{
    if (!vm) {
        return;
    }
    pthread_mutex_lock(&vm->lock);
    g_assert(vm->n_busy == 0);
    vm->quit = true;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        free_vcpu(&vm->vcpus[i]);
    }
    g_free(vm->vcpus);
    if (vm->fd >= 0) {
        close(vm->fd);
    }
    if (vm->kvm >= 0) {
        close(vm->kvm);
    }
    shmig_region_free(vm->region);
    backing_unmap(vm->memory, vm->options.memory_bytes);
    if (vm->own != MAP_FAILED) {
        munmap(vm->own, vm->own_bytes);
    }
    close(vm->done_fd);
    pthread_cond_destroy(&vm->changed);
    pthread_mutex_destroy(&vm->lock);
    g_free(vm->error);
    g_free(vm);
}

ShmigRegion *vm_region(Vm *vm)
{
    return vm->region;
}

int vm_foreach_ring(Vm *vm, ShmigKvmRingFunc *func, void *opaque)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < vm->n_vcpus; i++) {
        ret = func(opaque, &vm->vcpus[i].ring);
    }
    return ret;
}

void vm_on_ring_full(Vm *vm, VmRingFull *func, void *opaque)
{
    vm->on_full = func;
    vm->opaque = opaque;
}

uint64_t vm_ring_fulls(Vm *vm)
{
    return __atomic_load_n(&vm->ring_fulls, __ATOMIC_RELAXED);
}

uint64_t vm_writes(Vm *vm)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < vm->n_vcpus; i++) {
        sum += __atomic_load_n((uint32_t *)&vm->vcpus[i].command->done,
                               __ATOMIC_RELAXED);
    }
    return sum;
}
