/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm-ring tracker.
 *
 * A page whose entry is in a ring may be written unseen until the entry is
 * reset; RESET_RINGS write-protects the pages of all entries that were
 * harvested, and the next write to one makes a new entry.
 *
 * Invariant: a page becomes pending after its entry was reset, and before
 * the lock is released.  To set the bit when the entry is found is not
 * enough: a channel could take the page at once, and a write between its
 * read and the reset would be seen by nobody.  So entries are collected
 * first, then reset, then made pending; the lock keeps a harvest from
 * returning while a vCPU's thread has pages in its hands.
 *
 * All that was harvested is armed by the reset: clear() has nothing to do.
 *
 * The kernel stops a vCPU before its ring is full; it does not look at what
 * it overwrites.  A ring in which every entry waits, to the last before the one
 * that is next, has been run over (by a KVM that emulates many instructions at
 * once), and pages are lost: that is an error, for ever.
 *
 * A harvest looks at no more entries than a ring has, or it could run after
 * a vCPU that writes faster than we read for ever.
 */
#include <errno.h>

#include "kvm-dirty-log.h"

#include "shmig/base/error.h"
#include "shmig/base/range.h"
#include "shmig/dirty/kvm-ring.h"

/*
 * Collected before a reset: each reset makes all vCPUs flush their TLBs, so
 * it should be rare, and a full ring of one vCPU is 4,096 entries in QEMU's
 * documentation, 65,536 at most.
 */
#define MAX_RUNS 16384u

/* So many resets in a row without an entry: it is no signal, it is a fault. */
#define MAX_IDLE_RESETS 1000u

/* Pages next to each other, written one after the other. */
typedef struct Run {
    ShmigRegion *region;
    uint64_t first, n;
} Run;

typedef struct ShmigKvmRingTracker {
    ShmigTracker tracker;

    /* Constant. */
    const ShmigKvmRingOps *ops;
    void *opaque;
    ShmigTracker *extra;

    /* Under the owner's lock. */
    Run *runs;
    unsigned n_runs;
    uint64_t collected; /* entries that wait for a reset */
    uint64_t fresh;     /* became pending since the last harvest */
    int error;          /* the first one */
    uint32_t slot_id;   /* of @slot; a vCPU writes one slot mostly */
    bool slot_known;    /* @slot_id was asked for in this pass */
    bool slot_found;
    ShmigKvmSlot slot;
} ShmigKvmRingTracker;

static void kvm_ring_free(ShmigTracker *tracker);

static ShmigKvmRingTracker *from_tracker(ShmigTracker *tracker)
{
    g_assert(tracker->ops->free == kvm_ring_free);
    return (ShmigKvmRingTracker *)tracker;
}

/*
 * A pending signal cuts the ioctl short, and a vCPU is kicked by signals: what
 * was not reset yet must be before its page is pending.
 */
static int reset_collected(ShmigKvmRingTracker *kr)
{
    unsigned idle = 0;

    while (kr->collected) {
        int ret = kr->ops->vm_ioctl(kr->opaque, SHMIG_KVM_RESET_RINGS, NULL);

        if (ret < 0 && ret != -EINTR) {
            return ret;
        }
        idle = ret > 0 ? 0 : idle + 1;
        if (idle == MAX_IDLE_RESETS) {
            return -EIO;
        }
        kr->collected -= MIN(MAX(ret, 0), kr->collected);
    }
    return 0;
}

/* Resets the entries that were collected, then makes their pages pending. */
static int settle(ShmigKvmRingTracker *kr)
{
    int ret = reset_collected(kr);

    /* Even if that failed: they were written. */
    for (unsigned i = 0; i < kr->n_runs; i++) {
        kr->fresh += shmig_region_set(kr->runs[i].region, kr->runs[i].first,
                                      kr->runs[i].n);
    }
    kr->collected = kr->n_runs = 0;
    return ret;
}

static void add_page(ShmigKvmRingTracker *kr, ShmigRegion *region,
                     uint64_t page)
{
    Run *last = kr->n_runs ? &kr->runs[kr->n_runs - 1] : NULL;

    if (last && last->region == region && last->first + last->n == page) {
        last->n++;
    } else {
        kr->runs[kr->n_runs++] = (Run) { region, page, 1 };
    }
}

static int find_slot(ShmigKvmRingTracker *kr, uint32_t id)
{
    if (kr->slot_known && kr->slot_id == id) {
        return 0;
    }
    kr->slot_known = true;
    kr->slot_id = id;
    kr->slot_found =
        kr->ops->find_slot(kr->opaque, id >> 16, id & 0xffff, &kr->slot);
    if (kr->slot_found &&
        !shmig_range_ok(kr->slot.region_first_page, kr->slot.n_pages,
                        kr->slot.region->n_granules)) {
        return -EINVAL;
    }
    return 0;
}

static int collect_entry(ShmigKvmRingTracker *kr, uint32_t id, uint64_t offset)
{
    int ret = find_slot(kr, id);

    if (ret < 0) {
        return ret;
    }
    /* Past the end: written to a slot that had this number before. */
    if (kr->slot_found && offset < kr->slot.n_pages) {
        add_page(kr, kr->slot.region, kr->slot.region_first_page + offset);
    } else if (!kr->slot_found && kr->ops->stray) {
        kr->ops->stray(kr->opaque, id >> 16, id & 0xffff, offset);
    }
    return 0;
}

static bool is_dirty(const ShmigKvmRing *ring, uint32_t index)
{
    const struct shmig_kvm_dirty_gfn *entry =
        &ring->entries[index & (ring->n_entries - 1)];

    /* Acquire: slot and offset were written before the state. */
    return __atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) ==
           SHMIG_KVM_GFN_DIRTY;
}

/*
 * What the kernel has overwritten waits for a reset like the rest, but no entry
 * of it is left to be found: without this, its vCPU would stop for ever for a
 * full ring in which there is nothing to harvest.
 */
static void skip_overrun(ShmigKvmRingTracker *kr, const ShmigKvmRing *ring)
{
    uint32_t gap = 0;

    while (gap < ring->n_entries && !is_dirty(ring, *ring->next + gap)) {
        gap++;
    }
    if (gap == ring->n_entries) {
        return;
    }
    for (; gap > 0; gap--, ++*ring->next) {
        uint32_t index = *ring->next & (ring->n_entries - 1);

        __atomic_store_n(&ring->entries[index].flags, SHMIG_KVM_GFN_RESET,
                         __ATOMIC_RELEASE);
        kr->collected++;
    }
}

static int reap_ring(void *opaque, const ShmigKvmRing *ring)
{
    ShmigKvmRingTracker *kr = opaque;
    bool overrun = is_dirty(ring, *ring->next - 1);
    int ret = 0;

    if (kr->error == -EOVERFLOW) {
        skip_overrun(kr, ring);
    }
    for (uint32_t i = 0; ret == 0 && i < ring->n_entries; i++) {
        struct shmig_kvm_dirty_gfn *entry =
            &ring->entries[*ring->next & (ring->n_entries - 1)];

        if (!is_dirty(ring, *ring->next)) {
            break;
        }
        ret = collect_entry(kr, entry->slot, entry->offset);
        if (ret < 0) {
            break;
        }
        /* Release: the kernel may overwrite the entry from here on. */
        __atomic_store_n(&entry->flags, SHMIG_KVM_GFN_RESET, __ATOMIC_RELEASE);
        ++*ring->next;
        kr->collected++;
        if (kr->n_runs == MAX_RUNS) {
            ret = settle(kr);
        }
    }
    return ret == 0 && overrun ? -EOVERFLOW : ret;
}

int shmig_kvm_ring_reap_locked(ShmigTracker *tracker)
{
    ShmigKvmRingTracker *kr = from_tracker(tracker);
    int ret, settled;

    kr->slot_known = false;
    ret = kr->ops->foreach_ring(kr->opaque, reap_ring, kr);
    settled = settle(kr);
    if (kr->error == 0) {
        kr->error = ret < 0 ? ret : settled;
    }
    return kr->error;
}

int shmig_kvm_ring_full(ShmigTracker *tracker)
{
    ShmigKvmRingTracker *kr = from_tracker(tracker);
    int ret;

    kr->ops->lock(kr->opaque);
    ret = shmig_kvm_ring_reap_locked(tracker);
    kr->ops->unlock(kr->opaque);
    return ret;
}

/*
 * The extra tracker comes last: the pages of a slot that goes before we get
 * to its entries are known there by then.  Others may reap meanwhile, or the
 * extra tracker itself: what became pending until it returned counts.
 */
static int64_t kvm_ring_harvest(ShmigTracker *tracker, bool last)
{
    ShmigKvmRingTracker *kr = from_tracker(tracker);
    int64_t extra = 0, ret;

    if (kr->ops->flush) {
        kr->ops->flush(kr->opaque);
    }
    kr->ops->lock(kr->opaque);
    ret = shmig_kvm_ring_reap_locked(tracker);
    kr->ops->unlock(kr->opaque);
    if (ret == 0 && kr->extra) {
        extra = kr->extra->ops->harvest(kr->extra, last);
    }
    kr->ops->lock(kr->opaque);
    ret = kr->error ? kr->error : (int64_t)kr->fresh;
    kr->fresh = 0;
    kr->ops->unlock(kr->opaque);
    if (extra < 0) {
        return extra;
    }
    return ret < 0 ? ret : ret + extra;
}

static int kvm_ring_clear(ShmigTracker *tracker, ShmigRegion *region,
                          uint64_t first, uint64_t n)
{
    ShmigKvmRingTracker *kr = from_tracker(tracker);

    return kr->extra ? kr->extra->ops->clear(kr->extra, region, first, n) : 0;
}

static void kvm_ring_stop(ShmigTracker *tracker)
{
    ShmigKvmRingTracker *kr = from_tracker(tracker);

    if (kr->ops->stop) {
        kr->ops->stop(kr->opaque);
    }
    if (kr->extra) {
        kr->extra->ops->stop(kr->extra);
    }
}

/* What an earlier use left in the rings is taken: a page too many at most. */
static bool empty_rings(ShmigKvmRingTracker *kr, GError **errp)
{
    int ret;

    kr->ops->lock(kr->opaque);
    ret = shmig_kvm_ring_reap_locked(&kr->tracker);
    kr->fresh = 0;
    kr->ops->unlock(kr->opaque);
    if (ret < 0) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM,
                    "dirty ring: cannot be emptied: %s", g_strerror(-ret));
    }
    return ret == 0;
}

static bool kvm_ring_start(ShmigTracker *tracker, GError **errp)
{
    ShmigKvmRingTracker *kr = from_tracker(tracker);

    /* Others may reap as soon as the log is on, and find an error then. */
    kr->ops->lock(kr->opaque);
    kr->error = 0;
    kr->ops->unlock(kr->opaque);

    if (kr->extra && !kr->extra->ops->start(kr->extra, errp)) {
        return false;
    }
    if (kr->ops->start && !kr->ops->start(kr->opaque, errp)) {
        if (kr->extra) {
            kr->extra->ops->stop(kr->extra);
        }
        return false;
    }
    if (!empty_rings(kr, errp)) {
        kvm_ring_stop(tracker);
        return false;
    }
    return true;
}

static void kvm_ring_free(ShmigTracker *tracker)
{
    ShmigKvmRingTracker *kr = from_tracker(tracker);

    if (kr->extra) {
        kr->extra->ops->free(kr->extra);
    }
    if (kr->ops->free) {
        kr->ops->free(kr->opaque);
    }
    g_free(kr->runs);
    g_free(kr);
}

static const ShmigTrackerOps kvm_ring_ops = {
    .name = "kvm-ring",
    .start = kvm_ring_start,
    .harvest = kvm_ring_harvest,
    .clear = kvm_ring_clear,
    .stop = kvm_ring_stop,
    .free = kvm_ring_free,
};

ShmigTracker *shmig_kvm_ring_new(const ShmigKvmRingOps *ops, void *opaque,
                                 ShmigRegion *const *regions,
                                 unsigned n_regions, ShmigTracker *extra)
{
    ShmigKvmRingTracker *kr = g_new0(ShmigKvmRingTracker, 1);

    for (unsigned i = 0; i < n_regions; i++) {
        g_assert(regions[i]->kind == SHMIG_REGION_RAM);
    }
    kr->tracker.ops = &kvm_ring_ops;
    kr->ops = ops;
    kr->opaque = opaque;
    kr->extra = extra;
    kr->runs = g_new(Run, MAX_RUNS);
    return &kr->tracker;
}
