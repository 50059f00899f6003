/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's dirty log, without QEMU's copies in between: its bitmaps, slot by
 * slot, or the vCPUs' dirty rings when the accelerator runs with them.
 *
 * Only big slots are read so: each ioctl for a bitmap may interrupt all
 * vCPUs, and there are many small ones.  The others, and whatever is on
 * display, are left to QEMU's own log.  Which slots are ours may change at
 * any time; each is asked about with the slots' lock held, by us and by
 * QEMU.
 *
 * Bitmaps: KVM's log_sync leaves our slots alone.  A slot that changes
 * hands loses nothing: its bits stay in the kernel until somebody clears
 * them.
 *
 * Rings: many reap them, a vCPU whose ring is full, the reaper once a
 * second, each sync of QEMU's log, a slot or a vCPU that goes.  All do it
 * with the slots' lock held, and all of them call us instead while RAM is
 * tracked.  An entry that leads to a slot of ours makes the page pending;
 * any other is marked where QEMU would mark it.  A slot that changes hands
 * loses nothing: what was marked for QEMU is still merged in by its next
 * sync.
 */
#include "qemu/osdep.h"

#include "qemu/units.h"
#include "cpu.h"
#include "qemu/thread.h"
#include "system/kvm.h"
#include "system/kvm_int.h"

#include "shmig/dirty/kvm-bitmap.h"
#include "shmig/dirty/kvm-ring.h"
#include "tracker.h"

#define MIN_SLOT_BYTES (16 * MiB)

typedef struct KvmLog {
    const ShmigRamBlocks *ram;
    ShmigRegion *const *regions;
    ShmigTracker *ring; /* that reaps the rings; NULL if there are none */

    /* Protected by the slots' lock. */
    bool started;
    CPUState *reaped; /* the one vCPU whose ring is to be read; NULL: all */
} KvmLog;

/* Who claims slots, once it has started.  Protected by the slots' lock. */
static KvmLog *claimer;

/* The block that @slot shows, if it is one for us. */
static int find_block(const KvmLog *log, const KVMSlot *slot)
{
    const uint8_t *ram = slot->ram;

    for (unsigned i = 0; i < log->ram->n; i++) {
        const ShmigRamBlockRef *block = &log->ram->blocks[i];

        if (ram >= block->host && ram - block->host < block->used_bytes &&
            slot->memory_size <= block->used_bytes - (ram - block->host)) {
            return i;
        }
    }
    return -1;
}

static uint64_t first_page(const KvmLog *log, const KVMSlot *slot,
                           unsigned block)
{
    return ((uint8_t *)slot->ram - log->ram->blocks[block].host) >>
           SHMIG_RAM_GRANULE_SHIFT;
}

static bool claims(const KvmLog *log, const KVMSlot *slot, int *index)
{
    const ShmigRamBlockRef *block;

    if (slot->memory_size < MIN_SLOT_BYTES ||
        !(slot->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
        return false;
    }
    *index = find_block(log, slot);
    if (*index < 0) {
        return false;
    }
    block = &log->ram->blocks[*index];
    return first_page(log, slot, *index) % 64 == 0 &&
           !shmig_ram_block_discards(block) &&
           !memory_region_is_logging(block->mr, DIRTY_MEMORY_VGA);
}

bool shmig_claims_slot(const KVMSlot *slot)
{
    int index;

    return claimer && claimer->started && claims(claimer, slot, &index);
}

static ShmigKvmSlot describe(const KvmLog *log, const KVMSlot *slot, int index)
{
    return (ShmigKvmSlot) {
        .as_id = slot->as_id,
        .slot = slot->slot,
        .n_pages = slot->memory_size >> SHMIG_RAM_GRANULE_SHIFT,
        .region = log->regions[index],
        .region_first_page = first_page(log, slot, index),
    };
}

static int walk_slots(const KvmLog *log, KVMMemoryListener *kml,
                      ShmigKvmSlotFunc *func, void *func_opaque)
{
    for (unsigned i = 0; i < kml->nr_slots_allocated; i++) {
        KVMSlot *slot = &kml->slots[i];
        ShmigKvmSlot ours;
        int index, ret;

        if (!slot->memory_size || !claims(log, slot, &index)) {
            continue;
        }
        ours = describe(log, slot, index);
        ret = func(func_opaque, &ours);
        if (ret) {
            return ret;
        }
    }
    return 0;
}

static int kvm_log_foreach(void *opaque, ShmigKvmSlotFunc *func,
                           void *func_opaque)
{
    int ret = 0;

    QEMU_LOCK_GUARD(&kml_slots_lock);
    for (int i = 0; ret == 0 && i < kvm_state->nr_as; i++) {
        if (kvm_state->as[i].ml) {
            ret = walk_slots(opaque, kvm_state->as[i].ml, func, func_opaque);
        }
    }
    return ret;
}

static KVMSlot *slot_of(uint32_t as_id, uint32_t slot_id)
{
    KVMMemoryListener *kml =
        as_id < kvm_state->nr_as ? kvm_state->as[as_id].ml : NULL;

    return kml && slot_id < kml->nr_slots_allocated ? &kml->slots[slot_id]
                                                    : NULL;
}

static int kvm_log_ioctl(void *opaque, unsigned long request, void *arg)
{
    return kvm_vm_ioctl(kvm_state, request, arg);
}

/* Marked as QEMU would, for its next sync. */
static void ring_stray(void *opaque, uint32_t as_id, uint32_t slot_id,
                       uint64_t page)
{
    KVMSlot *slot = slot_of(as_id, slot_id);

    if (slot && slot->dirty_bmap &&
        page < slot->memory_size / qemu_real_host_page_size()) {
        set_bit(page, slot->dirty_bmap);
    }
}

static bool ring_find_slot(void *opaque, uint32_t as_id, uint32_t slot_id,
                           ShmigKvmSlot *found)
{
    KvmLog *log = opaque;
    KVMSlot *slot = slot_of(as_id, slot_id);
    int index;

    if (!slot || !claims(log, slot, &index)) {
        return false;
    }
    *found = describe(log, slot, index);
    return true;
}

/* A vCPU that is being made may not have one yet, one that goes no more. */
static int look_at_ring(CPUState *cpu, ShmigKvmRingFunc *func,
                        void *func_opaque)
{
    uint32_t first = cpu->kvm_fetch_index;
    ShmigKvmRing ring = {
        .entries = (struct shmig_kvm_dirty_gfn *)cpu->kvm_dirty_gfns,
        .n_entries = kvm_state->kvm_dirty_ring_size,
        .next = &cpu->kvm_fetch_index,
    };
    int ret;

    if (!qatomic_read(&cpu->created) || !ring.entries) {
        return 0;
    }
    ret = func(func_opaque, &ring);
    /* What calc-dirty-rate and dirty limits go by. */
    cpu->dirty_pages += cpu->kvm_fetch_index - first;
    return ret;
}

/* The list's lock also keeps vCPUs from being freed, without the BQL. */
static int ring_foreach(void *opaque, ShmigKvmRingFunc *func, void *func_opaque)
{
    KvmLog *log = opaque;
    int ret = 0;

    if (log->reaped) {
        return look_at_ring(log->reaped, func, func_opaque);
    }
    QEMU_LOCK_GUARD(&qemu_cpu_list_lock);
    for (CPUState *cpu = first_cpu; ret == 0 && cpu; cpu = CPU_NEXT(cpu)) {
        ret = look_at_ring(cpu, func, func_opaque);
    }
    return ret;
}

static void ring_lock(void *opaque)
{
    qemu_mutex_lock(&kml_slots_lock);
}

static void ring_unlock(void *opaque)
{
    qemu_mutex_unlock(&kml_slots_lock);
}

bool shmig_reap_dirty_rings(CPUState *cpu)
{
    if (!claimer || !claimer->started || !claimer->ring) {
        return false;
    }
    /* An error is the next harvest's to report. */
    claimer->reaped = cpu;
    shmig_kvm_ring_reap_locked(claimer->ring);
    claimer->reaped = NULL;
    return true;
}

/*
 * QEMU clears in KVM what a slot's dirty_bmap holds.  Of our slots that is
 * nothing: what an earlier migration left there would be cleared unread.
 */
static void forget_earlier_logs(void)
{
    for (int i = 0; i < kvm_state->nr_as; i++) {
        KVMMemoryListener *kml = kvm_state->as[i].ml;

        for (unsigned j = 0; kml && j < kml->nr_slots_allocated; j++) {
            KVMSlot *slot = &kml->slots[j];

            if (slot->memory_size && slot->dirty_bmap) {
                memset(slot->dirty_bmap, 0, slot->dirty_bmap_size);
            }
        }
    }
}

void shmig_tracker_kvm_claim(void)
{
    QEMU_LOCK_GUARD(&kml_slots_lock);
    if (claimer) {
        claimer->started = true;
        if (!claimer->ring) {
            forget_earlier_logs();
        }
    }
}

/* From now on the slots are read by QEMU, for whoever comes next. */
static void kvm_log_stop(void *opaque)
{
    KvmLog *log = opaque;

    QEMU_LOCK_GUARD(&kml_slots_lock);
    log->started = false;
}

static void kvm_log_free(void *opaque)
{
    qemu_mutex_lock(&kml_slots_lock);
    /* Another migration may have begun while this one was ending. */
    if (claimer == opaque) {
        claimer = NULL;
    }
    qemu_mutex_unlock(&kml_slots_lock);
    g_free(opaque);
}

static const ShmigKvmOps kvm_log_ops = {
    .foreach_slot = kvm_log_foreach,
    .vm_ioctl = kvm_log_ioctl,
    .stop = kvm_log_stop,
    .free = kvm_log_free,
};

/* The extra tracker switches the log on and off, and kicks the vCPUs. */
static const ShmigKvmRingOps kvm_ring_ops = {
    .lock = ring_lock,
    .unlock = ring_unlock,
    .find_slot = ring_find_slot,
    .foreach_ring = ring_foreach,
    .stray = ring_stray,
    .vm_ioctl = kvm_log_ioctl,
    .stop = kvm_log_stop,
    .free = kvm_log_free,
};

ShmigTracker *shmig_tracker_kvm_new(const ShmigRamBlocks *ram,
                                    ShmigRegion *const *regions,
                                    ShmigTracker *extra)
{
    ShmigTracker *tracker;
    KvmLog *log;

    if (qemu_real_host_page_size() != 1 << SHMIG_RAM_GRANULE_SHIFT) {
        return extra;
    }
    log = g_new(KvmLog, 1);
    *log = (KvmLog) { .ram = ram, .regions = regions };
    if (kvm_dirty_ring_enabled()) {
        tracker = log->ring =
            shmig_kvm_ring_new(&kvm_ring_ops, log, regions, ram->n, extra);
    } else {
        tracker =
            shmig_kvm_bitmap_new(&kvm_log_ops, log, regions, ram->n,
                                 kvm_state->manual_dirty_log_protect, extra);
    }
    qemu_mutex_lock(&kml_slots_lock);
    claimer = log;
    qemu_mutex_unlock(&kml_slots_lock);
    return tracker;
}
