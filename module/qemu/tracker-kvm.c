/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's dirty log, read slot by slot without QEMU's copies in between.
 *
 * Only big slots are read so: each ioctl may interrupt all vCPUs, and there
 * are many small ones.  The others, and whatever is on display, are left to
 * QEMU's own log.  Which slots are ours may change at any time; each is
 * asked about with the slots' lock held, by us and by KVM's log_sync, which
 * leaves ours alone.  A slot that changes hands loses nothing: its bits stay
 * in the kernel until somebody clears them.
 */
#include "qemu/osdep.h"

#include "qemu/units.h"
#include "cpu.h"
#include "qemu/thread.h"
#include "system/kvm.h"
#include "system/kvm_int.h"

#include "shmig/dirty/kvm-bitmap.h"
#include "tracker.h"

#define MIN_SLOT_BYTES (16 * MiB)

typedef struct KvmLog {
    const ShmigRamBlocks *ram;
    ShmigRegion *const *regions;
    bool started; /* protected by the slots' lock */
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
        ours = (ShmigKvmSlot) {
            .as_id = kml->as_id,
            .slot = slot->slot,
            .n_pages = slot->memory_size >> SHMIG_RAM_GRANULE_SHIFT,
            .region = log->regions[index],
            .region_first_page = first_page(log, slot, index),
        };
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

static int kvm_log_ioctl(void *opaque, unsigned long request, void *arg)
{
    return kvm_vm_ioctl(kvm_state, request, arg);
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
        forget_earlier_logs();
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

ShmigTracker *shmig_tracker_kvm_new(const ShmigRamBlocks *ram,
                                    ShmigRegion *const *regions,
                                    ShmigTracker *extra)
{
    KvmLog *log;

    if (kvm_dirty_ring_enabled() ||
        qemu_real_host_page_size() != 1 << SHMIG_RAM_GRANULE_SHIFT) {
        return extra;
    }
    log = g_new(KvmLog, 1);
    *log = (KvmLog) { .ram = ram, .regions = regions };
    qemu_mutex_lock(&kml_slots_lock);
    claimer = log;
    qemu_mutex_unlock(&kml_slots_lock);
    return shmig_kvm_bitmap_new(&kvm_log_ops, log, regions, ram->n,
                                kvm_state->manual_dirty_log_protect, extra);
}
