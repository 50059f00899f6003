/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conformance test on the real kernel: vCPUs write, slots are removed
 * and made again under them, and each tracker follows.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include <glib.h>

#include "dirty-conformance.h"
#include "kvm-dirty-log.h"
#include "shmig/base/error.h"
#include "shmig/dirty/chunks.h"
#include "shmig/dirty/generic.h"
#include "shmig/dirty/kvm-bitmap.h"
#include "shmig/dirty/kvm-ring.h"
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
#define WAIT_S 20
#define SMALL_RING 1024 /* the least that every kernel takes */

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
    ShmigTracker *extra; /* who is told of a slot that goes */
    ShmigTracker *tracker;

    /* Held while slots are enumerated, and while they change. */
    pthread_mutex_t lock;
    Slot slots[N_SLOTS];
    uint32_t flags;
} Machine;

typedef struct Kind {
    const char *path;
    TinyVmOptions vm;
    ShmigTracker *(*make)(Machine *m, const TinyVmOptions *vm);

    /* What the slot logged, before it goes.  No vCPU runs; locked. */
    void (*save)(Machine *m, Slot *slot);
} Kind;

static void set_slot(Machine *m, Slot *slot, bool there)
{
    slot->there = there;
    tiny_vm_set_slot(m->vm, slot->id.slot, slot->gpa, slot->bytes,
                     there ? slot->id.n_pages * 4096 : 0, m->flags);
}

static void lock(void *opaque)
{
    Machine *m = opaque;

    pthread_mutex_lock(&m->lock);
}

static void unlock(void *opaque)
{
    Machine *m = opaque;

    pthread_mutex_unlock(&m->lock);
}

static int foreach_slot(void *opaque, ShmigKvmSlotFunc *func, void *func_opaque)
{
    Machine *m = opaque;
    int ret = 0;

    lock(m);
    for (unsigned i = 0; ret == 0 && i < N_SLOTS; i++) {
        if (m->slots[i].there) {
            ret = func(func_opaque, &m->slots[i].id);
        }
    }
    unlock(m);
    return ret;
}

static int vm_ioctl(void *opaque, unsigned long request, void *arg)
{
    Machine *m = opaque;

    return tiny_vm_ioctl(m->vm, request, arg);
}

static void set_log(Machine *m, uint32_t flags)
{
    lock(m);
    m->flags = flags;
    for (unsigned i = 0; i < N_SLOTS; i++) {
        if (m->slots[i].there) {
            set_slot(m, &m->slots[i], true);
        }
    }
    unlock(m);
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

static const ShmigKvmOps bitmap_ops = {
    .foreach_slot = foreach_slot,
    .vm_ioctl = vm_ioctl,
    .start = start_log,
    .stop = stop_log,
};

static ShmigTracker *make_bitmap(Machine *m, const TinyVmOptions *vm)
{
    m->extra = shmig_generic_new(NULL, NULL, m->regions, 2);
    return shmig_kvm_bitmap_new(&bitmap_ops, m, m->regions, 2,
                                vm->manual_protect, m->extra);
}

static void save_bitmap(Machine *m, Slot *slot)
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

static bool find_slot(void *opaque, uint32_t as_id, uint32_t slot,
                      ShmigKvmSlot *found)
{
    Machine *m = opaque;
    bool ours = as_id == 0 && slot >= 1 && slot <= N_SLOTS;

    g_assert_true(ours && m->slots[slot - 1].there);
    *found = m->slots[slot - 1].id;
    return true;
}

static int foreach_ring(void *opaque, ShmigKvmRingFunc *func, void *func_opaque)
{
    Machine *m = opaque;

    return tiny_vm_foreach_ring(m->vm, func, func_opaque);
}

static void flush(void *opaque)
{
    Machine *m = opaque;

    tiny_vm_flush(m->vm);
}

static int ring_full(void *opaque)
{
    Machine *m = opaque;

    return shmig_kvm_ring_full(m->tracker);
}

static const ShmigKvmRingOps ring_ops = {
    .lock = lock,
    .unlock = unlock,
    .find_slot = find_slot,
    .foreach_ring = foreach_ring,
    .vm_ioctl = vm_ioctl,
    .flush = flush,
    .start = start_log,
    .stop = stop_log,
};

static ShmigTracker *make_ring(Machine *m, const TinyVmOptions *vm)
{
    tiny_vm_on_ring_full(m->vm, ring_full, m);
    m->extra = shmig_generic_new(NULL, NULL, m->regions, 2);
    return shmig_kvm_ring_new(&ring_ops, m, m->regions, 2, m->extra);
}

static void save_ring(Machine *m, Slot *slot)
{
    g_assert_cmpint(shmig_kvm_ring_reap_locked(m->tracker), ==, 0);
}

/*
 * The generic tracker reads a log that somebody else keeps: here, what GET
 * without manual protection has returned, slot after slot.
 */
typedef struct OwnLog {
    Machine *machine;
    uint64_t *bits[2];
} OwnLog;

static int own_log_get(void *opaque, const ShmigKvmSlot *slot)
{
    OwnLog *own = opaque;
    Machine *m = own->machine;
    uint64_t *to = own->bits[slot->region == m->regions[1]];
    uint64_t words = (slot->n_pages - 1) / 64 + 1;
    g_autofree uint64_t *bits = g_new0(uint64_t, words);
    struct shmig_kvm_dirty_log log = { .slot = slot->slot, .bitmap = bits };
    int ret = vm_ioctl(m, SHMIG_KVM_GET_DIRTY_LOG, &log);

    for (uint64_t i = 0; ret == 0 && i < words; i++) {
        to[slot->region_first_page / 64 + i] |= bits[i];
    }
    return ret;
}

static int own_log_sync(void *opaque, bool last)
{
    OwnLog *own = opaque;

    return foreach_slot(own->machine, own_log_get, own);
}

static int own_log_collect(void *opaque, ShmigRegion *region,
                           ShmigCollector *collector)
{
    OwnLog *own = opaque;
    uint64_t *bits = own->bits[region == own->machine->regions[1]];
    uint64_t words = (region->n_granules - 1) / 64 + 1;

    shmig_collect_words(collector, 0, bits, words);
    memset(bits, 0, words * sizeof(*bits));
    return 0;
}

static bool own_log_start(void *opaque, GError **errp)
{
    OwnLog *own = opaque;

    return start_log(own->machine, errp);
}

static void own_log_stop(void *opaque)
{
    OwnLog *own = opaque;

    stop_log(own->machine);
}

static void own_log_free(void *opaque)
{
    OwnLog *own = opaque;

    g_free(own->bits[0]);
    g_free(own->bits[1]);
    g_free(own);
}

static const ShmigGenericOps own_log_ops = {
    .start = own_log_start,
    .sync = own_log_sync,
    .collect = own_log_collect,
    .stop = own_log_stop,
    .free = own_log_free,
};

static ShmigTracker *make_generic(Machine *m, const TinyVmOptions *vm)
{
    OwnLog *own = g_new0(OwnLog, 1);

    own->machine = m;
    for (unsigned r = 0; r < 2; r++) {
        own->bits[r] =
            g_new0(uint64_t, (m->regions[r]->n_granules - 1) / 64 + 1);
    }
    m->extra = shmig_generic_new(&own_log_ops, own, m->regions, 2);
    return m->extra;
}

static void remove_slot(Machine *m, const Kind *kind, Slot *slot)
{
    tiny_vm_pause(m->vm);
    lock(m);
    kind->save(m, slot);
    set_slot(m, slot, false);
    unlock(m);
    tiny_vm_resume(m->vm);
}

typedef struct Run {
    Machine machine;
    const Kind *kind;
    int64_t wait_until; /* for full rings */
} Run;

/*
 * Harvests are so frequent that a ring seldom fills up in between.  Where
 * vCPUs are very slow, there is an end to the waiting.
 */
static void await_full_ring(Run *run)
{
    TinyVm *vm = run->machine.vm;
    uint64_t before = tiny_vm_ring_fulls(vm);

    while (tiny_vm_ring_fulls(vm) == before && !tiny_vm_bad_exit(vm) &&
           g_get_monotonic_time() < run->wait_until) {
        g_thread_yield();
    }
}

/* Now and then a slot goes; it comes back a pass or two later. */
static void churn(void *opaque, unsigned pass)
{
    Run *run = opaque;
    Machine *m = &run->machine;
    Slot *slot = &m->slots[pass / 10 % N_SLOTS];

    if (run->kind->vm.ring_entries == SMALL_RING && pass < 20) {
        await_full_ring(run);
    }
    if (pass % 10 == 3 && slot->there) {
        remove_slot(m, run->kind, slot);
    } else if (pass % 10 == 4 + pass % 2 && !slot->there) {
        lock(m);
        set_slot(m, slot, true);
        unlock(m);
    }
}

static void run_machine(void *opaque)
{
    Run *run = opaque;

    tiny_vm_run(run->machine.vm);
}

static bool enough(void *opaque)
{
    Run *run = opaque;

    return tiny_vm_writes(run->machine.vm) >= WRITES_ENOUGH ||
           tiny_vm_bad_exit(run->machine.vm) != 0;
}

static void halt_machine(void *opaque)
{
    Run *run = opaque;

    tiny_vm_halt(run->machine.vm);
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

static void make_machine(Machine *m, const Kind *kind)
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
    m->tracker = kind->make(m, &kind->vm);
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

static void conform(Run *run)
{
    Machine *m = &run->machine;
    DirtyWorld world = {
        .tracker = m->tracker,
        .regions = m->regions,
        .bytes = m->bytes,
        .n_regions = 2,
        .run = run_machine,
        .enough = enough,
        .halt = halt_machine,
        .churn = churn,
        .opaque = run,
    };

    tiny_vm_set_writer(m->vm, 0, TINY_VM_FIRST_GPA, BIG_PAGES);
    tiny_vm_set_writer(m->vm, 1, TINY_VM_FIRST_GPA + (EDGE - 20) * 4096, 40);
    tiny_vm_set_writer(m->vm, 2, SMALL_GPA, SMALL_PAGES);
    dirty_conformance(&world, 2, PASSES);
}

static void test_conformance(gconstpointer opaque)
{
    Run run = { .kind = opaque };
    g_autofree char *missing = NULL;
    TinyVm *vm = tiny_vm_new(&run.kind->vm, &missing);

    if (!vm) {
        g_autofree char *why = g_strdup_printf("missing: %s", missing);

        g_test_skip(why);
        return;
    }
    run.machine.vm = vm;
    run.wait_until = g_get_monotonic_time() + WAIT_S * G_TIME_SPAN_SECOND;
    make_machine(&run.machine, run.kind);
    conform(&run);
    g_assert_cmpuint(tiny_vm_bad_exit(vm), ==, 0);
    g_assert_cmpuint(tiny_vm_writes(vm), >=, WRITES_ENOUGH);
    g_test_message(
        "%" G_GUINT64_FORMAT " pages written, %" G_GUINT64_FORMAT
        " times without a slot, %" G_GUINT64_FORMAT " times with a full ring",
        tiny_vm_writes(vm), tiny_vm_misses(vm), tiny_vm_ring_fulls(vm));
    if (run.kind->vm.ring_entries == SMALL_RING &&
        tiny_vm_ring_fulls(vm) == 0) {
        g_test_skip("missing: vCPUs that fill a ring within 20 s");
    }
    free_machine(&run.machine);
}

static const Kind kinds[] = {
    { "kvm-bitmap", { BOTH, 0, 3 }, make_bitmap, save_bitmap },
    { "kvm-bitmap-not-initially-set",
      { SHMIG_KVM_MANUAL_PROTECT_ENABLE, 0, 3 },
      make_bitmap,
      save_bitmap },
    { "kvm-bitmap-no-manual-protect", { 0, 0, 3 }, make_bitmap, save_bitmap },
    { "kvm-ring", { 0, 65536, 3 }, make_ring, save_ring },
    { "kvm-ring-overflows", { 0, SMALL_RING, 3 }, make_ring, save_ring },
    { "generic", { 0, 0, 3 }, make_generic, save_bitmap },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *path =
            g_strdup_printf("/dirty/kvm/conformance/%s", kinds[i].path);

        g_test_add_data_func(path, &kinds[i], test_conformance);
    }
    return g_test_run();
}
