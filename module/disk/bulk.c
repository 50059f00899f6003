/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bulk copy of disks on one channel of the source.
 *
 * A slot takes a run of pending granules and goes FREE → READING (status,
 * then read, extent by extent) → READ → SENDING → FREE.  Slots go out in the
 * order they were taken.
 *
 * A slot that turns out to be in a longer hole takes what is pending of it in
 * the channel's stripes that follow, and becomes one long record of zeroes.
 * What it took is asked for once more, for it may have been written just
 * before; what is no hole any more becomes pending again.
 */
#include "shmig/disk/bulk.h"
#include "shmig/base/buffer.h"
#include "shmig/base/container.h"
#include "shmig/base/range.h"
#include "shmig/base/zero.h"

#include <string.h>

/* Zeroes within data travel as zero records from this size on. */
#define ZERO_GRANULE 4096
/*
 * How long such a record gets, of the channel's own stripes: a destination
 * that has to write the zeroes is not kept from everything else for long.
 */
#define HOLE_BYTES (64ull << 20)

typedef enum SlotState {
    SLOT_FREE,
    SLOT_READING,
    SLOT_READ,
    SLOT_SENDING,
} SlotState;

typedef struct Slot {
    ShmigDiskReq req;
    ShmigBulk *bulk;
    unsigned index;
    SlotState state;
    uint64_t order; /* of being taken */
    uint64_t mark;  /* payloads to be popped first */
    uint32_t disk;
    uint64_t offset, length;
    uint64_t at;   /* what is read up to here */
    bool hole_run; /* all of it is a hole, and longer than the buffer */
    uint8_t *buffer;
    uint64_t hole[SHMIG_MAX_PAYLOAD / ZERO_GRANULE / 64]; /* bit: known zero */
} Slot;

struct ShmigBulk {
    ShmigRing *ring;
    ShmigLane *lane;
    ShmigDiskSource *disks;
    uint32_t n_disks;
    unsigned channel, channels;

    /* Where the walk over the channel's stripes is. */
    uint32_t walk_disk;
    uint64_t walk_stripe;

    uint64_t order;
    Slot *slots;
    unsigned n_slots;
    uint32_t buffer_bytes;
    unsigned reading;

    int error;
    uint32_t error_disk;
    uint64_t error_offset;
};

static void slot_step(Slot *slot);

static void slot_fail(Slot *slot, int err)
{
    ShmigBulk *bulk = slot->bulk;

    if (!bulk->error) {
        bulk->error = err;
        bulk->error_disk = slot->disk;
        bulk->error_offset = slot->at;
    }
    /* The range is not copied; it stays taken, the session ends. */
    slot->state = SLOT_READ;
}

static void slot_mark_hole(Slot *slot, uint64_t from, uint64_t to)
{
    /* Only whole granules count; the rest is read and looked at. */
    from = (from + ZERO_GRANULE - 1) / ZERO_GRANULE;
    to = to == slot->length ? (to + ZERO_GRANULE - 1) / ZERO_GRANULE
                            : to / ZERO_GRANULE;
    for (; from < to; from++) {
        slot->hole[from / 64] |= 1ull << (from % 64);
    }
}

static void slot_submit(Slot *slot, ShmigDiskCmd cmd, uint64_t length)
{
    ShmigBulk *bulk = slot->bulk;

    slot->req.cmd = cmd;
    slot->req.offset = slot->at;
    slot->req.length = length;
    slot->req.buf = slot->buffer + (slot->at - slot->offset);
    bulk->reading++;
    shmig_disk_submit(bulk->disks[slot->disk].disk, bulk->ring, &slot->req);
}

/* The granule behind the slot's last one. */
static uint64_t slot_end(const Slot *slot)
{
    const ShmigRegion *region = slot->bulk->disks[slot->disk].region;

    return shmig_region_granules(region, slot->offset + slot->length);
}

static void slot_set_end(Slot *slot, uint64_t granule)
{
    const ShmigRegion *region = slot->bulk->disks[slot->disk].region;

    slot->length = MIN(granule << region->granule_shift, region->length_bytes) -
                   slot->offset;
}

/*
 * The next granules of the channel's stripes in [*first, end), within one
 * stripe: how many, or 0.
 */
static uint64_t own_granules(const ShmigBulk *bulk, const ShmigRegion *region,
                             uint64_t *first, uint64_t end)
{
    uint64_t per_stripe = shmig_stripe_granules(region);
    uint64_t stripe = *first / per_stripe;
    uint64_t own =
        shmig_stripe_from(region->id, stripe, bulk->channel, bulk->channels);

    if (own != stripe) {
        *first = own * per_stripe;
    }
    return *first < end ? MIN((own + 1) * per_stripe, end) - *first : 0;
}

/*
 * Whether another slot holds bytes of these granules that are still to go out.
 * A write may have made them pending again meanwhile, but what that slot read
 * would follow this one's record, and stay.
 */
static bool is_held(const ShmigBulk *bulk, const Slot *by, uint64_t first,
                    uint64_t n)
{
    unsigned shift = bulk->disks[by->disk].region->granule_shift;

    for (unsigned i = 0; i < bulk->n_slots; i++) {
        const Slot *slot = &bulk->slots[i];

        if (slot != by && slot->disk == by->disk &&
            (slot->state == SLOT_READING || slot->state == SLOT_READ) &&
            shmig_ranges_overlap(first << shift, n << shift, slot->offset,
                                 slot->length)) {
            return true;
        }
    }
    return false;
}

/* Takes what is pending up to the end of the hole at @hole_end bytes. */
static bool slot_grow(Slot *slot, uint64_t hole_end)
{
    ShmigBulk *bulk = slot->bulk;
    ShmigRegion *region = bulk->disks[slot->disk].region;
    uint64_t end = hole_end == region->length_bytes
                       ? region->n_granules
                       : hole_end >> region->granule_shift;
    uint64_t at = slot_end(slot), n;
    bool grown = false;

    /*
     * A granule that is not pending ends the run: what it holds was sent, or
     * is queued, and the record must not cover it.
     */
    while ((n = own_granules(bulk, region, &at, end)) &&
           shmig_region_all(region, at, n) && !is_held(bulk, slot, at, n)) {
        slot->mark =
            shmig_lane_take_more(bulk->lane, slot->index, region, at, n);
        at += n;
        slot_set_end(slot, at);
        grown = true;
    }
    return grown;
}

/* What the slot took from @granule on becomes pending again. */
static void slot_give_back(Slot *slot, uint64_t granule)
{
    ShmigBulk *bulk = slot->bulk;
    ShmigRegion *region = bulk->disks[slot->disk].region;
    uint64_t end = slot_end(slot), at = slot->offset >> region->granule_shift;
    uint64_t kept = at, n;

    for (; (n = own_granules(bulk, region, &at, end)); at += n) {
        if (at < granule) {
            n = MIN(n, granule - at);
            kept = at + n;
        } else {
            shmig_region_set(region, at, n);
        }
    }
    slot_set_end(slot, kept);
}

/* The second answer about the part that the slot has grown by. */
static void hole_confirmed(Slot *slot)
{
    const ShmigRegion *region = slot->bulk->disks[slot->disk].region;
    uint64_t hole_end =
        slot->at + (slot->req.extent_zero ? slot->req.extent_bytes : 0);

    if (hole_end < slot->offset + slot->length) {
        slot_give_back(slot, hole_end >> region->granule_shift);
    }
    slot->at = slot->offset + slot->length;
    slot->state = SLOT_READ;
}

static void status_done(Slot *slot)
{
    uint64_t end = slot->offset + slot->length;
    uint64_t bytes = MIN(slot->req.extent_bytes, end - slot->at);
    uint64_t from = slot->at - slot->offset;

    if (slot->hole_run) {
        hole_confirmed(slot);
        return;
    }
    if (slot->at == slot->offset && slot->req.extent_zero &&
        slot->req.extent_bytes > slot->length &&
        slot_grow(slot, slot->at + slot->req.extent_bytes)) {
        slot->hole_run = true;
        slot->at = end;
        slot_submit(slot, SHMIG_DISK_STATUS,
                    slot->offset + slot->length - slot->at);
        return;
    }
    /*
     * Whole granules only, except at the end: so that every read starts
     * aligned in the buffer and on the disk.
     */
    if (slot->at + bytes < end) {
        bytes = slot->req.extent_zero
                    ? bytes / ZERO_GRANULE * ZERO_GRANULE
                    : (bytes + ZERO_GRANULE - 1) / ZERO_GRANULE * ZERO_GRANULE;
    }
    if (slot->req.extent_zero && bytes) {
        slot_mark_hole(slot, from, from + bytes);
        slot->at += bytes;
        slot_step(slot);
    } else {
        bytes = MIN(MAX(bytes, ZERO_GRANULE), end - slot->at);
        slot_submit(slot, SHMIG_DISK_READ, bytes);
    }
}

static void slot_done(ShmigOp *op, int res)
{
    Slot *slot = SHMIG_CONTAINER_OF(op, Slot, req.op);

    slot->bulk->reading--;
    if (res < 0) {
        slot_fail(slot, res);
    } else if (slot->req.cmd == SHMIG_DISK_STATUS) {
        status_done(slot);
    } else {
        slot->at += slot->req.length;
        slot_step(slot);
    }
}

static void slot_step(Slot *slot)
{
    ShmigBulk *bulk = slot->bulk;
    uint64_t end = slot->offset + slot->length;

    if (slot->at == slot->offset) {
        /* The slot may be the beginning of a long hole. */
        end = MIN(end + HOLE_BYTES * bulk->channels,
                  bulk->disks[slot->disk].region->length_bytes);
    }
    if (slot->at < end) {
        slot_submit(slot, SHMIG_DISK_STATUS, end - slot->at);
    } else {
        slot->state = SLOT_READ;
    }
}

/*
 * Finds the next run of pending granules in the channel's stripes of the
 * walk's disk, from its place on; false if there is none.  Looks for the next
 * pending granule of any channel, which skips what is clear by whole words,
 * and goes on at the channel's own stripe from there.
 */
static bool walk_disk(ShmigBulk *bulk, uint32_t max_bytes, uint64_t *first,
                      uint64_t *n)
{
    ShmigRegion *region = bulk->disks[bulk->walk_disk].region;
    uint64_t per_stripe = shmig_stripe_granules(region);
    uint64_t max = MAX(max_bytes >> region->granule_shift, 1);
    uint64_t own = shmig_stripe_from(region->id, bulk->walk_stripe,
                                     bulk->channel, bulk->channels);

    while (__atomic_load_n(&region->pending_granules, __ATOMIC_RELAXED)) {
        uint64_t stripe;

        *n = shmig_region_find(region, own * per_stripe, region->n_granules,
                               max, first);
        if (!*n) {
            return false;
        }
        stripe = shmig_stripe_of(region, *first);
        if (stripe == own) {
            bulk->walk_stripe = stripe;
            *n = MIN(*n, (stripe + 1) * per_stripe - *first);
            return true;
        }
        own += bulk->channels;
        if (own < stripe) {
            own = shmig_stripe_from(region->id, stripe, bulk->channel,
                                    bulk->channels);
        }
    }
    return false;
}

/* The same on all disks, at most once round. */
static bool walk(ShmigBulk *bulk, uint32_t max_bytes, uint64_t *first,
                 uint64_t *n)
{
    for (uint32_t i = 0; i <= bulk->n_disks; i++) {
        if (walk_disk(bulk, max_bytes, first, n)) {
            return true;
        }
        bulk->walk_stripe = 0;
        bulk->walk_disk = (bulk->walk_disk + 1) % bulk->n_disks;
    }
    return false;
}

static void slot_take(ShmigBulk *bulk, Slot *slot, uint64_t first, uint64_t n)
{
    ShmigRegion *region = bulk->disks[bulk->walk_disk].region;

    slot->disk = bulk->walk_disk;
    slot->offset = first << region->granule_shift;
    slot->length =
        MIN(n << region->granule_shift, region->length_bytes - slot->offset);
    slot->at = slot->offset;
    slot->order = bulk->order++;
    slot->state = SLOT_READING;
    slot->hole_run = false;
    memset(slot->hole, 0, sizeof(slot->hole));
    slot->mark = shmig_lane_take(bulk->lane, slot->index, region, first, n);
    slot_step(slot);
}

void shmig_bulk_fill(ShmigBulk *bulk, uint32_t max_bytes)
{
    uint64_t first, n;

    max_bytes = MIN(max_bytes, bulk->buffer_bytes);
    if (!bulk->n_disks || bulk->error) {
        return;
    }
    for (unsigned i = 0; i < bulk->n_slots; i++) {
        if (bulk->slots[i].state == SLOT_FREE) {
            if (!walk(bulk, max_bytes, &first, &n)) {
                return;
            }
            slot_take(bulk, &bulk->slots[i], first, n);
        }
    }
}

static bool slot_is_hole(const Slot *slot, uint64_t at)
{
    uint64_t granule = at / ZERO_GRANULE;

    return slot->hole[granule / 64] & (1ull << (granule % 64));
}

/* The run of one kind at @at of the slot's buffer. */
static uint64_t run_length(const Slot *slot, uint64_t at, bool *zero)
{
    uint64_t from = at;

    *zero = false;
    for (; at < slot->length; at += ZERO_GRANULE) {
        size_t bytes = MIN(ZERO_GRANULE, slot->length - at);
        bool z =
            slot_is_hole(slot, at) || shmig_is_zero(slot->buffer + at, bytes);

        if (at == from) {
            *zero = z;
        } else if (z != *zero) {
            break;
        }
    }
    return MIN(at, slot->length) - from;
}

static void mark_sent(ShmigDiskSource *source, uint64_t first, uint64_t n)
{
    uint64_t again = shmig_region_mark_sent(source->region, first, n);

    if (again) {
        shmig_count(&source->stats.resent_bytes,
                    again << source->region->granule_shift);
    }
}

static void hole_batch(Slot *slot, ShmigBatch *batch)
{
    ShmigDiskSource *source = &slot->bulk->disks[slot->disk];
    unsigned shift = source->region->granule_shift;
    uint64_t at = slot->offset >> shift, end = slot_end(slot), n;

    shmig_batch_add(batch, source->region->id, slot->offset, slot->length,
                    NULL);
    for (; (n = own_granules(slot->bulk, source->region, &at, end)); at += n) {
        mark_sent(source, at, n);
        shmig_count(&source->stats.zero_bytes,
                    MIN((at + n) << shift, source->region->length_bytes) -
                        (at << shift));
    }
}

static void slot_batch(Slot *slot, ShmigBatch *batch)
{
    ShmigDiskSource *source = &slot->bulk->disks[slot->disk];
    uint64_t first = slot->offset >> source->region->granule_shift;
    uint64_t at = 0;

    shmig_batch_reset(batch);
    if (slot->hole_run) {
        hole_batch(slot, batch);
        return;
    }
    mark_sent(source, first, slot_end(slot) - first);
    while (at < slot->length) {
        bool zero;
        uint64_t n = run_length(slot, at, &zero);

        shmig_batch_add(batch, source->region->id, slot->offset + at, n,
                        zero ? NULL : slot->buffer + at);
        shmig_count(
            zero ? &source->stats.zero_bytes : &source->stats.data_bytes, n);
        at += n;
    }
}

static Slot *oldest(ShmigBulk *bulk)
{
    Slot *found = NULL;

    for (unsigned i = 0; i < bulk->n_slots; i++) {
        Slot *slot = &bulk->slots[i];

        if ((slot->state == SLOT_READING || slot->state == SLOT_READ) &&
            (!found || slot->order < found->order)) {
            found = slot;
        }
    }
    return found;
}

bool shmig_bulk_next(ShmigBulk *bulk, ShmigBatch *batch)
{
    Slot *slot = oldest(bulk);

    if (!slot || slot->state != SLOT_READ || bulk->error ||
        shmig_lane_popped(bulk->lane) < slot->mark) {
        return false;
    }
    slot_batch(slot, batch);
    slot->state = SLOT_SENDING;
    shmig_lane_release(bulk->lane, slot->index);
    return true;
}

void shmig_bulk_sent(ShmigBulk *bulk)
{
    for (unsigned i = 0; i < bulk->n_slots; i++) {
        if (bulk->slots[i].state == SLOT_SENDING) {
            bulk->slots[i].state = SLOT_FREE;
        }
    }
}

bool shmig_bulk_quiet(const ShmigBulk *bulk)
{
    return bulk->reading == 0;
}

bool shmig_bulk_done(ShmigBulk *bulk)
{
    uint64_t first, n;

    for (unsigned i = 0; i < bulk->n_slots; i++) {
        if (bulk->slots[i].state != SLOT_FREE) {
            return false;
        }
    }
    return !bulk->n_disks || !walk(bulk, 1, &first, &n);
}

int shmig_bulk_error(const ShmigBulk *bulk, uint32_t *disk, uint64_t *offset)
{
    *disk = bulk->error_disk;
    *offset = bulk->error_offset;
    return bulk->error;
}

ShmigBulk *shmig_bulk_new(ShmigRing *ring, ShmigLane *lane,
                          ShmigDiskSource *disks, uint32_t n_disks,
                          unsigned channel, unsigned channels,
                          unsigned n_buffers, uint32_t buffer_bytes,
                          GError **errp)
{
    g_autoptr(ShmigBulk) bulk = g_new0(ShmigBulk, 1);

    g_assert(n_buffers <= SHMIG_LANE_RANGES);
    g_assert(buffer_bytes <= SHMIG_MAX_PAYLOAD);
    bulk->buffer_bytes = buffer_bytes;
    bulk->ring = ring;
    bulk->lane = lane;
    bulk->disks = disks;
    bulk->n_disks = n_disks;
    bulk->channel = channel;
    bulk->channels = channels;
    bulk->n_slots = n_disks ? n_buffers : 0;
    bulk->slots = g_new0(Slot, n_buffers);
    for (unsigned i = 0; i < bulk->n_slots; i++) {
        bulk->slots[i].bulk = bulk;
        bulk->slots[i].index = i;
        bulk->slots[i].req.op.done = slot_done;
        bulk->slots[i].buffer = shmig_buffer_new(buffer_bytes, errp);
        if (!bulk->slots[i].buffer) {
            return NULL;
        }
    }
    return g_steal_pointer(&bulk);
}

void shmig_bulk_free(ShmigBulk *bulk)
{
    if (bulk) {
        for (unsigned i = 0; i < bulk->n_slots; i++) {
            shmig_buffer_free(bulk->slots[i].buffer, bulk->buffer_bytes);
        }
        g_free(bulk->slots);
        g_free(bulk);
    }
}
