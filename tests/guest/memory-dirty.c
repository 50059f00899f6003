/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing the filled memory at a rate.
 *
 * Writing a page is: version up in the table, three stamps.  Each CPU writes
 * its own part only, so the table needs no locks.  The loop keeps everything
 * in registers: each instruction counts where they are interpreted.
 */
#include "clock.h"
#include "cpu.h"
#include "memory.h"
#include "memory-internal.h"
#include "options.h"
#include "service.h"

#define BATCH 64u

/* One value at a time; each CPU says in its writer_epoch what it obeys. */
static volatile uint32_t writers_epoch;
static volatile bool writers_run;

static uint32_t writers(void)
{
    return cpu_count > 1 ? cpu_count - 1 : 1;
}

/* Which of the writers this CPU is; false if it is none. */
static bool writer_index(const Cpu *cpu, uint32_t *index)
{
    *index = cpu_count > 1 ? cpu->index - 1 : 0;
    return cpu_count == 1 || cpu->index > 0;
}

/* The part of the filled memory a writer writes; false if there is none. */
static bool part_of(uint32_t index, uint32_t *first, uint32_t *pages)
{
    uint32_t all = state->memory_pages;

    if (options.span_mib && options.span_mib * PAGES_PER_MIB < all) {
        all = options.span_mib * PAGES_PER_MIB;
    }
    *pages = all / writers();
    *first = *pages * index;
    return *pages > 0;
}

/* Only the high bits are any good, and only they are used. */
static inline uint32_t next_random(uint32_t random)
{
    return random * 1664525u + 1013904223u;
}

static inline void write_page(uint32_t page, uint32_t *in_flight)
{
    uint32_t *w = memory_page(page);
    uint32_t id = guest_page_id(state->seed, page), version;

    *in_flight = page;
    compiler_barrier();
    version = ++version_table()[page];
    w[GUEST_WORD_VERSION] = version;
    w[GUEST_WORD_MIDDLE] = guest_page_middle(id, version);
    w[GUEST_WORD_LAST] = guest_page_last(id, version);
    compiler_barrier();
}

static void write_sequential(Cpu *cpu, uint32_t first, uint32_t pages,
                             uint32_t count)
{
    uint32_t *in_flight = &state->page_in_flight[cpu->index];
    uint32_t page = cpu->next_page;

    while (count--) {
        if (page >= pages) {
            page = 0;
        }
        write_page(first + page++, in_flight);
    }
    cpu->next_page = page;
}

static void write_random(Cpu *cpu, uint32_t first, uint32_t pages,
                         uint32_t count)
{
    uint32_t *in_flight = &state->page_in_flight[cpu->index];
    uint32_t random = cpu->random;

    while (count--) {
        random = next_random(random);
        write_page(first + mul_high(random, pages), in_flight);
    }
    cpu->random = random;
}

static void write_hot(Cpu *cpu, uint32_t first, uint32_t pages, uint32_t count)
{
    uint32_t hot = divide((uint64_t)pages * options.hot, 100, NULL);
    uint32_t cold = count / 10;

    if (count % 10 && next_random(cpu->random) >> 16 < count % 10 * 6554) {
        cold++;
    }
    write_random(cpu, first, hot ? hot : 1, count - cold);
    write_random(cpu, first, pages, cold);
}

static uint32_t share_of_rate(uint32_t index)
{
    if (options.dirty == RATE_MAX) {
        return RATE_MAX;
    }
    return options.dirty / writers() + (index < options.dirty % writers());
}

static void obey(Cpu *cpu)
{
    if (!cpu->random) {
        cpu->random = (options.seed + cpu->index) * 0x9e3779b1u | 1;
    }
    rate_restart(&cpu->rate, clock_ns());
    compiler_barrier();
    cpu->writer_epoch = writers_epoch;
}

bool memory_dirty_step(Cpu *cpu)
{
    uint32_t index, first, pages, due;
    bool run = writers_run;

    if (cpu->writer_epoch != writers_epoch) {
        obey(cpu);
        return true;
    }
    if (!run || !options.dirty || !writer_index(cpu, &index) ||
        !part_of(index, &first, &pages)) {
        return false;
    }
    due = rate_due(&cpu->rate, share_of_rate(index), clock_ns());
    due = due > BATCH ? BATCH : due;
    if (options.pattern == PATTERN_SEQUENTIAL) {
        write_sequential(cpu, first, pages, due);
    } else if (options.pattern == PATTERN_RANDOM) {
        write_random(cpu, first, pages, due);
    } else {
        write_hot(cpu, first, pages, due);
    }
    state->page_in_flight[cpu->index] = GUEST_NO_PAGE;
    cpu->rate.done += due;
    cpu->dirtied += due;
    return due > 0;
}

void memory_run(bool run)
{
    writers_run = run;
    compiler_barrier();
    writers_epoch++;
    for (uint32_t i = 0; i < cpu_count; i++) {
        Cpu *cpu = &cpus[i];

        while (cpu->writer_epoch != writers_epoch) {
            if (i == 0) {
                memory_dirty_step(cpu);
            }
            service();
            cpu_relax();
        }
    }
}
