/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a multiboot loader hands over, as far as the guest uses it. */
#ifndef GUEST_MULTIBOOT_H
#define GUEST_MULTIBOOT_H

#include <stdint.h>

#define MULTIBOOT_LOADED 0x2badb002u
#define MULTIBOOT_HAS_MEMORY 0x1u
#define MULTIBOOT_HAS_COMMAND_LINE 0x4u
#define MULTIBOOT_HAS_MAP 0x40u

typedef struct MultibootInfo {
    uint32_t flags;
    uint32_t lower_kib, upper_kib;
    uint32_t boot_device;
    uint32_t command_line;
    uint32_t modules, modules_address;
    uint32_t symbols[4];
    uint32_t map_bytes, map_address;
} MultibootInfo;

/* End of the usable memory that begins at or below `address`; 0: none. */
uint32_t multiboot_memory_end(const MultibootInfo *info, uint32_t address);

#endif
