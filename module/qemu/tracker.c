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
#include "shmig/dirty/bitmap.h"
#include "shmig/dirty/generic.h"
#include "tracker.h"
#include "trace.h"

/* Words of a bitmap that one bit stands for in the bitmap of its groups. */
#define GROUP_WORDS 64u

/*
 * Dirty bits of a block that were taken from QEMU.  There are few: vCPUs' are
 * with KVM mostly.  So that they cost what there are, not what could be, it is
 * known which groups of words they are in.
 */
typedef struct Found {
    uint64_t *words;
    uint64_t n_words;
    unsigned long *groups; /* a bit is set: not all words are 0 */
} Found;

typedef struct DirtyLog {
    /* Constant. */
    const ShmigRamBlocks *ram;
    ShmigRegion **regions;

    /* Control thread: what sync() found and collect() did not take yet. */
    Found *found;
} DirtyLog;

static uint64_t n_groups(const Found *found)
{
    return DIV_ROUND_UP(found->n_words, GROUP_WORDS);
}

static void found_init(Found *found, const ShmigRamBlockRef *block)
{
    found->n_words = DIV_ROUND_UP(block->used_bytes >> TARGET_PAGE_BITS, 64);
    found->words = shmig_bitmap_new(found->n_words);
    found->groups = bitmap_new(n_groups(found));
}

static void found_destroy(Found *found)
{
    shmig_bitmap_free(found->words, found->n_words);
    g_free(found->groups);
}

/* The words of @group, and how many there are. */
static uint64_t *found_group(const Found *found, uint64_t group, uint64_t *n)
{
    *n = MIN(GROUP_WORDS, found->n_words - group * GROUP_WORDS);
    return found->words + group * GROUP_WORDS;
}

static uint64_t next_group(const Found *found, uint64_t from)
{
    return find_next_bit(found->groups, n_groups(found), from);
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

/* Of some words of QEMU's bitmap, which follow word @word of the block. */
static void take_words(Found *found, uint64_t word, unsigned long *bits,
                       uint64_t n)
{
    for (uint64_t i = 0; (i = shmig_bitmap_next(bits, i, n)) < n; i++) {
        found->words[word + i] |= qatomic_xchg(&bits[i], 0);
        set_bit((word + i) / GROUP_WORDS, found->groups);
    }
}

/* Blocks start at a word of the bitmap, and share none. */
static bool take_bits(const ShmigRamBlockRef *block, Found *found)
{
    unsigned long *const *bits =
        qatomic_rcu_read(&ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION])
            ->blocks;
    ram_addr_t page = block->rb->offset >> TARGET_PAGE_BITS;

    QEMU_BUILD_BUG_ON(BITS_PER_LONG != 64);
    g_assert(page % 64 == 0);
    for (uint64_t word = 0, n; word < found->n_words; word += n) {
        ram_addr_t at = page % DIRTY_MEMORY_BLOCK_SIZE;

        n = MIN((DIRTY_MEMORY_BLOCK_SIZE - at) / 64, found->n_words - word);
        take_words(found, word, bits[page / DIRTY_MEMORY_BLOCK_SIZE] + at / 64,
                   n);
        page += n * 64;
    }
    if (next_group(found, 0) == n_groups(found)) {
        return false;
    }
    cpu_physical_memory_dirty_bits_cleared(block->rb->offset,
                                           block->used_bytes);
    return true;
}

static void forget_section(MemoryRegionSection *section, void *opaque)
{
    unsigned long *found = opaque;

    bitmap_clear(found, section->offset_within_region >> TARGET_PAGE_BITS,
                 int128_get64(section->size) >> TARGET_PAGE_BITS);
}

/* Nothing may read what is discarded, whatever the log says of it. */
static void forget_discarded(const ShmigRamBlockRef *block, Found *found)
{
    MemoryRegionSection section = {
        .mr = block->mr,
        .offset_within_region = 0,
        .size = int128_make64(block->used_bytes),
    };

    ram_discard_manager_replay_discarded(
        memory_region_get_ram_discard_manager(block->mr), &section,
        forget_section, found->words);
}

static void take_all(DirtyLog *log)
{
    RCU_READ_LOCK_GUARD();
    for (unsigned i = 0; i < log->ram->n; i++) {
        const ShmigRamBlockRef *block = &log->ram->blocks[i];

        if (take_bits(block, &log->found[i]) &&
            shmig_ram_block_discards(block)) {
            forget_discarded(block, &log->found[i]);
        }
    }
}

/* What was found in a block, as pages. */
static void add_pages(GArray *pages, const ShmigRamBlockRef *block,
                      unsigned index, const Found *found)
{
    uint64_t n_pages = block->used_bytes >> TARGET_PAGE_BITS;

    for (uint64_t group = next_group(found, 0); group < n_groups(found);
         group = next_group(found, group + 1)) {
        uint64_t first = group * GROUP_WORDS * 64, n;
        const unsigned long *bits = found_group(found, group, &n);

        n = MIN(n * 64, n_pages - first);
        for (uint64_t i = find_first_bit(bits, n); i < n;
             i = find_next_bit(bits, n, i + 1)) {
            ShmigLatePage page = { .block = index, .page = first + i };

            g_array_append_val(pages, page);
        }
    }
}

void shmig_tracker_take_late(const ShmigRamBlocks *ram, GArray *pages)
{
    RCU_READ_LOCK_GUARD();
    for (unsigned i = 0; i < ram->n; i++) {
        const ShmigRamBlockRef *block = &ram->blocks[i];
        Found found;

        found_init(&found, block);
        if (take_bits(block, &found)) {
            if (shmig_ram_block_discards(block)) {
                forget_discarded(block, &found);
            }
            add_pages(pages, block, i, &found);
        }
        found_destroy(&found);
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
    Found *found = &log->found[index_of(log, region)];

    for (uint64_t group = next_group(found, 0); group < n_groups(found);
         group = next_group(found, group + 1)) {
        uint64_t n;
        uint64_t *words = found_group(found, group, &n);

        shmig_collect_words(collector, group * GROUP_WORDS, words, n);
        memset(words, 0, n * sizeof(*words));
        clear_bit(group, found->groups);
    }
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
        found_destroy(&log->found[i]);
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
    log->found = g_new0(Found, ram->n);
    for (unsigned i = 0; i < ram->n; i++) {
        log->regions[i] = shmig_source_ram_region(source, i);
        found_init(&log->found[i], &ram->blocks[i]);
    }
    tracker = shmig_generic_new(kvm_enabled() ? &log_arm_ops : &log_ops, log,
                                log->regions, ram->n);
    if (kvm_enabled()) {
        tracker = shmig_tracker_kvm_new(ram, log->regions, tracker);
    }
    trace_shmig_tracker(tracker->ops->name);
    return tracker;
}
