/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's dirty rings in software.
 *
 * Locks, in the order they are taken: list (the tracker's: slots come and
 * go, rings are harvested and reset), slots (read: a vCPU uses a slot; write:
 * it changes), the lock of 64 pages (the store to a page with the look at
 * its protection).
 *
 * A ring's entry belongs to the vCPU that fills it, then to whoever holds
 * the list's lock, from when its state says DIRTY until it says 0 again.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "fake-ring.h"
#include "kvm-dirty-log.h"

#define MAX_SLOTS 8

typedef struct FakeSlot {
    ShmigKvmSlot id;
    uint8_t *bytes; /* of the region; NULL: slot is not used */
    bool hidden;
    uint64_t *writable;
    pthread_mutex_t *locks; /* one a word */
} FakeSlot;

typedef struct FakeVcpu {
    struct shmig_kvm_dirty_gfn *entries;
    uint32_t fill;  /* the vCPU's */
    uint32_t next;  /* the tracker's, under the list's lock */
    uint32_t reset; /* under the list's lock; atomic: the vCPU looks */
} FakeVcpu;

struct FakeRing {
    uint32_t n_entries;
    ShmigTracker *tracker;
    FakeVcpu vcpus[FAKE_RING_VCPUS];

    pthread_mutex_t list;
    FakeRingFunc *on_reset;
    void *opaque;
    int fail;
    unsigned cut; /* 0: resets are whole */
    bool idle;    /* resets do nothing */
    bool overrun; /* full rings are overwritten */

    GRWLock slots_lock;
    FakeSlot slots[MAX_SLOTS];
    bool logging;

    FakeRingCounts counts; /* atomic */
};

static uint64_t slot_words(const FakeSlot *slot)
{
    return (slot->id.n_pages - 1) / 64 + 1;
}

FakeRing *fake_ring_new(uint32_t n_entries)
{
    FakeRing *kvm = g_new0(FakeRing, 1);

    kvm->n_entries = n_entries;
    pthread_mutex_init(&kvm->list, NULL);
    g_rw_lock_init(&kvm->slots_lock);
    for (unsigned i = 0; i < FAKE_RING_VCPUS; i++) {
        kvm->vcpus[i].entries = g_new0(struct shmig_kvm_dirty_gfn, n_entries);
    }
    return kvm;
}

void fake_ring_set_tracker(FakeRing *kvm, ShmigTracker *tracker)
{
    kvm->tracker = tracker;
}

static void drop_slot(FakeSlot *slot)
{
    for (uint64_t i = 0; i < slot_words(slot); i++) {
        pthread_mutex_destroy(&slot->locks[i]);
    }
    g_free(slot->writable);
    g_free(slot->locks);
    memset(slot, 0, sizeof(*slot));
}

void fake_ring_free(FakeRing *kvm)
{
    for (unsigned i = 0; i < MAX_SLOTS; i++) {
        if (kvm->slots[i].bytes) {
            drop_slot(&kvm->slots[i]);
        }
    }
    for (unsigned i = 0; i < FAKE_RING_VCPUS; i++) {
        g_free(kvm->vcpus[i].entries);
    }
    g_rw_lock_clear(&kvm->slots_lock);
    pthread_mutex_destroy(&kvm->list);
    g_free(kvm);
}

/* A lock of the slots is held, of either kind.  NULL: there is none. */
static FakeSlot *find_slot(FakeRing *kvm, uint32_t as_id, uint32_t slot)
{
    for (unsigned i = 0; i < MAX_SLOTS; i++) {
        FakeSlot *s = &kvm->slots[i];

        if (s->bytes && s->id.as_id == as_id && s->id.slot == slot) {
            return s;
        }
    }
    return NULL;
}

static FakeSlot *find_page(FakeRing *kvm, uint32_t as_id,
                           const ShmigRegion *region, uint64_t page)
{
    for (unsigned i = 0; i < MAX_SLOTS; i++) {
        FakeSlot *s = &kvm->slots[i];

        if (s->bytes && s->id.as_id == as_id && s->id.region == region &&
            page - s->id.region_first_page < s->id.n_pages) {
            return s;
        }
    }
    return NULL;
}

void fake_ring_add_slot(FakeRing *kvm, uint32_t as_id, uint32_t slot,
                        ShmigRegion *region, uint8_t *bytes,
                        uint64_t first_page, uint64_t n_pages)
{
    FakeSlot *s = kvm->slots;

    pthread_mutex_lock(&kvm->list);
    g_rw_lock_writer_lock(&kvm->slots_lock);
    g_assert_null(find_slot(kvm, as_id, slot));
    while (s->bytes) {
        s++;
        g_assert_true(s < kvm->slots + MAX_SLOTS);
    }
    s->id = (ShmigKvmSlot) { as_id, slot, n_pages, region, first_page };
    s->bytes = bytes;
    s->writable = g_new0(uint64_t, slot_words(s));
    s->locks = g_new0(pthread_mutex_t, slot_words(s));
    for (uint64_t i = 0; i < slot_words(s); i++) {
        pthread_mutex_init(&s->locks[i], NULL);
    }
    g_rw_lock_writer_unlock(&kvm->slots_lock);
    pthread_mutex_unlock(&kvm->list);
}

void fake_ring_remove_slot(FakeRing *kvm, uint32_t as_id, uint32_t slot,
                           bool reap)
{
    FakeSlot *s;

    pthread_mutex_lock(&kvm->list);
    g_rw_lock_writer_lock(&kvm->slots_lock);
    if (reap) {
        g_assert_cmpint(shmig_kvm_ring_reap_locked(kvm->tracker), ==, 0);
    }
    s = find_slot(kvm, as_id, slot);
    g_assert_nonnull(s);
    drop_slot(s);
    g_rw_lock_writer_unlock(&kvm->slots_lock);
    pthread_mutex_unlock(&kvm->list);
}

void fake_ring_hide_slot(FakeRing *kvm, uint32_t as_id, uint32_t slot)
{
    pthread_mutex_lock(&kvm->list);
    find_slot(kvm, as_id, slot)->hidden = true;
    pthread_mutex_unlock(&kvm->list);
}

static void push(FakeVcpu *vcpu, uint32_t n_entries, uint32_t slot,
                 uint64_t offset)
{
    struct shmig_kvm_dirty_gfn *entry =
        &vcpu->entries[vcpu->fill & (n_entries - 1)];

    entry->slot = slot;
    entry->offset = offset;
    __atomic_store_n(&entry->flags, SHMIG_KVM_GFN_DIRTY, __ATOMIC_RELEASE);
    vcpu->fill++;
}

/* A quarter is the reserve, as in a real ring of the smallest size. */
static bool is_full(const FakeRing *kvm, const FakeVcpu *vcpu)
{
    uint32_t used =
        vcpu->fill - __atomic_load_n(&vcpu->reset, __ATOMIC_ACQUIRE);

    return used >= kvm->n_entries - kvm->n_entries / 4;
}

static void store(FakeRing *kvm, FakeVcpu *vcpu, FakeSlot *s, uint64_t page,
                  uint64_t value)
{
    uint64_t in_slot = page - s->id.region_first_page;
    uint64_t word = in_slot / 64, bit = UINT64_C(1) << in_slot % 64;

    pthread_mutex_lock(&s->locks[word]);
    if (__atomic_load_n(&kvm->logging, __ATOMIC_RELAXED) &&
        !(s->writable[word] & bit)) {
        push(vcpu, kvm->n_entries, SHMIG_KVM_SLOT(s->id.as_id, s->id.slot),
             in_slot);
        s->writable[word] |= bit;
    }
    __atomic_store_n((uint64_t *)(s->bytes + (page << SHMIG_RAM_GRANULE_SHIFT)),
                     value, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&s->locks[word]);
}

bool fake_ring_write(FakeRing *kvm, unsigned vcpu, uint32_t as_id,
                     const ShmigRegion *region, uint64_t page, uint64_t value)
{
    FakeVcpu *v = &kvm->vcpus[vcpu];
    FakeSlot *s;

    if (!kvm->overrun && is_full(kvm, v)) {
        __atomic_fetch_add(&kvm->counts.fulls, 1, __ATOMIC_RELAXED);
        g_assert_cmpint(shmig_kvm_ring_full(kvm->tracker), ==, 0);
    }
    g_rw_lock_reader_lock(&kvm->slots_lock);
    s = find_page(kvm, as_id, region, page);
    if (s) {
        store(kvm, v, s, page, value);
    }
    g_rw_lock_reader_unlock(&kvm->slots_lock);
    return s != NULL;
}

bool fake_ring_writable(FakeRing *kvm, uint32_t as_id,
                        const ShmigRegion *region, uint64_t page)
{
    FakeSlot *s;
    bool writable = false;

    g_rw_lock_reader_lock(&kvm->slots_lock);
    s = find_page(kvm, as_id, region, page);
    if (s) {
        uint64_t in_slot = page - s->id.region_first_page;

        pthread_mutex_lock(&s->locks[in_slot / 64]);
        writable = s->writable[in_slot / 64] >> in_slot % 64 & 1;
        pthread_mutex_unlock(&s->locks[in_slot / 64]);
    }
    g_rw_lock_reader_unlock(&kvm->slots_lock);
    return writable;
}

/* The list's lock is held: slots are as they are. */
static void protect(FakeRing *kvm, const struct shmig_kvm_dirty_gfn *entry)
{
    FakeSlot *s = find_slot(kvm, entry->slot >> 16, entry->slot & 0xffff);

    if (s && entry->offset < s->id.n_pages) {
        uint64_t word = entry->offset / 64;

        pthread_mutex_lock(&s->locks[word]);
        s->writable[word] &= ~(UINT64_C(1) << entry->offset % 64);
        pthread_mutex_unlock(&s->locks[word]);
    }
}

static int reset_ring(FakeRing *kvm, FakeVcpu *vcpu, unsigned most)
{
    unsigned n = 0;

    for (; n < most; n++) {
        struct shmig_kvm_dirty_gfn *entry =
            &vcpu->entries[vcpu->reset & (kvm->n_entries - 1)];

        if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) &
              SHMIG_KVM_GFN_RESET)) {
            break;
        }
        protect(kvm, entry);
        __atomic_store_n(&entry->flags, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&vcpu->reset, vcpu->reset + 1, __ATOMIC_RELEASE);
    }
    return n;
}

static int fake_vm_ioctl(void *opaque, unsigned long request, void *arg)
{
    FakeRing *kvm = opaque;
    unsigned n = 0, most = kvm->cut ? kvm->cut : UINT_MAX;
    unsigned count;
    int fail = kvm->fail;

    g_assert_cmpuint(request, ==, SHMIG_KVM_RESET_RINGS);
    if (kvm->on_reset) {
        kvm->on_reset(kvm->opaque);
    }
    count = __atomic_fetch_add(&kvm->counts.resets, 1, __ATOMIC_RELAXED);
    kvm->fail = 0;
    if (fail) {
        return -fail;
    }
    if (kvm->idle || (kvm->cut && count % 2)) {
        return 0;
    }
    for (unsigned i = 0; i < FAKE_RING_VCPUS; i++) {
        n += reset_ring(kvm, &kvm->vcpus[i], most - n);
    }
    return n;
}

static void fake_lock(void *opaque)
{
    FakeRing *kvm = opaque;

    pthread_mutex_lock(&kvm->list);
}

static void fake_unlock(void *opaque)
{
    FakeRing *kvm = opaque;

    pthread_mutex_unlock(&kvm->list);
}

static bool fake_find_slot(void *opaque, uint32_t as_id, uint32_t slot,
                           ShmigKvmSlot *found)
{
    FakeSlot *s = find_slot(opaque, as_id, slot);

    if (s && !s->hidden) {
        *found = s->id;
    }
    return s && !s->hidden;
}

static int fake_foreach_ring(void *opaque, ShmigKvmRingFunc *func,
                             void *func_opaque)
{
    FakeRing *kvm = opaque;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < FAKE_RING_VCPUS; i++) {
        ShmigKvmRing ring = {
            .entries = kvm->vcpus[i].entries,
            .n_entries = kvm->n_entries,
            .next = &kvm->vcpus[i].next,
        };

        ret = func(func_opaque, &ring);
    }
    return ret;
}

static void fake_stray(void *opaque, uint32_t as_id, uint32_t slot,
                       uint64_t page)
{
    FakeRing *kvm = opaque;

    __atomic_fetch_add(&kvm->counts.strays, 1, __ATOMIC_RELAXED);
}

static void fake_flush(void *opaque)
{
    FakeRing *kvm = opaque;

    __atomic_fetch_add(&kvm->counts.flushes, 1, __ATOMIC_RELAXED);
}

/* Switching the log on protects all pages. */
static void set_log(FakeRing *kvm, bool on)
{
    pthread_mutex_lock(&kvm->list);
    g_rw_lock_writer_lock(&kvm->slots_lock);
    __atomic_store_n(&kvm->logging, on, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < MAX_SLOTS; i++) {
        if (kvm->slots[i].bytes) {
            memset(kvm->slots[i].writable, 0, slot_words(&kvm->slots[i]) * 8);
        }
    }
    g_rw_lock_writer_unlock(&kvm->slots_lock);
    pthread_mutex_unlock(&kvm->list);
}

static bool fake_start(void *opaque, GError **errp)
{
    set_log(opaque, true);
    return true;
}

static void fake_stop(void *opaque)
{
    set_log(opaque, false);
}

const ShmigKvmRingOps fake_ring_ops = {
    .lock = fake_lock,
    .unlock = fake_unlock,
    .find_slot = fake_find_slot,
    .foreach_ring = fake_foreach_ring,
    .stray = fake_stray,
    .vm_ioctl = fake_vm_ioctl,
    .flush = fake_flush,
    .start = fake_start,
    .stop = fake_stop,
};

void fake_ring_fail(FakeRing *kvm, int error)
{
    fake_lock(kvm);
    kvm->fail = error;
    fake_unlock(kvm);
}

void fake_ring_cut_resets(FakeRing *kvm, unsigned entries)
{
    fake_lock(kvm);
    kvm->cut = entries;
    fake_unlock(kvm);
}

void fake_ring_no_resets(FakeRing *kvm)
{
    fake_lock(kvm);
    kvm->idle = true;
    fake_unlock(kvm);
}

void fake_ring_overrun(FakeRing *kvm)
{
    fake_lock(kvm);
    kvm->overrun = true;
    fake_unlock(kvm);
}

void fake_ring_on_reset(FakeRing *kvm, FakeRingFunc *func, void *opaque)
{
    fake_lock(kvm);
    kvm->on_reset = func;
    kvm->opaque = opaque;
    fake_unlock(kvm);
}

FakeRingCounts fake_ring_counts(FakeRing *kvm)
{
    return (FakeRingCounts) {
        __atomic_load_n(&kvm->counts.resets, __ATOMIC_RELAXED),
        __atomic_load_n(&kvm->counts.fulls, __ATOMIC_RELAXED),
        __atomic_load_n(&kvm->counts.strays, __ATOMIC_RELAXED),
        __atomic_load_n(&kvm->counts.flushes, __ATOMIC_RELAXED),
    };
}
