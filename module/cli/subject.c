/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracker of the library on the bench's machine.
 *
 * generic    GET_DIRTY_LOG without manual protection, as every kernel has it:
 *            a GET takes the bits and protects the pages, into a log from
 *            which the tracker collects
 * kvm-bitmap GET_DIRTY_LOG and CLEAR_DIRTY_LOG
 * kvm-ring   the vCPUs' rings
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "clock.h"
#include "exit.h"
#include "kvm-dirty-log.h"
#include "shmig/dirty/bitmap.h"
#include "shmig/dirty/generic.h"
#include "shmig/dirty/kvm-bitmap.h"
#include "shmig/dirty/kvm-ring.h"
#include "subject.h"

struct Subject {
    Vm *vm;
    ShmigTracker *tracker;
    uint64_t *log;        /* of generic: not collected yet */
    uint64_t *slot_log;   /* of generic: as long as the largest slot's */
    pthread_mutex_t lock; /* of the rings */
    KernelTimes times;    /* of a ring: under the lock */
};

char *subject_missing(TrackerKind kind, const ShmigKvmCaps *caps)
{
    if (kind == TRACKER_KVM_RING && !caps->ring_max_bytes) {
        return g_strdup("kvm-ring: this kernel has no dirty rings; "
                        "use Linux 5.11 or later");
    }
    if (kind == TRACKER_KVM_BITMAP && !caps->manual_protect) {
        return g_strdup("kvm-bitmap: this kernel has no manual dirty-log "
                        "protection; use Linux 5.2 or later");
    }
    if (kind != TRACKER_KVM_RING && !caps->get) {
        return g_strdup_printf("%s: this kernel has no dirty log at all",
                               tracker_names[kind]);
    }
    return NULL;
}

static int timed_ioctl(void *opaque, unsigned long request, void *arg)
{
    Subject *s = opaque;
    uint64_t before = clock_ns(), *sum = &s->times.get_ns;
    int ret = vm_ioctl(s->vm, request, arg);

    if (request == SHMIG_KVM_CLEAR_DIRTY_LOG) {
        sum = &s->times.clear_ns;
    } else if (request == SHMIG_KVM_RESET_RINGS) {
        sum = &s->times.reset_ns;
    }
    *sum += clock_ns() - before;
    return ret;
}

static int foreach_slot(void *opaque, ShmigKvmSlotFunc *func, void *func_opaque)
{
    Subject *s = opaque;

    return vm_foreach_slot(s->vm, func, func_opaque);
}

static bool start_log(void *opaque, GError **errp)
{
    Subject *s = opaque;

    return vm_log(s->vm, true, errp);
}

/* A slot's flags cannot be refused when they were taken once. */
static void stop_log(void *opaque)
{
    Subject *s = opaque;

    vm_log(s->vm, false, NULL);
}

static const ShmigKvmOps bitmap_ops = {
    .foreach_slot = foreach_slot,
    .vm_ioctl = timed_ioctl,
    .start = start_log,
    .stop = stop_log,
};

static void ring_lock(void *opaque)
{
    Subject *s = opaque;

    pthread_mutex_lock(&s->lock);
}

static void ring_unlock(void *opaque)
{
    Subject *s = opaque;

    pthread_mutex_unlock(&s->lock);
}

static bool ring_find_slot(void *opaque, uint32_t as_id, uint32_t slot,
                           ShmigKvmSlot *found)
{
    Subject *s = opaque;

    return as_id == 0 && vm_find_slot(s->vm, slot, found);
}

static int ring_foreach(void *opaque, ShmigKvmRingFunc *func, void *func_opaque)
{
    Subject *s = opaque;

    return vm_foreach_ring(s->vm, func, func_opaque);
}

static void ring_flush(void *opaque)
{
    Subject *s = opaque;

    vm_flush(s->vm);
}

static int ring_full(void *opaque)
{
    Subject *s = opaque;

    return shmig_kvm_ring_full(s->tracker);
}

static const ShmigKvmRingOps ring_ops = {
    .lock = ring_lock,
    .unlock = ring_unlock,
    .find_slot = ring_find_slot,
    .foreach_ring = ring_foreach,
    .vm_ioctl = timed_ioctl,
    .flush = ring_flush,
    .start = start_log,
    .stop = stop_log,
};

static uint64_t log_words(Subject *s)
{
    return (vm_region(s->vm)->n_granules - 1) / 64 + 1;
}

static int generic_get(void *opaque, const ShmigKvmSlot *slot)
{
    Subject *s = opaque;
    uint64_t words = (slot->n_pages - 1) / 64 + 1;
    uint64_t *to = s->log + slot->region_first_page / 64;
    struct shmig_kvm_dirty_log log = {
        .slot = SHMIG_KVM_SLOT(slot->as_id, slot->slot),
        .bitmap = s->slot_log,
    };
    int ret = timed_ioctl(s, SHMIG_KVM_GET_DIRTY_LOG, &log);

    for (uint64_t i = 0; ret == 0 && i < words; i++) {
        to[i] |= s->slot_log[i];
    }
    return ret;
}

static int generic_sync(void *opaque, bool last)
{
    return foreach_slot(opaque, generic_get, opaque);
}

static int generic_collect(void *opaque, ShmigRegion *region,
                           ShmigCollector *collector)
{
    Subject *s = opaque;

    shmig_collect_words(collector, 0, s->log, log_words(s));
    memset(s->log, 0, log_words(s) * sizeof(*s->log));
    return 0;
}

static const ShmigGenericOps generic_ops = {
    .start = start_log,
    .sync = generic_sync,
    .collect = generic_collect,
    .stop = stop_log,
};

static ShmigTracker *make_tracker(Subject *s, const BenchOptions *options,
                                  TrackerKind kind, unsigned manual_protect)
{
    ShmigRegion *region = vm_region(s->vm);
    ShmigTracker *tracker;

    switch (kind) {
    case TRACKER_KVM_BITMAP:
        tracker = shmig_kvm_bitmap_new(&bitmap_ops, s, &region, 1,
                                       manual_protect, NULL);
        shmig_kvm_bitmap_set_chunk_bytes(tracker, options->chunk_bytes);
        return tracker;
    case TRACKER_KVM_RING:
        vm_on_ring_full(s->vm, ring_full, s);
        return shmig_kvm_ring_new(&ring_ops, s, &region, 1, NULL);
    default:
        s->log = shmig_bitmap_new(log_words(s));
        s->slot_log = shmig_bitmap_new(log_words(s));
        return shmig_generic_new(&generic_ops, s, &region, 1);
    }
}

Subject *subject_new(const BenchOptions *options, TrackerKind kind,
                     const ShmigKvmCaps *caps, GError **errp)
{
    VmOptions vm_options = {
        .device = options->device,
        .n_vcpus = options->vcpus,
        .memory_bytes = options->memory_bytes,
        .working_bytes = options->working_bytes,
        .backing = options->backing,
        .slot_bytes = options->slot_bytes,
        .pattern = options->pattern,
        .stride_pages = options->stride_pages,
        .hot_percent = options->hot_percent,
        .manual_protect = kind == TRACKER_KVM_BITMAP ? caps->manual_protect : 0,
        .ring_entries = kind == TRACKER_KVM_RING ? options->ring_entries : 0,
    };
    Vm *vm = vm_new(&vm_options, errp);
    Subject *s;

    if (!vm) {
        return NULL;
    }
    s = g_new0(Subject, 1);
    s->vm = vm;
    pthread_mutex_init(&s->lock, NULL);
    s->tracker = make_tracker(s, options, kind, vm_options.manual_protect);
    return s;
}

void subject_free(Subject *s)
{
    if (s) {
        s->tracker->ops->free(s->tracker);
        shmig_bitmap_free(s->log, log_words(s));
        shmig_bitmap_free(s->slot_log, log_words(s));
        vm_free(s->vm);
        pthread_mutex_destroy(&s->lock);
        g_free(s);
    }
}

Vm *subject_vm(Subject *s)
{
    return s->vm;
}

ShmigTracker *subject_tracker(Subject *s)
{
    return s->tracker;
}

KernelTimes subject_times(Subject *s)
{
    KernelTimes times;

    pthread_mutex_lock(&s->lock);
    times = s->times;
    pthread_mutex_unlock(&s->lock);
    return times;
}
