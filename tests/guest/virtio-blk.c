/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio block device, legacy transport (virtio 1.0, section 4.1.4.8).
 *
 * Each slot owns three descriptors for good: header, data, status.
 */
#include "cpu.h"
#include "memory.h"
#include "pci.h"
#include "virtio-blk.h"

#define PCI_ID_TRANSITIONAL_BLK 0x10011af4u

#define REG_HOST_FEATURES 0
#define REG_GUEST_FEATURES 4
#define REG_QUEUE_PAGE 8
#define REG_QUEUE_SIZE 12
#define REG_QUEUE_SELECT 14
#define REG_QUEUE_NOTIFY 16
#define REG_STATUS 18
#define REG_CAPACITY 20 /* without MSI-X, which nobody enables here */

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4

#define FEATURE_READ_ONLY (1u << 5)
#define FEATURE_FLUSH (1u << 9)
#define FEATURE_DISCARD (1u << 13)
#define FEATURE_WRITE_ZEROES (1u << 14)

#define DESC_NEXT 1
#define DESC_DEVICE_WRITES 2
#define DESCS_PER_SLOT 3u
#define AVAIL_NO_INTERRUPT 1

#define RING_ALIGNMENT 4096u

#define TYPE_IN 0
#define TYPE_OUT 1
#define TYPE_FLUSH 4
#define TYPE_DISCARD 11
#define TYPE_WRITE_ZEROES 13

typedef struct Descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
} Descriptor;

typedef struct Available {
    uint16_t flags, index;
    uint16_t ring[];
} Available;

typedef struct UsedElement {
    uint32_t id, length;
} UsedElement;

typedef struct Used {
    uint16_t flags, index;
    UsedElement ring[];
} Used;

typedef struct Header {
    uint32_t type, priority;
    uint64_t sector;
} Header;

/* Payload of discard and write-zeroes. */
typedef struct Range {
    uint64_t sector;
    uint32_t sectors, flags;
} Range;

typedef struct Slot {
    Header header;
    Range range;
    volatile uint8_t status;
} Slot;

struct VirtioBlk {
    uint32_t devfn;
    uint16_t port;
    uint16_t queue_size;
    uint16_t used_seen;
    uint32_t features;
    uint32_t sectors;
    volatile Descriptor *descriptors;
    volatile Available *available;
    volatile Used *used;
    Slot slots[GUEST_MAX_SLOTS];
};

static VirtioBlk devices[GUEST_MAX_DISKS];
static uint32_t device_count;

static const char *queue_init(VirtioBlk *blk)
{
    uint32_t descriptors, available, used_at;
    uint8_t *memory;

    out16(blk->port + REG_QUEUE_SELECT, 0);
    blk->queue_size = in16(blk->port + REG_QUEUE_SIZE);
    if (blk->queue_size < DESCS_PER_SLOT * GUEST_MAX_SLOTS) {
        return "queue-size is too small, 64 is enough";
    }
    descriptors = blk->queue_size * sizeof(Descriptor);
    available = sizeof(Available) + (blk->queue_size + 1) * 2;
    used_at = (descriptors + available + RING_ALIGNMENT - 1) & -RING_ALIGNMENT;
    memory = (uint8_t *)memory_allocate(used_at + sizeof(Used) + 2 +
                                        blk->queue_size * sizeof(UsedElement));
    if (!memory) {
        return "no memory for the queue";
    }
    blk->descriptors = (Descriptor *)memory;
    blk->available = (Available *)(memory + descriptors);
    blk->used = (Used *)(memory + used_at);
    blk->available->flags = AVAIL_NO_INTERRUPT;
    out32(blk->port + REG_QUEUE_PAGE, (uint32_t)memory / RING_ALIGNMENT);
    return NULL;
}

static const char *device_init(VirtioBlk *blk)
{
    const char *error;
    uint32_t high;

    out8(blk->port + REG_STATUS, 0);
    out8(blk->port + REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    blk->features = in32(blk->port + REG_HOST_FEATURES) &
                    (FEATURE_READ_ONLY | FEATURE_FLUSH | FEATURE_DISCARD |
                     FEATURE_WRITE_ZEROES);
    out32(blk->port + REG_GUEST_FEATURES, blk->features);
    error = queue_init(blk);
    if (error) {
        return error;
    }
    blk->sectors = in32(blk->port + REG_CAPACITY);
    high = in32(blk->port + REG_CAPACITY + 4);
    if (high) {
        blk->sectors = UINT32_MAX;
    }
    out8(blk->port + REG_STATUS,
         STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
    return NULL;
}

VirtioBlk *virtio_blk_probe(uint32_t *devfn, const char **error)
{
    VirtioBlk *blk = &devices[device_count];
    uint32_t found = pci_find(*devfn, PCI_ID_TRANSITIONAL_BLK), command;

    *error = NULL;
    *devfn = found + 1;
    if (found == PCI_DEVFNS || device_count == GUEST_MAX_DISKS) {
        return NULL;
    }
    blk->devfn = found;
    blk->port = pci_read(found, PCI_BAR0) & ~3u;
    if (!(pci_read(found, PCI_BAR0) & 1) || !blk->port) {
        *error = "no I/O ports assigned";
        return NULL;
    }
    command = pci_read(found, PCI_COMMAND);
    pci_write(found, PCI_COMMAND,
              command | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    *error = device_init(blk);
    if (*error) {
        return NULL;
    }
    device_count++;
    return blk;
}

uint32_t virtio_blk_sectors(const VirtioBlk *blk)
{
    return blk->sectors;
}

uint32_t virtio_blk_devfn(const VirtioBlk *blk)
{
    return blk->devfn;
}

bool virtio_blk_can(const VirtioBlk *blk, uint32_t op)
{
    switch (op) {
    case GUEST_OP_WRITE:
        return !(blk->features & FEATURE_READ_ONLY);
    case GUEST_OP_FLUSH:
        return blk->features & FEATURE_FLUSH;
    case GUEST_OP_DISCARD:
        return blk->features & FEATURE_DISCARD;
    case GUEST_OP_ZERO:
        return blk->features & FEATURE_WRITE_ZEROES;
    }
    return true;
}

static void describe(VirtioBlk *blk, uint32_t index, volatile void *data,
                     uint32_t bytes, uint32_t flags)
{
    volatile Descriptor *d = &blk->descriptors[index];

    d->address = (uint32_t)data;
    d->length = bytes;
    d->flags = flags;
    d->next = index + 1;
}

static uint32_t header_type(uint32_t op)
{
    switch (op) {
    case GUEST_OP_WRITE:
        return TYPE_OUT;
    case GUEST_OP_FLUSH:
        return TYPE_FLUSH;
    case GUEST_OP_DISCARD:
        return TYPE_DISCARD;
    case GUEST_OP_ZERO:
        return TYPE_WRITE_ZEROES;
    }
    return TYPE_IN;
}

/* Header, then data if the request has any, then status. */
static void describe_request(VirtioBlk *blk, uint32_t first, Slot *slot,
                             void *data, uint32_t bytes, bool device_writes)
{
    uint32_t next = first + 1;

    describe(blk, first, &slot->header, sizeof(slot->header), DESC_NEXT);
    if (bytes) {
        describe(blk, next++, data, bytes,
                 DESC_NEXT | (device_writes ? DESC_DEVICE_WRITES : 0));
    }
    describe(blk, next, &slot->status, 1, DESC_DEVICE_WRITES);
}

void virtio_blk_submit(VirtioBlk *blk, uint32_t slot_number, uint32_t op,
                       uint32_t lba, uint32_t sectors, void *data)
{
    Slot *slot = &blk->slots[slot_number];
    uint32_t first = slot_number * DESCS_PER_SLOT;
    uint32_t bytes = sectors * GUEST_SECTOR_BYTES;
    uint16_t index = blk->available->index;

    slot->header.type = header_type(op);
    slot->header.sector = op == GUEST_OP_READ || op == GUEST_OP_WRITE ? lba : 0;
    slot->status = VIRTIO_BLK_STATUS_PENDING;
    if (op == GUEST_OP_DISCARD || op == GUEST_OP_ZERO) {
        slot->range = (Range) { .sector = lba, .sectors = sectors };
        data = &slot->range;
        bytes = sizeof(slot->range);
    } else if (op == GUEST_OP_FLUSH) {
        bytes = 0;
    }
    describe_request(blk, first, slot, data, bytes, op == GUEST_OP_READ);
    blk->available->ring[index % blk->queue_size] = first;
    compiler_barrier(); /* the entry before the index: x86 keeps store order */
    blk->available->index = index + 1;
    full_barrier(); /* the index before the look at the flags */
    if (!(blk->used->flags & 1)) {
        out16(blk->port + REG_QUEUE_NOTIFY, 0);
    }
}

bool virtio_blk_poll(VirtioBlk *blk, uint32_t *slot, uint32_t *status)
{
    if (blk->used->index == blk->used_seen) {
        return false;
    }
    compiler_barrier(); /* the index before the entry */
    *slot =
        blk->used->ring[blk->used_seen % blk->queue_size].id / DESCS_PER_SLOT;
    *status = blk->slots[*slot].status;
    blk->used_seen++;
    return true;
}
