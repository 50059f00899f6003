/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's dirty log in software.
 *
 * Locks, in the order they are taken: list (slots come and go, held while
 * they are enumerated), slots (read: a slot is used; write: it changes), the
 * lock of 64 pages (their bits, and the store to a page with the look at its
 * protection).
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fake-kvm.h"
#include "kvm-dirty-log.h"

#define MAX_SLOTS 16

typedef struct FakeSlot {
    ShmigKvmSlot id;
    uint8_t *bytes; /* of the region; NULL: slot is not used */
    bool logging;
    uint64_t *dirty;
    uint64_t *writable;
    pthread_mutex_t *locks; /* one a word */
} FakeSlot;

struct FakeKvm {
    unsigned manual_protect;
    FakeKvmFunc *on_ioctl;
    void *opaque;

    pthread_mutex_t list;
    GRWLock slots_lock;
    FakeSlot slots[MAX_SLOTS];
    bool logging;

    /* Atomic: GET and CLEAR. */
    unsigned calls[2];
    int fail[2];
};

static uint64_t slot_words(const FakeSlot *slot)
{
    return (slot->id.n_pages - 1) / 64 + 1;
}

static void set_log(FakeKvm *kvm, FakeSlot *slot, bool on)
{
    uint64_t n = slot_words(slot);
    bool all = on && (kvm->manual_protect & SHMIG_KVM_MANUAL_INITIALLY_SET);

    slot->logging = on;
    memset(slot->dirty, all ? 0xff : 0, n * 8);
    memset(slot->writable, all ? 0xff : 0, n * 8);
    if (all && slot->id.n_pages % 64) {
        slot->dirty[n - 1] = (UINT64_C(1) << slot->id.n_pages % 64) - 1;
    }
}

void fake_kvm_log(FakeKvm *kvm, bool on)
{
    pthread_mutex_lock(&kvm->list);
    g_rw_lock_writer_lock(&kvm->slots_lock);
    kvm->logging = on;
    for (unsigned i = 0; i < MAX_SLOTS; i++) {
        if (kvm->slots[i].bytes) {
            set_log(kvm, &kvm->slots[i], on);
        }
    }
    g_rw_lock_writer_unlock(&kvm->slots_lock);
    pthread_mutex_unlock(&kvm->list);
}

FakeKvm *fake_kvm_new(unsigned manual_protect)
{
    FakeKvm *kvm = g_new0(FakeKvm, 1);

    kvm->manual_protect = manual_protect;
    pthread_mutex_init(&kvm->list, NULL);
    g_rw_lock_init(&kvm->slots_lock);
    return kvm;
}

static void drop_slot(FakeSlot *slot)
{
    for (uint64_t i = 0; i < slot_words(slot); i++) {
        pthread_mutex_destroy(&slot->locks[i]);
    }
    g_free(slot->dirty);
    g_free(slot->writable);
    g_free(slot->locks);
    memset(slot, 0, sizeof(*slot));
}

void fake_kvm_free(FakeKvm *kvm)
{
    for (unsigned i = 0; i < MAX_SLOTS; i++) {
        if (kvm->slots[i].bytes) {
            drop_slot(&kvm->slots[i]);
        }
    }
    g_rw_lock_clear(&kvm->slots_lock);
    pthread_mutex_destroy(&kvm->list);
    g_free(kvm);
}

/* Any lock of the slots is held.  NULL if there is no such slot. */
static FakeSlot *find_slot(FakeKvm *kvm, uint32_t as_id, uint32_t slot)
{
    for (unsigned i = 0; i < MAX_SLOTS; i++) {
        FakeSlot *s = &kvm->slots[i];

        if (s->bytes && s->id.as_id == as_id && s->id.slot == slot) {
            return s;
        }
    }
    return NULL;
}

static FakeSlot *find_page(FakeKvm *kvm, uint32_t as_id,
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

void fake_kvm_add_slot(FakeKvm *kvm, uint32_t as_id, uint32_t slot,
                       ShmigRegion *region, uint8_t *bytes, uint64_t first_page,
                       uint64_t n_pages)
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
    s->dirty = g_new0(uint64_t, slot_words(s));
    s->writable = g_new0(uint64_t, slot_words(s));
    s->locks = g_new0(pthread_mutex_t, slot_words(s));
    for (uint64_t i = 0; i < slot_words(s); i++) {
        pthread_mutex_init(&s->locks[i], NULL);
    }
    set_log(kvm, s, kvm->logging);
    g_rw_lock_writer_unlock(&kvm->slots_lock);
    pthread_mutex_unlock(&kvm->list);
}

void fake_kvm_remove_slot(FakeKvm *kvm, uint32_t as_id, uint32_t slot,
                          ShmigTracker *extra)
{
    FakeSlot *s;

    pthread_mutex_lock(&kvm->list);
    g_rw_lock_writer_lock(&kvm->slots_lock);
    s = find_slot(kvm, as_id, slot);
    g_assert_nonnull(s);
    for (uint64_t p = 0; extra && p < s->id.n_pages; p++) {
        if (s->dirty[p / 64] >> p % 64 & 1) {
            shmig_generic_mark(extra, s->id.region, s->id.region_first_page + p,
                               1);
        }
    }
    drop_slot(s);
    g_rw_lock_writer_unlock(&kvm->slots_lock);
    pthread_mutex_unlock(&kvm->list);
}

bool fake_kvm_write(FakeKvm *kvm, uint32_t as_id, const ShmigRegion *region,
                    uint64_t page, uint64_t value)
{
    FakeSlot *s;

    g_rw_lock_reader_lock(&kvm->slots_lock);
    s = find_page(kvm, as_id, region, page);
    if (s) {
        uint64_t in_slot = page - s->id.region_first_page;
        uint64_t word = in_slot / 64, bit = UINT64_C(1) << in_slot % 64;

        pthread_mutex_lock(&s->locks[word]);
        if (s->logging && !(s->writable[word] & bit)) {
            s->dirty[word] |= bit;
            s->writable[word] |= bit;
        }
        __atomic_store_n(
            (uint64_t *)(s->bytes + (page << SHMIG_RAM_GRANULE_SHIFT)), value,
            __ATOMIC_RELAXED);
        pthread_mutex_unlock(&s->locks[word]);
    }
    g_rw_lock_reader_unlock(&kvm->slots_lock);
    return s != NULL;
}

bool fake_kvm_dirty(FakeKvm *kvm, uint32_t as_id, const ShmigRegion *region,
                    uint64_t page)
{
    FakeSlot *s;
    bool dirty = false;

    g_rw_lock_reader_lock(&kvm->slots_lock);
    s = find_page(kvm, as_id, region, page);
    if (s) {
        uint64_t in_slot = page - s->id.region_first_page;

        pthread_mutex_lock(&s->locks[in_slot / 64]);
        dirty = s->dirty[in_slot / 64] >> in_slot % 64 & 1;
        pthread_mutex_unlock(&s->locks[in_slot / 64]);
    }
    g_rw_lock_reader_unlock(&kvm->slots_lock);
    return dirty;
}

static int get_log(FakeKvm *kvm, struct shmig_kvm_dirty_log *log)
{
    FakeSlot *s = find_slot(kvm, log->slot >> 16, log->slot & 0xffff);
    uint64_t *out = log->bitmap;

    if (!s || !s->logging) {
        return -ENOENT;
    }
    for (uint64_t i = 0; i < slot_words(s); i++) {
        pthread_mutex_lock(&s->locks[i]);
        out[i] = GUINT64_TO_LE(s->dirty[i]);
        if (!(kvm->manual_protect & SHMIG_KVM_MANUAL_PROTECT_ENABLE)) {
            s->writable[i] &= ~s->dirty[i];
            s->dirty[i] = 0;
        }
        pthread_mutex_unlock(&s->locks[i]);
    }
    return 0;
}

static int clear_log(FakeKvm *kvm, struct shmig_kvm_clear_dirty_log *log)
{
    FakeSlot *s = find_slot(kvm, log->slot >> 16, log->slot & 0xffff);
    const uint64_t *mask = log->bitmap;
    uint64_t first = log->first_page, n = log->num_pages;

    if (!(kvm->manual_protect & SHMIG_KVM_MANUAL_PROTECT_ENABLE)) {
        return -ENXIO;
    }
    if (!s || !s->logging) {
        return -ENOENT;
    }
    if (first % 64 || first > s->id.n_pages || n > s->id.n_pages - first ||
        (n % 64 && first + n != s->id.n_pages)) {
        return -EINVAL;
    }
    for (uint64_t i = 0; i < (n + 63) / 64; i++) {
        uint64_t word = first / 64 + i;
        uint64_t gone;

        pthread_mutex_lock(&s->locks[word]);
        gone = s->dirty[word] & GUINT64_FROM_LE(mask[i]);
        s->dirty[word] &= ~gone;
        s->writable[word] &= ~gone;
        pthread_mutex_unlock(&s->locks[word]);
    }
    return 0;
}

static int request_index(unsigned long request)
{
    g_assert_true(request == SHMIG_KVM_GET_DIRTY_LOG ||
                  request == SHMIG_KVM_CLEAR_DIRTY_LOG);
    return request == SHMIG_KVM_CLEAR_DIRTY_LOG;
}

static int fake_vm_ioctl(void *opaque, unsigned long request, void *arg)
{
    FakeKvm *kvm = opaque;
    int i = request_index(request);
    int ret;

    if (kvm->on_ioctl) {
        kvm->on_ioctl(kvm->opaque, request);
    }
    __atomic_fetch_add(&kvm->calls[i], 1, __ATOMIC_RELAXED);
    ret = -__atomic_exchange_n(&kvm->fail[i], 0, __ATOMIC_RELAXED);
    if (ret == 0) {
        g_rw_lock_reader_lock(&kvm->slots_lock);
        ret = i ? clear_log(kvm, arg) : get_log(kvm, arg);
        g_rw_lock_reader_unlock(&kvm->slots_lock);
    }
    return ret;
}

static int fake_foreach_slot(void *opaque, ShmigKvmSlotFunc *func,
                             void *func_opaque)
{
    FakeKvm *kvm = opaque;
    int ret = 0;

    pthread_mutex_lock(&kvm->list);
    for (unsigned i = 0; ret == 0 && i < MAX_SLOTS; i++) {
        if (kvm->slots[i].bytes) {
            ret = func(func_opaque, &kvm->slots[i].id);
        }
    }
    pthread_mutex_unlock(&kvm->list);
    return ret;
}

static bool fake_start(void *opaque, GError **errp)
{
    fake_kvm_log(opaque, true);
    return true;
}

static void fake_stop(void *opaque)
{
    fake_kvm_log(opaque, false);
}

const ShmigKvmOps fake_kvm_ops = {
    .foreach_slot = fake_foreach_slot,
    .vm_ioctl = fake_vm_ioctl,
    .start = fake_start,
    .stop = fake_stop,
};

void fake_kvm_fail(FakeKvm *kvm, unsigned long request, int error)
{
    __atomic_store_n(&kvm->fail[request_index(request)], error,
                     __ATOMIC_RELAXED);
}

unsigned fake_kvm_calls(FakeKvm *kvm, unsigned long request)
{
    return __atomic_load_n(&kvm->calls[request_index(request)],
                           __ATOMIC_RELAXED);
}

void fake_kvm_on_ioctl(FakeKvm *kvm, FakeKvmFunc *func, void *opaque)
{
    kvm->opaque = opaque;
    kvm->on_ioctl = func;
}
