/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's own dirty log, for the generic tracker.
 *
 * sync() takes the bits out of QEMU's DIRTY_MEMORY_MIGRATION bitmap into
 * ours, and collect() hands them on.  Not in one step: under TCG a page may
 * be read only after all vCPUs have gone through the slow path again
 * (memory_global_after_dirty_log_sync), and a page may be read as soon as
 * collect() gave it away.
 */
#include "qemu/osdep.h"

#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "cpu.h"
#include "exec/ram_addr.h"
#include "system/kvm.h"

#include "shmig/base/error.h"
#include "shmig/dirty/generic.h"
#include "tracker.h"
#include "trace.h"

typedef struct DirtyLog {
    /* Constant. */
    const ShmigRamBlocks *ram;
    ShmigRegion **regions;

    /* Control thread: what sync() found and collect() did not take yet. */
    uint64_t **found;
} DirtyLog;

static uint64_t n_words(const ShmigRegion *region)
{
    return DIV_ROUND_UP(region->n_granules, 64);
}

/* Trackers are called with and without the BQL. */
static bool lock_bql(void)
{
    bool locked = bql_locked();

    if (!locked) {
        bql_lock();
    }
    return !locked;
}

static void unlock_bql(bool ours)
{
    if (ours) {
        bql_unlock();
    }
}

bool shmig_tracker_is_lent(void)
{
    return global_dirty_tracking & GLOBAL_DIRTY_DIRTY_RATE;
}

static bool log_start(void *opaque, GError **errp)
{
    Error *error = NULL;
    bool ours = lock_bql();
    bool ok;

    if (kvm_enabled()) {
        /* Before KVM is asked for the first time, for all that it can tell. */
        shmig_tracker_kvm_claim();
    }
    qemu_mutex_lock_ramlist();
    ok = memory_global_dirty_log_start(GLOBAL_DIRTY_MIGRATION, &error);
    qemu_mutex_unlock_ramlist();
    unlock_bql(ours);
    if (!ok) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM, "%s",
                    error_get_pretty(error));
        error_free(error);
    }
    return ok;
}

/* Blocks start at a word of the bitmap, and share none. */
static bool take_bits(const ShmigRamBlockRef *block, uint64_t *found,
                      uint64_t words)
{
    unsigned long *const *bits =
        qatomic_rcu_read(&ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION])
            ->blocks;
    ram_addr_t page = block->rb->offset >> TARGET_PAGE_BITS;
    bool any = false;

    QEMU_BUILD_BUG_ON(BITS_PER_LONG != 64);
    g_assert(page % 64 == 0);
    for (uint64_t i = 0; i < words; i++, page += 64) {
        unsigned long *word = &bits[page / DIRTY_MEMORY_BLOCK_SIZE]
                                   [page % DIRTY_MEMORY_BLOCK_SIZE / 64];

        if (qatomic_read(word)) {
            found[i] |= qatomic_xchg(word, 0);
            any = true;
        }
    }
    if (any) {
        cpu_physical_memory_dirty_bits_cleared(block->rb->offset,
                                               block->used_bytes);
    }
    return any;
}

static void forget_section(MemoryRegionSection *section, void *opaque)
{
    unsigned long *found = opaque;

    bitmap_clear(found, section->offset_within_region >> TARGET_PAGE_BITS,
                 int128_get64(section->size) >> TARGET_PAGE_BITS);
}

/* Nothing may read what is discarded, whatever the log says of it. */
static void forget_discarded(const ShmigRamBlockRef *block, uint64_t *found)
{
    MemoryRegionSection section = {
        .mr = block->mr,
        .offset_within_region = 0,
        .size = int128_make64(block->used_bytes),
    };

    ram_discard_manager_replay_discarded(
        memory_region_get_ram_discard_manager(block->mr), &section,
        forget_section, found);
}

static void take_all(DirtyLog *log)
{
    RCU_READ_LOCK_GUARD();
    for (unsigned i = 0; i < log->ram->n; i++) {
        const ShmigRamBlockRef *block = &log->ram->blocks[i];

        if (take_bits(block, log->found[i], n_words(log->regions[i])) &&
            shmig_ram_block_discards(block)) {
            forget_discarded(block, log->found[i]);
        }
    }
}

/* What was found in a block, as pages. */
static void add_pages(GArray *pages, const ShmigRamBlockRef *block,
                      unsigned index, const uint64_t *found)
{
    const unsigned long *bits = found;
    uint64_t n = block->used_bytes >> TARGET_PAGE_BITS;

    for (uint64_t i = find_first_bit(bits, n); i < n;
         i = find_next_bit(bits, n, i + 1)) {
        g_array_append_vals(pages,
                            &(ShmigLatePage) { .block = index, .page = i }, 1);
    }
}

void shmig_tracker_take_late(const ShmigRamBlocks *ram, GArray *pages)
{
    RCU_READ_LOCK_GUARD();
    for (unsigned i = 0; i < ram->n; i++) {
        const ShmigRamBlockRef *block = &ram->blocks[i];
        uint64_t words =
            DIV_ROUND_UP(block->used_bytes >> TARGET_PAGE_BITS, 64);
        g_autofree uint64_t *found = g_new0(uint64_t, words);

        if (!take_bits(block, found, words)) {
            continue;
        }
        if (shmig_ram_block_discards(block)) {
            forget_discarded(block, found);
        }
        add_pages(pages, block, i, found);
    }
}

static int log_sync(void *opaque, bool last)
{
    bool ours = lock_bql();

    memory_global_dirty_log_sync(last);
    take_all(opaque);
    memory_global_after_dirty_log_sync();
    unlock_bql(ours);
    return 0;
}

static unsigned index_of(const DirtyLog *log, const ShmigRegion *region)
{
    g_assert(region->id < log->ram->n);
    return region->id;
}

static int log_collect(void *opaque, ShmigRegion *region,
                       ShmigCollector *collector)
{
    DirtyLog *log = opaque;
    uint64_t *found = log->found[index_of(log, region)];

    shmig_collect_words(collector, 0, found, n_words(region));
    memset(found, 0, n_words(region) * sizeof(*found));
    return 0;
}

/* A channel's thread is registered with RCU while it lives. */
static void leave_rcu(void *unused)
{
    rcu_unregister_thread();
}

static void join_rcu(void)
{
    static GPrivate joined = G_PRIVATE_INIT(leave_rcu);

    if (!g_private_get(&joined)) {
        rcu_register_thread();
        g_private_set(&joined, GINT_TO_POINTER(true));
    }
}

static int log_arm(void *opaque, ShmigRegion *region, uint64_t first,
                   uint64_t n)
{
    DirtyLog *log = opaque;
    const ShmigRamBlockRef *block = &log->ram->blocks[index_of(log, region)];
    uint64_t offset = first << SHMIG_RAM_GRANULE_SHIFT;
    uint64_t bytes =
        MIN(n << SHMIG_RAM_GRANULE_SHIFT, block->used_bytes - offset);

    join_rcu();
    RCU_READ_LOCK_GUARD();
    memory_region_clear_dirty_bitmap(block->mr, offset, bytes);
    return 0;
}

static void log_stop(void *opaque)
{
    bool ours = lock_bql();

    /* The stock RAM code's clean-up may have been here before. */
    if (global_dirty_tracking & GLOBAL_DIRTY_MIGRATION) {
        memory_global_dirty_log_stop(GLOBAL_DIRTY_MIGRATION);
    }
    unlock_bql(ours);
}

static void log_free(void *opaque)
{
    DirtyLog *log = opaque;

    for (unsigned i = 0; i < log->ram->n; i++) {
        g_free(log->found[i]);
    }
    g_free(log->found);
    g_free(log->regions);
    g_free(log);
}

static const ShmigGenericOps log_ops = {
    .start = log_start,
    .sync = log_sync,
    .collect = log_collect,
    .stop = log_stop,
    .free = log_free,
};

/* Only KVM's slots have to be told when to watch a page again. */
static const ShmigGenericOps log_arm_ops = {
    .start = log_start,
    .sync = log_sync,
    .collect = log_collect,
    .arm = log_arm,
    .stop = log_stop,
    .free = log_free,
};

ShmigTracker *shmig_tracker_new(const ShmigRamBlocks *ram, ShmigSource *source)
{
    DirtyLog *log = g_new0(DirtyLog, 1);
    ShmigTracker *tracker;

    log->ram = ram;
    log->regions = g_new0(ShmigRegion *, ram->n);
    log->found = g_new0(uint64_t *, ram->n);
    for (unsigned i = 0; i < ram->n; i++) {
        log->regions[i] = shmig_source_ram_region(source, i);
        log->found[i] = g_new0(uint64_t, n_words(log->regions[i]));
    }
    tracker = shmig_generic_new(kvm_enabled() ? &log_arm_ops : &log_ops, log,
                                log->regions, ram->n);
    if (kvm_enabled()) {
        tracker = shmig_tracker_kvm_new(ram, log->regions, tracker);
    }
    trace_shmig_tracker(tracker->ops->name);
    return tracker;
}
