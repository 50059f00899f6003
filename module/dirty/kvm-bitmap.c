/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm-bitmap tracker.
 *
 * With manual protection, GET copies a slot's dirty bits and changes
 * nothing; CLEAR takes given bits back and write-protects their pages.  A
 * page whose bit is set in the kernel may be written unseen, and is reported
 * by every GET until it is cleared.
 *
 * Invariant: a bit that leaves the kernel's bitmap becomes set in the pending
 * bitmap afterwards, and before the next harvest returns.  So a page is
 * either dirty in the kernel, and will be reported, or its bytes are read
 * after it was write-protected, and a later write is reported.
 *
 * To clear the kernel's bit when the pending bit is found set is not enough:
 *
 *   channel A: clear() finds the chunk armed and returns
 *   guest:     writes page P; P is dirty in the kernel
 *   harvest:   P becomes pending, its chunk stale
 *   channel B: clear() for another page of the chunk: sees that P is pending
 *   channel A: takes P: clears its pending bit, reads the bytes
 *   guest:     writes P again, unseen, since P is dirty in the kernel
 *   channel B: KVM_CLEAR_DIRTY_LOG with P
 *
 * Now P is clean everywhere and its last bytes were sent by nobody.  Hence
 * B sets P's pending bit again after the ioctl; for all pages but such ones
 * it is set already.
 *
 * Bits are cleared by chunks, of pages that are pending, in all address
 * spaces: the kernel keeps a bitmap for each slot, and one that is never
 * cleared would report all its pages in the end.  Pages of the chunk that
 * are not pending stay dirty in the kernel, for the next harvest.
 */
#include <errno.h>
#include <string.h>

#include "kvm-dirty-log.h"

#include "shmig/base/error.h"
#include "shmig/base/range.h"
#include "shmig/dirty/bitmap.h"
#include "shmig/dirty/chunks.h"
#include "shmig/dirty/kvm-bitmap.h"

typedef struct ShmigKvmBitmap {
    ShmigTracker tracker;

    /* Constant. */
    const ShmigKvmOps *ops;
    void *opaque;
    unsigned manual_protect;
    ShmigTracker *extra;

    ShmigChunkTable chunks;

    /* One a region, under its lock: two bitmaps of a chunk. */
    uint64_t **clear_words;

    /* Control thread: what GET fills; grows, to the largest slot. */
    uint64_t *scratch;
    uint64_t scratch_words;
} ShmigKvmBitmap;

static ShmigKvmBitmap *from_tracker(ShmigTracker *tracker)
{
    return (ShmigKvmBitmap *)tracker;
}

static int check_slot(const ShmigKvmSlot *slot)
{
    return slot->region_first_page % 64 == 0 &&
                   shmig_range_ok(slot->region_first_page, slot->n_pages,
                                  slot->region->n_granules)
               ? 0
               : -EINVAL;
}

/* Between the kernel's words and ours; no bit past @n_pages. */
static void convert_words(uint64_t *words, uint64_t n_pages)
{
    if (G_BYTE_ORDER != G_LITTLE_ENDIAN) {
        for (uint64_t i = 0; i <= (n_pages - 1) / 64; i++) {
            words[i] = GUINT64_FROM_LE(words[i]);
        }
    }
}

static void cut_last_word(uint64_t *words, uint64_t n_pages)
{
    if (n_pages % 64) {
        words[n_pages / 64] &= ~(~UINT64_C(0) << n_pages % 64);
    }
}

typedef struct Harvest {
    ShmigKvmBitmap *kb;
    ShmigChunks *chunks;
    uint64_t fresh;
} Harvest;

static uint64_t *get_scratch(ShmigKvmBitmap *kb, uint64_t words)
{
    if (kb->scratch_words < words) {
        shmig_bitmap_free(kb->scratch, kb->scratch_words);
        kb->scratch = shmig_bitmap_new(words);
        kb->scratch_words = words;
    }
    return kb->scratch;
}

static int harvest_slot(void *opaque, const ShmigKvmSlot *slot)
{
    Harvest *h = opaque;
    uint64_t words = (slot->n_pages - 1) / 64 + 1;
    struct shmig_kvm_dirty_log log = {
        .slot = SHMIG_KVM_SLOT(slot->as_id, slot->slot),
    };
    uint64_t *bits;
    int ret;

    if (slot->region != h->chunks->region) {
        return 0;
    }
    ret = check_slot(slot);
    if (ret < 0) {
        return ret;
    }
    bits = get_scratch(h->kb, words);
    log.bitmap = bits;
    ret = h->kb->ops->vm_ioctl(h->kb->opaque, SHMIG_KVM_GET_DIRTY_LOG, &log);
    if (ret < 0) {
        return ret == -ENOENT ? 0 : ret;
    }
    convert_words(bits, slot->n_pages);
    cut_last_word(bits, slot->n_pages);
    h->fresh += shmig_chunks_merge(h->chunks, slot->region_first_page / 64,
                                   bits, words);
    return 0;
}

/*
 * The lock keeps an arming channel from being between its ioctl and its
 * merge while we look: pages in its hands would be dirty nowhere.
 */
static int harvest_region(ShmigKvmBitmap *kb, ShmigChunks *chunks, bool last,
                          uint64_t *fresh)
{
    Harvest h = { .kb = kb, .chunks = chunks };
    int ret;

    pthread_mutex_lock(&chunks->lock);
    ret = kb->ops->foreach_slot(kb->opaque, harvest_slot, &h);
    if (last && ret == 0) {
        /* Nothing is armed for a guest that does not run again. */
        shmig_chunks_set_all(chunks, false);
    }
    pthread_mutex_unlock(&chunks->lock);
    *fresh += h.fresh;
    return ret;
}

/*
 * The extra tracker comes last: the bits of a slot that goes before we get
 * to it are known there by then.
 */
static int64_t kvm_bitmap_harvest(ShmigTracker *tracker, bool last)
{
    ShmigKvmBitmap *kb = from_tracker(tracker);
    uint64_t fresh = 0;
    int64_t ret = 0;

    for (unsigned i = 0; i < kb->chunks.n_regions; i++) {
        ret = harvest_region(kb, &kb->chunks.regions[i], last, &fresh);
        if (ret < 0) {
            return ret;
        }
    }
    if (kb->extra) {
        ret = kb->extra->ops->harvest(kb->extra, last);
        if (ret < 0) {
            return ret;
        }
    }
    return fresh + ret;
}

typedef struct Clear {
    ShmigKvmBitmap *kb;
    ShmigRegion *region;
    uint64_t first; /* the chunk */
    uint64_t end;
    uint64_t *pending;
    uint64_t *mask; /* as long as @pending */
} Clear;

static int clear_slot(void *opaque, const ShmigKvmSlot *slot)
{
    Clear *c = opaque;
    uint64_t slot_first = slot->region_first_page;
    uint64_t first = MAX(c->first, slot_first);
    uint64_t end = MIN(c->end, slot_first + slot->n_pages);
    uint64_t *mask = c->mask;
    struct shmig_kvm_clear_dirty_log log = {
        .slot = SHMIG_KVM_SLOT(slot->as_id, slot->slot),
        .num_pages = end - first,
        .first_page = first - slot_first,
        .bitmap = mask,
    };
    uint64_t words, any = 0;
    int ret;

    if (slot->region != c->region || first >= end) {
        return 0;
    }
    ret = check_slot(slot);
    if (ret < 0) {
        return ret;
    }
    words = (end - first - 1) / 64 + 1;
    memcpy(mask, c->pending + (first - c->first) / 64, words * sizeof(*mask));
    cut_last_word(mask, end - first);
    for (uint64_t i = 0; i < words; i++) {
        any |= mask[i];
    }
    if (!any) {
        return 0;
    }
    convert_words(mask, end - first);
    ret = c->kb->ops->vm_ioctl(c->kb->opaque, SHMIG_KVM_CLEAR_DIRTY_LOG, &log);

    /* The invariant, even if the ioctl failed half way. */
    convert_words(mask, end - first);
    shmig_region_merge(c->region, first / 64, mask, words);
    return ret == -ENOENT ? 0 : MIN(ret, 0);
}

static int clear_chunk(void *opaque, ShmigChunks *chunks, uint64_t first,
                       uint64_t n)
{
    ShmigKvmBitmap *kb = opaque;
    uint64_t *words = kb->clear_words[chunks - kb->chunks.regions];
    Clear c = {
        .kb = kb,
        .region = chunks->region,
        .first = first,
        .end = first + n,
        .pending = words,
        .mask = words + chunks->chunk_pages / 64,
    };

    for (uint64_t i = 0; i <= (n - 1) / 64; i++) {
        c.pending[i] = __atomic_load_n(&chunks->region->pending[first / 64 + i],
                                       __ATOMIC_RELAXED);
    }
    return kb->ops->foreach_slot(kb->opaque, clear_slot, &c);
}

static int kvm_bitmap_clear(ShmigTracker *tracker, ShmigRegion *region,
                            uint64_t first, uint64_t n)
{
    ShmigKvmBitmap *kb = from_tracker(tracker);
    ShmigChunks *chunks = shmig_chunks_find(&kb->chunks, region);
    int ret = 0;

    if (!chunks) {
        return -EINVAL;
    }
    if (kb->manual_protect & SHMIG_KVM_MANUAL_PROTECT_ENABLE) {
        ret = shmig_chunks_arm(chunks, first, n, clear_chunk, kb);
    }
    if (ret == 0 && kb->extra) {
        ret = kb->extra->ops->clear(kb->extra, region, first, n);
    }
    return ret;
}

static bool kvm_bitmap_start(ShmigTracker *tracker, GError **errp)
{
    ShmigKvmBitmap *kb = from_tracker(tracker);

    if (kb->extra && !kb->extra->ops->start(kb->extra, errp)) {
        return false;
    }
    if (kb->ops->start && !kb->ops->start(kb->opaque, errp)) {
        if (kb->extra) {
            kb->extra->ops->stop(kb->extra);
        }
        return false;
    }
    for (unsigned i = 0; i < kb->chunks.n_regions; i++) {
        ShmigChunks *chunks = &kb->chunks.regions[i];

        pthread_mutex_lock(&chunks->lock);
        shmig_chunks_set_all(chunks, kb->manual_protect &
                                         SHMIG_KVM_MANUAL_INITIALLY_SET);
        pthread_mutex_unlock(&chunks->lock);
    }
    return true;
}

static void kvm_bitmap_stop(ShmigTracker *tracker)
{
    ShmigKvmBitmap *kb = from_tracker(tracker);

    if (kb->ops->stop) {
        kb->ops->stop(kb->opaque);
    }
    if (kb->extra) {
        kb->extra->ops->stop(kb->extra);
    }
}

static void kvm_bitmap_free(ShmigTracker *tracker)
{
    ShmigKvmBitmap *kb = from_tracker(tracker);

    if (kb->extra) {
        kb->extra->ops->free(kb->extra);
    }
    if (kb->ops->free) {
        kb->ops->free(kb->opaque);
    }
    for (unsigned i = 0; i < kb->chunks.n_regions; i++) {
        g_free(kb->clear_words[i]);
    }
    g_free(kb->clear_words);
    shmig_chunks_destroy(&kb->chunks);
    shmig_bitmap_free(kb->scratch, kb->scratch_words);
    g_free(kb);
}

static const ShmigTrackerOps kvm_bitmap_ops = {
    .name = "kvm-bitmap",
    .start = kvm_bitmap_start,
    .harvest = kvm_bitmap_harvest,
    .clear = kvm_bitmap_clear,
    .stop = kvm_bitmap_stop,
    .free = kvm_bitmap_free,
};

void shmig_kvm_bitmap_set_chunk_bytes(ShmigTracker *tracker, uint64_t bytes)
{
    ShmigKvmBitmap *kb = from_tracker(tracker);
    uint64_t pages = bytes >> SHMIG_RAM_GRANULE_SHIFT;

    g_assert(tracker->ops == &kvm_bitmap_ops);
    shmig_chunks_set_pages(&kb->chunks, pages);
    for (unsigned i = 0; i < kb->chunks.n_regions; i++) {
        g_free(kb->clear_words[i]);
        kb->clear_words[i] = g_new(uint64_t, pages / 64 * 2);
    }
}

ShmigTracker *shmig_kvm_bitmap_new(const ShmigKvmOps *ops, void *opaque,
                                   ShmigRegion *const *regions,
                                   unsigned n_regions, unsigned manual_protect,
                                   ShmigTracker *extra)
{
    ShmigKvmBitmap *kb = g_new0(ShmigKvmBitmap, 1);

    kb->tracker.ops = &kvm_bitmap_ops;
    kb->ops = ops;
    kb->opaque = opaque;
    kb->manual_protect = manual_protect;
    kb->extra = extra;
    shmig_chunks_init(&kb->chunks, regions, n_regions);
    kb->clear_words = g_new0(uint64_t *, n_regions);
    shmig_kvm_bitmap_set_chunk_bytes(&kb->tracker, SHMIG_CHUNK_BYTES);
    return &kb->tracker;
}
