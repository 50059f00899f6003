/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a multiboot loader hands over: the memory map. */
#include "multiboot.h"

#define TYPE_USABLE 1
#define KIB 1024u
#define MIB 0x100000u

typedef struct __attribute__((packed)) MapEntry {
    uint32_t size; /* of what follows */
    uint64_t base, length;
    uint32_t type;
} MapEntry;

uint32_t multiboot_memory_end(const MultibootInfo *info, uint32_t address)
{
    uint32_t at = info->map_address;
    uint32_t map_end = info->map_address + info->map_bytes;

    if (!(info->flags & MULTIBOOT_HAS_MAP)) {
        return info->flags & MULTIBOOT_HAS_MEMORY ? MIB + info->upper_kib * KIB
                                                  : 0;
    }
    while (at < map_end) {
        const MapEntry *e = (const MapEntry *)at;

        if (e->type == TYPE_USABLE && e->base <= address &&
            e->base + e->length > address) {
            uint64_t end = e->base + e->length;

            return end > UINT32_MAX ? UINT32_MAX : (uint32_t)end;
        }
        at += e->size + sizeof(e->size);
    }
    return 0;
}
