/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bench's guest: writes one word into each page it is told to, then says
 * so.  Compiled twice, for a 32-bit guest without paging and for a 64-bit
 * guest with memory above 4 GiB.
 *
 * It uses plain integer instructions alone, so that it also runs where KVM
 * emulates them one by one.  There is no data beside the command: what is
 * linked is one section of code.
 */
#include "command.h"

static inline uint32_t next_random(uint32_t x)
{
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

static inline uint32_t scaled(uint32_t random, uint32_t n)
{
    return (uint64_t)random * n >> 32;
}

static inline void say_done(void)
{
    __asm__ volatile("outb %%al, %%dx" : : "a"(0), "d"(PAYLOAD_PORT));
}

/*
 * A KVM that emulates does some 1,000 instructions before it looks whether a
 * dirty ring is full, and it keeps 64 entries in reserve for that.  A processor
 * does the nops while it waits for the memory.
 */
static inline void take_time(void)
{
    __asm__ volatile(".rept 12\n\tnop\n\t.endr");
}

static inline void write_page(volatile PayloadCommand *cmd, uintptr_t base,
                              uint32_t page, uint32_t value)
{
    *(volatile uint32_t *)(base + ((uintptr_t)page << 12)) = value;
    ++*(volatile uint32_t *)&cmd->done;
    take_time();
}

static void write_in_order(volatile PayloadCommand *cmd, uint32_t step)
{
    uintptr_t base = cmd->base;
    uint32_t pages = cmd->pages, page = cmd->position;

    for (uint32_t n = cmd->count; n; n--) {
        write_page(cmd, base, page, n);
        page += step;
        /* Strides begin one page later each time round. */
        if (page >= pages) {
            page -= pages;
            page = step > 1 ? (page + 1) % step : page;
        }
    }
    cmd->position = page;
}

static void write_at_random(volatile PayloadCommand *cmd)
{
    uintptr_t base = cmd->base;
    uint32_t pages = cmd->pages, x = cmd->random;

    for (uint32_t n = cmd->count; n; n--) {
        x = next_random(x);
        write_page(cmd, base, scaled(x, pages), x);
    }
    cmd->random = x;
}

static void write_hot(volatile PayloadCommand *cmd)
{
    uintptr_t base = cmd->base;
    uint32_t pages = cmd->pages, hot = cmd->hot_pages, x = cmd->random;
    uint32_t turn = cmd->position;

    for (uint32_t n = cmd->count; n; n--) {
        x = next_random(x);
        turn = turn == 9 ? 0 : turn + 1;
        write_page(cmd, base, scaled(x, turn ? hot : pages), x);
    }
    cmd->random = x;
    cmd->position = turn;
}

/* Where a vCPU starts; the linker script puts it first. */
__attribute__((section(".text.start"))) void payload(
    volatile PayloadCommand *cmd);

void payload(volatile PayloadCommand *cmd)
{
    for (;;) {
        switch ((uint32_t)cmd->pattern) {
        case PAYLOAD_RANDOM:
            write_at_random(cmd);
            break;
        case PAYLOAD_HOT:
            write_hot(cmd);
            break;
        case PAYLOAD_STRIDED:
            write_in_order(cmd, cmd->stride);
            break;
        default:
            write_in_order(cmd, 1);
            break;
        }
        say_done();
    }
}
