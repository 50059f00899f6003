/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trackers' conformance test on a guest in software: writers that race
 * with harvests, with copying channels and with slots that come and go.
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "dirty-conformance.h"
#include "fake-kvm.h"
#include "fake-ring.h"
#include "kvm-dirty-log.h"
#include "shmig/dirty/chunks.h"
#include "shmig/dirty/generic.h"

#define CHUNK SHMIG_CHUNK_PAGES
#define BIG_PAGES (2 * CHUNK + 37)
#define SMALL_PAGES 131
#define BOTH (SHMIG_KVM_MANUAL_PROTECT_ENABLE | SHMIG_KVM_MANUAL_INITIALLY_SET)
#define N_WRITERS 2
#define WRITES_ENOUGH 100000
#define PASSES 40
#define CHANNELS 2

typedef struct Guest {
    ShmigRegion *regions[2];
    uint8_t *bytes[2];
    FakeKvm *kvm;
    FakeRing *ring;      /* instead of kvm */
    ShmigTracker *extra; /* NULL: writes are reported by the writers */
    ShmigTracker *tracker;
    unsigned address_spaces;
    unsigned last_slot; /* 0: it is away */

    GThread *writers[N_WRITERS];

    /* Atomic. */
    bool stop;
    uint64_t writes;
    unsigned next_writer;
} Guest;

/*
 * What QEMU does under KVM: its own bitmap is filled by GET; arming clears
 * in the kernel what the last GET had shown.
 */
typedef struct SoftLog {
    Guest *guest;
    pthread_mutex_t lock;
    uint64_t *shown[2]; /* by the last GET, not armed since */
    uint64_t *log[2];   /* not collected */
} SoftLog;

static uint64_t region_words(const ShmigRegion *region)
{
    return (region->n_granules - 1) / 64 + 1;
}

static int soft_get(void *opaque, const ShmigKvmSlot *slot)
{
    SoftLog *soft = opaque;
    unsigned r = slot->region == soft->guest->regions[1];
    uint64_t words = (slot->n_pages - 1) / 64 + 1;
    uint64_t at = slot->region_first_page / 64;
    g_autofree uint64_t *bits = g_new0(uint64_t, words);
    struct shmig_kvm_dirty_log log = {
        .slot = SHMIG_KVM_SLOT(slot->as_id, slot->slot),
        .bitmap = bits,
    };
    int ret =
        fake_kvm_ops.vm_ioctl(soft->guest->kvm, SHMIG_KVM_GET_DIRTY_LOG, &log);

    for (uint64_t i = 0; ret == 0 && i < words; i++) {
        soft->shown[r][at + i] |= GUINT64_FROM_LE(bits[i]);
        soft->log[r][at + i] |= GUINT64_FROM_LE(bits[i]);
    }
    return ret;
}

static int soft_sync(void *opaque, bool last)
{
    SoftLog *soft = opaque;
    int ret;

    pthread_mutex_lock(&soft->lock);
    ret = fake_kvm_ops.foreach_slot(soft->guest->kvm, soft_get, soft);
    pthread_mutex_unlock(&soft->lock);
    return ret;
}

static int soft_collect(void *opaque, ShmigRegion *region,
                        ShmigCollector *collector)
{
    SoftLog *soft = opaque;
    unsigned r = region == soft->guest->regions[1];
    uint64_t words = region_words(region);
    g_autofree uint64_t *bits = g_new(uint64_t, words);

    pthread_mutex_lock(&soft->lock);
    memcpy(bits, soft->log[r], words * 8);
    memset(soft->log[r], 0, words * 8);
    pthread_mutex_unlock(&soft->lock);
    shmig_collect_words(collector, 0, bits, words);
    return 0;
}

typedef struct SoftArm {
    SoftLog *soft;
    ShmigRegion *region;
    uint64_t first, end;
} SoftArm;

static int soft_arm_slot(void *opaque, const ShmigKvmSlot *slot)
{
    SoftArm *arm = opaque;
    unsigned r = slot->region == arm->soft->guest->regions[1];
    uint64_t first = MAX(arm->first, slot->region_first_page);
    uint64_t end = MIN(arm->end, slot->region_first_page + slot->n_pages);
    struct shmig_kvm_clear_dirty_log log = {
        .slot = SHMIG_KVM_SLOT(slot->as_id, slot->slot),
        .first_page = first - slot->region_first_page,
        .num_pages = end - first,
        .bitmap = arm->soft->shown[r] + first / 64,
    };
    int ret;

    if (slot->region != arm->region || first >= end) {
        return 0;
    }
    ret = fake_kvm_ops.vm_ioctl(arm->soft->guest->kvm,
                                SHMIG_KVM_CLEAR_DIRTY_LOG, &log);
    memset(log.bitmap, 0, ((end - first - 1) / 64 + 1) * 8);
    return ret;
}

static int soft_arm(void *opaque, ShmigRegion *region, uint64_t first,
                    uint64_t n)
{
    SoftArm arm = { opaque, region, first, first + n };
    int ret;

    pthread_mutex_lock(&arm.soft->lock);
    ret = fake_kvm_ops.foreach_slot(arm.soft->guest->kvm, soft_arm_slot, &arm);
    pthread_mutex_unlock(&arm.soft->lock);
    return ret;
}

static bool soft_start(void *opaque, GError **errp)
{
    SoftLog *soft = opaque;

    fake_kvm_log(soft->guest->kvm, true);
    return true;
}

static void soft_stop(void *opaque)
{
    SoftLog *soft = opaque;

    fake_kvm_log(soft->guest->kvm, false);
}

static void soft_free(void *opaque)
{
    SoftLog *soft = opaque;

    for (unsigned r = 0; r < 2; r++) {
        g_free(soft->shown[r]);
        g_free(soft->log[r]);
    }
    pthread_mutex_destroy(&soft->lock);
    g_free(soft);
}

static const ShmigGenericOps soft_ops = {
    .start = soft_start,
    .sync = soft_sync,
    .collect = soft_collect,
    .arm = soft_arm,
    .stop = soft_stop,
    .free = soft_free,
};

static ShmigTracker *soft_log_new(Guest *g)
{
    SoftLog *soft = g_new0(SoftLog, 1);

    soft->guest = g;
    pthread_mutex_init(&soft->lock, NULL);
    for (unsigned r = 0; r < 2; r++) {
        soft->shown[r] = g_new0(uint64_t, region_words(g->regions[r]));
        soft->log[r] = g_new0(uint64_t, region_words(g->regions[r]));
    }
    return shmig_generic_new(&soft_ops, soft, g->regions, 2);
}

/* Often around a place where chunks and slots end, else anywhere. */
static uint64_t pick_page(GRand *rand, uint64_t pages)
{
    uint64_t edge = g_rand_boolean(rand) ? CHUNK : CHUNK + 192;

    if (pages > CHUNK && g_rand_int_range(rand, 0, 4)) {
        return edge - 10 + g_rand_int_range(rand, 0, 20);
    }
    return g_rand_int_range(rand, 0, pages);
}

static bool guest_write(Guest *g, unsigned me, unsigned r, uint64_t page,
                        uint64_t value)
{
    uint32_t as_id = value / N_WRITERS % g->address_spaces;

    if (g->ring) {
        return fake_ring_write(g->ring, me, 0, g->regions[r], page, value);
    }
    return fake_kvm_write(g->kvm, as_id, g->regions[r], page, value);
}

static gpointer writer_thread(gpointer opaque)
{
    Guest *g = opaque;
    unsigned me = __atomic_fetch_add(&g->next_writer, 1, __ATOMIC_RELAXED);
    g_autoptr(GRand) rand = g_rand_new_with_seed(me);

    for (uint64_t i = 1; !__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE); i++) {
        unsigned r = g_rand_int_range(rand, 0, 8) == 0;
        uint64_t page = pick_page(rand, g->regions[r]->n_granules);

        if (guest_write(g, me, r, page, i * N_WRITERS + me) && !g->extra) {
            shmig_generic_mark(g->tracker, g->regions[r], page, 1);
        }
        __atomic_fetch_add(&g->writes, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void run_guest(void *opaque)
{
    Guest *g = opaque;

    for (unsigned i = 0; i < N_WRITERS; i++) {
        g->writers[i] = g_thread_new("writer", writer_thread, g);
    }
}

static bool enough(void *opaque)
{
    Guest *g = opaque;

    return __atomic_load_n(&g->writes, __ATOMIC_RELAXED) >= WRITES_ENOUGH;
}

static void halt_guest(void *opaque)
{
    Guest *g = opaque;

    __atomic_store_n(&g->stop, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < N_WRITERS; i++) {
        g_thread_join(g->writers[i]);
    }
}

static void add_slot(Guest *g, unsigned slot, unsigned r, uint64_t first,
                     uint64_t n)
{
    if (g->ring) {
        fake_ring_add_slot(g->ring, 0, slot, g->regions[r], g->bytes[r], first,
                           n);
    } else {
        fake_kvm_add_slot(g->kvm, 0, slot, g->regions[r], g->bytes[r], first,
                          n);
    }
}

static void add_last_slot(Guest *g, unsigned slot)
{
    g->last_slot = slot;
    add_slot(g, slot, 0, CHUNK + 192, BIG_PAGES - CHUNK - 192);
}

/* Every third pass the last slot goes, or comes back under another id. */
static void churn(void *opaque, unsigned pass)
{
    Guest *g = opaque;

    if (pass % 3) {
        return;
    }
    if (g->last_slot == 0) {
        add_last_slot(g, 2 + pass % 5);
    } else {
        if (g->ring) {
            fake_ring_remove_slot(g->ring, 0, g->last_slot, true);
        } else {
            fake_kvm_remove_slot(g->kvm, 0, g->last_slot, g->extra);
        }
        g->last_slot = 0;
    }
}

static void make_memory(Guest *g)
{
    static const uint64_t pages[2] = { BIG_PAGES, SMALL_PAGES };

    for (unsigned r = 0; r < 2; r++) {
        g->regions[r] =
            shmig_region_new(r + 1, SHMIG_REGION_RAM, pages[r] * 4096);
        g->bytes[r] = mmap(NULL, pages[r] * 4096, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(g->bytes[r] != MAP_FAILED);
    }
}

static void add_slots(Guest *g)
{
    add_slot(g, 0, 0, 0, CHUNK + 192);
    add_slot(g, 1, 1, 0, SMALL_PAGES);
    add_last_slot(g, 2);
}

static void make_guest(Guest *g, unsigned manual_protect, unsigned spaces)
{
    make_memory(g);
    g->kvm = fake_kvm_new(manual_protect);
    add_slots(g);
    g->address_spaces = spaces;
    if (spaces > 1) {
        fake_kvm_add_slot(g->kvm, 1, 0, g->regions[0], g->bytes[0], 0,
                          BIG_PAGES);
    }
}

static void conform(Guest *g, bool with_churn)
{
    DirtyWorld world = {
        .tracker = g->tracker,
        .regions = g->regions,
        .bytes = g->bytes,
        .n_regions = 2,
        .run = run_guest,
        .enough = enough,
        .halt = halt_guest,
        .churn = with_churn ? churn : NULL,
        .opaque = g,
    };

    dirty_conformance(&world, CHANNELS, PASSES);
    g->tracker->ops->free(g->tracker);
    if (g->ring) {
        fake_ring_free(g->ring);
    } else {
        fake_kvm_free(g->kvm);
    }
    for (unsigned r = 0; r < 2; r++) {
        munmap(g->bytes[r], g->regions[r]->n_granules * 4096);
        shmig_region_free(g->regions[r]);
    }
}

static void test_kvm_bitmap(gconstpointer opaque)
{
    unsigned manual_protect = GPOINTER_TO_UINT(opaque);
    Guest g = { 0 };

    make_guest(&g, manual_protect, 1);
    g.extra = shmig_generic_new(NULL, NULL, g.regions, 2);
    g.tracker = shmig_kvm_bitmap_new(&fake_kvm_ops, g.kvm, g.regions, 2,
                                     manual_protect, g.extra);
    conform(&g, true);
}

static void test_two_address_spaces(void)
{
    Guest g = { 0 };

    make_guest(&g, BOTH, 2);
    g.extra = shmig_generic_new(NULL, NULL, g.regions, 2);
    g.tracker =
        shmig_kvm_bitmap_new(&fake_kvm_ops, g.kvm, g.regions, 2, BOTH, g.extra);
    conform(&g, false);
}

/* So small that writers wait for room all the time, and one that is not. */
static void test_kvm_ring(gconstpointer entries)
{
    Guest g = { .address_spaces = 1 };

    make_memory(&g);
    g.ring = fake_ring_new(GPOINTER_TO_UINT(entries));
    add_slots(&g);
    g.extra = shmig_generic_new(NULL, NULL, g.regions, 2);
    g.tracker =
        shmig_kvm_ring_new(&fake_ring_ops, g.ring, g.regions, 2, g.extra);
    fake_ring_set_tracker(g.ring, g.tracker);
    fake_ring_cut_resets(g.ring, 5);
    conform(&g, true);
}

static void test_generic_marks(void)
{
    Guest g = { 0 };

    make_guest(&g, 0, 1);
    g.tracker = shmig_generic_new(NULL, NULL, g.regions, 2);
    conform(&g, false);
}

/* The log that has to be armed; nobody else reports writes. */
static void test_generic_log(void)
{
    Guest g = { 0 };

    make_guest(&g, BOTH, 1);
    g.extra = g.tracker = soft_log_new(&g);
    conform(&g, false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/dirty/conformance/kvm-bitmap",
                         GUINT_TO_POINTER(BOTH), test_kvm_bitmap);
    g_test_add_data_func("/dirty/conformance/kvm-bitmap-not-initially-set",
                         GUINT_TO_POINTER(SHMIG_KVM_MANUAL_PROTECT_ENABLE),
                         test_kvm_bitmap);
    g_test_add_data_func("/dirty/conformance/kvm-bitmap-no-manual-protect",
                         GUINT_TO_POINTER(0), test_kvm_bitmap);
    g_test_add_func("/dirty/conformance/kvm-bitmap-two-address-spaces",
                    test_two_address_spaces);
    g_test_add_data_func("/dirty/conformance/kvm-ring", GUINT_TO_POINTER(65536),
                         test_kvm_ring);
    g_test_add_data_func("/dirty/conformance/kvm-ring-overflows",
                         GUINT_TO_POINTER(16), test_kvm_ring);
    g_test_add_func("/dirty/conformance/generic-marks", test_generic_marks);
    g_test_add_func("/dirty/conformance/generic-log", test_generic_log);
    return g_test_run();
}
