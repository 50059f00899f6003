/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's fw_cfg, by I/O ports and DMA.  The DMA structures are big-endian. */
#include "cpu.h"
#include "fw-cfg.h"

#define PORT_SELECT 0x510
#define PORT_DATA 0x511
#define PORT_DMA_HIGH 0x514
#define PORT_DMA_LOW 0x518

#define KEY_SIGNATURE 0x00
#define KEY_FEATURES 0x01
#define KEY_CPUS 0x05
#define KEY_DIRECTORY 0x19
#define FEATURE_DMA 0x2

#define DMA_ERROR 0x01u
#define DMA_READ 0x02u
#define DMA_SELECT 0x08u

#define NAME_BYTES 56

typedef struct DmaAccess {
    uint32_t control, length, address_high, address_low;
} DmaAccess;

static uint32_t swap32(uint32_t v)
{
    return v >> 24 | (v >> 8 & 0xff00) | (v & 0xff00) << 8 | v << 24;
}

static uint32_t read_big_endian(uint32_t bytes)
{
    uint32_t value = 0;

    while (bytes--) {
        value = value << 8 | in8(PORT_DATA);
    }
    return value;
}

uint32_t fw_cfg_cpus(void)
{
    uint32_t low, high;

    out16(PORT_SELECT, KEY_CPUS);
    low = in8(PORT_DATA);
    high = in8(PORT_DATA);
    low |= high << 8;
    return low ? low : 1;
}

static bool has_dma(void)
{
    out16(PORT_SELECT, KEY_FEATURES);
    return in8(PORT_DATA) & FEATURE_DMA;
}

bool fw_cfg_find(const char *name, uint32_t *key, uint32_t *bytes)
{
    uint32_t entries;

    if (!has_dma()) {
        return false;
    }
    out16(PORT_SELECT, KEY_DIRECTORY);
    entries = read_big_endian(4);
    while (entries--) {
        uint32_t size = read_big_endian(4);
        uint32_t select = read_big_endian(2);
        bool same = true, ended = false;

        read_big_endian(2);
        for (uint32_t i = 0; i < NAME_BYTES; i++) {
            char c = in8(PORT_DATA);

            if (!ended) {
                same = same && c == name[i];
                ended = !c || !same;
            }
        }
        if (same) {
            *key = select;
            *bytes = size;
            return true;
        }
    }
    return false;
}

bool fw_cfg_read(uint32_t key, void *to, uint32_t bytes)
{
    volatile DmaAccess dma = {
        .control = swap32(key << 16 | DMA_SELECT | DMA_READ),
        .length = swap32(bytes),
        .address_low = swap32((uint32_t)to),
    };
    uint32_t control;

    compiler_barrier();
    out32(PORT_DMA_HIGH, 0);
    out32(PORT_DMA_LOW, swap32((uint32_t)&dma));
    do {
        control = swap32(dma.control);
    } while (control & ~DMA_ERROR);
    compiler_barrier();
    return !(control & DMA_ERROR);
}
