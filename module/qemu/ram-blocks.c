/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which RAM travels, and where it goes on the destination. */
#include "qemu/osdep.h"

#include "qemu/units.h"
#include "qemu/rcu.h"
#include "qapi/error.h"
#include "migration/misc.h"
#include "migration/ram.h"

#include "ram-blocks.h"

static ShmigRamBlocks *new_blocks(unsigned n)
{
    ShmigRamBlocks *ram = g_new0(ShmigRamBlocks, 1);

    ram->blocks = g_new0(ShmigRamBlockRef, n);
    return ram;
}

static void add_block(ShmigRamBlocks *ram, RAMBlock *rb, uint64_t used_bytes)
{
    memory_region_ref(rb->mr);
    ram->blocks[ram->n++] = (ShmigRamBlockRef) {
        .rb = rb,
        .mr = rb->mr,
        .host = rb->host,
        .used_bytes = used_bytes,
    };
}

/*
 * Memory in a shared file is locked at a byte that nobody else would lock: a
 * destination that has the same file open finds the lock.  Files of other
 * hosts, and private mappings, are none of its business.
 */
#define LOCK_BYTE (INT64_MAX - 1)

static bool is_shared_file(const RAMBlock *rb)
{
    return (rb->flags & RAM_SHARED) && rb->fd >= 0;
}

static void lock_block(ShmigRamBlockRef *block)
{
    /* It is for a check only: a file that cannot be locked migrates too. */
    block->locked = is_shared_file(block->rb) &&
                    qemu_lock_fd(block->rb->fd, LOCK_BYTE, 1, false) == 0;
}

static void unlock_block(ShmigRamBlockRef *block)
{
    if (block->locked) {
        qemu_unlock_fd(block->rb->fd, LOCK_BYTE, 1);
    }
}

static bool travels(const RAMBlock *rb)
{
    return rb->used_length > 0;
}

static unsigned count_blocks(void)
{
    RAMBlock *rb;
    unsigned n = 0;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_NOT_IGNORED (rb) {
        n += travels(rb);
    }
    return n;
}

ShmigRamBlocks *shmig_ram_blocks_offer(ShmigOffer *offer, Error **errp)
{
    unsigned n = count_blocks();
    ShmigRamBlocks *ram;
    RAMBlock *rb;

    if (n > SHMIG_MAX_RAM_BLOCKS) {
        error_setg(errp,
                   "the guest has %u RAM blocks; shmig takes at most "
                   "%d",
                   n, SHMIG_MAX_RAM_BLOCKS);
        return NULL;
    }
    ram = new_blocks(n);
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_NOT_IGNORED (rb) {
        if (travels(rb)) {
            add_block(ram, rb, rb->used_length);
            lock_block(&ram->blocks[ram->n - 1]);
            shmig_offer_add_ram(offer, rb->idstr, rb->used_length,
                                rb->max_length, rb->page_size);
        }
    }
    return ram;
}

static char *describe_problem(const RAMBlock *rb, const ShmigOfferRam *want)
{
    if (!rb || !qemu_ram_is_migratable((RAMBlock *)rb)) {
        return g_strdup_printf(
            "RAM block \"%s\": the destination has none; give it the same "
            "devices and memory as the source",
            want->name);
    }
    if (is_shared_file(rb) &&
        qemu_lock_fd_test(rb->fd, LOCK_BYTE, 1, true) == -EAGAIN) {
        return g_strdup_printf(
            "RAM block \"%s\": its file is the very same as that of a guest "
            "that is being migrated; give the destination a file of its own, "
            "or turn on the capability \"x-ignore-shared\" on both sides",
            want->name);
    }
    if (want->used_bytes == rb->used_length) {
        return NULL;
    }
    if (!(rb->flags & RAM_RESIZEABLE) || want->used_bytes > rb->max_length) {
        return g_strdup_printf("RAM block \"%s\": destination has %" PRIu64
                               " KiB, source has "
                               "%" PRIu64 " KiB; give both the same memory",
                               want->name, (uint64_t)rb->used_length / KiB,
                               want->used_bytes / KiB);
    }
    return NULL;
}

static bool is_offered(const ShmigOffer *offer, const char *name)
{
    for (guint i = 0; i < offer->ram->len; i++) {
        ShmigOfferRam *r = g_ptr_array_index(offer->ram, i);

        if (g_str_equal(r->name, name)) {
            return true;
        }
    }
    return false;
}

/* Memory that nobody fills would differ from the source's unnoticed. */
static void check_surplus(const ShmigOffer *offer, GPtrArray *problems)
{
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_NOT_IGNORED (rb) {
        if (travels(rb) && !is_offered(offer, rb->idstr)) {
            g_ptr_array_add(
                problems,
                g_strdup_printf("RAM block \"%s\": only the destination has "
                                "it; give it the "
                                "same devices and memory as the source",
                                rb->idstr));
        }
    }
}

ShmigRamBlocks *shmig_ram_blocks_check(const ShmigOffer *offer,
                                       GPtrArray *problems)
{
    ShmigRamBlocks *ram = new_blocks(offer->ram->len);

    RCU_READ_LOCK_GUARD();
    for (guint i = 0; i < offer->ram->len; i++) {
        ShmigOfferRam *want = g_ptr_array_index(offer->ram, i);
        RAMBlock *rb = qemu_ram_block_by_name(want->name);
        char *problem = describe_problem(rb, want);

        if (problem) {
            g_ptr_array_add(problems, problem);
        } else {
            add_block(ram, rb, want->used_bytes);
        }
    }
    check_surplus(offer, problems);
    return ram;
}

void shmig_ram_blocks_free(ShmigRamBlocks *ram)
{
    if (!ram) {
        return;
    }
    for (unsigned i = 0; i < ram->n; i++) {
        unlock_block(&ram->blocks[i]);
        memory_region_unref(ram->blocks[i].mr);
    }
    g_free(ram->blocks);
    g_free(ram);
}

bool shmig_ram_block_discards(const ShmigRamBlockRef *block)
{
    return memory_region_has_ram_discard_manager(block->mr);
}

static int mark_section(MemoryRegionSection *section, void *opaque)
{
    shmig_region_set_bytes(opaque, section->offset_within_region,
                           int128_get64(section->size));
    return 0;
}

static void mark_block(const ShmigRamBlockRef *block, ShmigRegion *region)
{
    MemoryRegionSection section = {
        .mr = block->mr,
        .offset_within_region = 0,
        .size = int128_make64(block->used_bytes),
    };

    if (!shmig_ram_block_discards(block)) {
        shmig_region_set(region, 0, region->n_granules);
        return;
    }
    ram_discard_manager_replay_populated(
        memory_region_get_ram_discard_manager(block->mr), &section,
        mark_section, region);
}

void shmig_ram_blocks_mark(const ShmigRamBlocks *ram, ShmigSource *source)
{
    for (unsigned i = 0; i < ram->n; i++) {
        mark_block(&ram->blocks[i], shmig_source_ram_region(source, i));
    }
}

bool shmig_ram_blocks_same(const ShmigRamBlocks *ram, Error **errp)
{
    for (unsigned i = 0; i < ram->n; i++) {
        const ShmigRamBlockRef *block = &ram->blocks[i];

        if (!qemu_ram_is_migratable(block->rb)) {
            error_setg(errp,
                       "memory of %" PRIu64 " MiB was unplugged while "
                       "the guest was migrating; migrate again",
                       block->used_bytes / MiB);
            return false;
        }
        if (block->rb->used_length != block->used_bytes) {
            error_setg(errp,
                       "RAM block \"%s\" was resized while the guest "
                       "was migrating; migrate again",
                       block->rb->idstr);
            return false;
        }
    }
    if (count_blocks() != ram->n) {
        error_setg(errp, "memory was plugged while the guest was migrating; "
                         "migrate again");
        return false;
    }
    return true;
}
