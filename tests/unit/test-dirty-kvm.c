/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conformance test on the real kernel: vCPUs write, slots are removed
 * and made again under them, and the kvm-bitmap tracker follows.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include <glib.h>

#include "dirty-conformance.h"
#include "kvm-dirty-log.h"
#include "shmig/base/error.h"
#include "shmig/dirty/chunks.h"
#include "shmig/dirty/generic.h"
#include "shmig/dirty/kvm-bitmap.h"
#include "tiny-vm.h"

#define CHUNK SHMIG_CHUNK_PAGES
#define EDGE (CHUNK + 192) /* where the second slot begins */
#define BIG_PAGES (2 * CHUNK + 37)
#define SMALL_PAGES 131
#define BOTH (SHMIG_KVM_MANUAL_PROTECT_ENABLE | SHMIG_KVM_MANUAL_INITIALLY_SET)
#define SMALL_GPA (512u << 20)
#define N_SLOTS 3
#define PASSES 60
#define WRITES_ENOUGH 50000

typedef struct Slot {
    ShmigKvmSlot id;
    uint64_t gpa;
    uint8_t *bytes;
    bool there;
} Slot;

typedef struct Machine {
    ShmigRegion *regions[2];
    uint8_t *bytes[2];
    TinyVm *vm;
    ShmigTracker *extra;
    ShmigTracker *tracker;

    /* Held while slots are enumerated, and while they change. */
    pthread_mutex_t lock;
    Slot slots[N_SLOTS];
    uint32_t flags;
} Machine;

static void set_slot(Machine *m, Slot *slot, bool there)
{
    slot->there = there;
    tiny_vm_set_slot(m->vm, slot->id.slot, slot->gpa, slot->bytes,
                     there ? slot->id.n_pages * 4096 : 0, m->flags);
}

static int foreach_slot(void *opaque, ShmigKvmSlotFunc *func, void *func_opaque)
{
    Machine *m = opaque;
    int ret = 0;

    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; ret == 0 && i < N_SLOTS; i++) {
        if (m->slots[i].there) {
            ret = func(func_opaque, &m->slots[i].id);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return ret;
}

static int vm_ioctl(void *opaque, unsigned long request, void *arg)
{
    Machine *m = opaque;

    return tiny_vm_ioctl(m->vm, request, arg);
}

static void set_log(Machine *m, uint32_t flags)
{
    pthread_mutex_lock(&m->lock);
    m->flags = flags;
    for (unsigned i = 0; i < N_SLOTS; i++) {
        if (m->slots[i].there) {
            set_slot(m, &m->slots[i], true);
        }
    }
    pthread_mutex_unlock(&m->lock);
}

static bool start_log(void *opaque, GError **errp)
{
    set_log(opaque, SHMIG_KVM_MEM_LOG_DIRTY_PAGES);
    return true;
}

static void stop_log(void *opaque)
{
    set_log(opaque, 0);
}

static const ShmigKvmOps ops = {
    .foreach_slot = foreach_slot,
    .vm_ioctl = vm_ioctl,
    .start = start_log,
    .stop = stop_log,
};

/* What a slot logged goes with it: no vCPU runs between here and there. */
static void save_log(Machine *m, Slot *slot)
{
    uint64_t words = (slot->id.n_pages - 1) / 64 + 1;
    g_autofree uint64_t *bits = g_new0(uint64_t, words);
    struct shmig_kvm_dirty_log log = {
        .slot = slot->id.slot,
        .bitmap = bits,
    };

    g_assert_cmpint(vm_ioctl(m, SHMIG_KVM_GET_DIRTY_LOG, &log), ==, 0);
    for (uint64_t p = 0; p < slot->id.n_pages; p++) {
        if (bits[p / 64] >> p % 64 & 1) {
            shmig_generic_mark(m->extra, slot->id.region,
                               slot->id.region_first_page + p, 1);
        }
    }
}

static void remove_slot(Machine *m, Slot *slot)
{
    tiny_vm_pause(m->vm);
    pthread_mutex_lock(&m->lock);
    save_log(m, slot);
    set_slot(m, slot, false);
    pthread_mutex_unlock(&m->lock);
    tiny_vm_resume(m->vm);
}

/* Now and then a slot goes; it comes back a pass or two later. */
static void churn(void *opaque, unsigned pass)
{
    Machine *m = opaque;
    Slot *slot = &m->slots[pass / 10 % N_SLOTS];

    if (pass % 10 == 3 && slot->there) {
        remove_slot(m, slot);
    } else if (pass % 10 == 4 + pass % 2 && !slot->there) {
        pthread_mutex_lock(&m->lock);
        set_slot(m, slot, true);
        pthread_mutex_unlock(&m->lock);
    }
}

static void run_machine(void *opaque)
{
    Machine *m = opaque;

    tiny_vm_run(m->vm);
}

static bool enough(void *opaque)
{
    Machine *m = opaque;

    return tiny_vm_writes(m->vm) >= WRITES_ENOUGH ||
           tiny_vm_bad_exit(m->vm) != 0;
}

static void halt_machine(void *opaque)
{
    Machine *m = opaque;

    tiny_vm_halt(m->vm);
}

static void add_slot(Machine *m, unsigned i, unsigned r, uint64_t first,
                     uint64_t n, uint64_t gpa)
{
    m->slots[i] = (Slot) {
        .id = { 0, i + 1, n, m->regions[r], first },
        .gpa = gpa + first * 4096,
        .bytes = m->bytes[r] + first * 4096,
    };
    set_slot(m, &m->slots[i], true);
}

static void make_machine(Machine *m, unsigned manual_protect)
{
    static const uint64_t pages[2] = { BIG_PAGES, SMALL_PAGES };

    pthread_mutex_init(&m->lock, NULL);
    for (unsigned r = 0; r < 2; r++) {
        m->regions[r] =
            shmig_region_new(r + 1, SHMIG_REGION_RAM, pages[r] * 4096);
        m->bytes[r] = mmap(NULL, pages[r] * 4096, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(m->bytes[r] != MAP_FAILED);
    }
    add_slot(m, 0, 0, 0, EDGE, TINY_VM_FIRST_GPA);
    add_slot(m, 1, 0, EDGE, BIG_PAGES - EDGE, TINY_VM_FIRST_GPA);
    add_slot(m, 2, 1, 0, SMALL_PAGES, SMALL_GPA);
    m->extra = shmig_generic_new(NULL, NULL, m->regions, 2);
    m->tracker =
        shmig_kvm_bitmap_new(&ops, m, m->regions, 2, manual_protect, m->extra);
}

static void free_machine(Machine *m)
{
    m->tracker->ops->free(m->tracker);
    for (unsigned r = 0; r < 2; r++) {
        munmap(m->bytes[r], m->regions[r]->n_granules * 4096);
        shmig_region_free(m->regions[r]);
    }
    tiny_vm_free(m->vm);
    pthread_mutex_destroy(&m->lock);
}

static void test_conformance(gconstpointer opaque)
{
    unsigned manual_protect = GPOINTER_TO_UINT(opaque);
    g_autofree char *missing = NULL;
    Machine m = { .vm = tiny_vm_new(manual_protect, 3, &missing) };
    DirtyWorld world = {
        .regions = m.regions,
        .bytes = m.bytes,
        .n_regions = 2,
        .run = run_machine,
        .enough = enough,
        .halt = halt_machine,
        .churn = churn,
        .opaque = &m,
    };

    if (!m.vm) {
        g_autofree char *why = g_strdup_printf("missing: %s", missing);

        g_test_skip(why);
        return;
    }
    make_machine(&m, manual_protect);
    world.tracker = m.tracker;
    tiny_vm_set_writer(m.vm, 0, TINY_VM_FIRST_GPA, BIG_PAGES);
    tiny_vm_set_writer(m.vm, 1, TINY_VM_FIRST_GPA + (EDGE - 20) * 4096, 40);
    tiny_vm_set_writer(m.vm, 2, SMALL_GPA, SMALL_PAGES);

    dirty_conformance(&world, 2, PASSES);
    g_assert_cmpuint(tiny_vm_bad_exit(m.vm), ==, 0);
    g_assert_cmpuint(tiny_vm_writes(m.vm), >=, WRITES_ENOUGH);
    g_test_message("%" G_GUINT64_FORMAT " pages written, %" G_GUINT64_FORMAT
                   " times without a slot",
                   tiny_vm_writes(m.vm), tiny_vm_misses(m.vm));
    free_machine(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/dirty/kvm/conformance", GUINT_TO_POINTER(BOTH),
                         test_conformance);
    g_test_add_data_func("/dirty/kvm/conformance-not-initially-set",
                         GUINT_TO_POINTER(SHMIG_KVM_MANUAL_PROTECT_ENABLE),
                         test_conformance);
    g_test_add_data_func("/dirty/kvm/conformance-no-manual-protect",
                         GUINT_TO_POINTER(0), test_conformance);
    return g_test_run();
}
