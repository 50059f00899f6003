/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where memory goes, and filling it.
 *
 * A page is a page of the template with four stamped words (guest-protocol.h).
 */
#include "cpu.h"
#include "fw-cfg.h"
#include "layout.h"
#include "memory.h"
#include "memory-internal.h"
#include "options.h"
#include "service.h"

#define ALIGN_MEMORY 0x200000u
#define LONG_LAG 55
#define SHORT_LAG 24

static uint32_t heap_next = HEAP_ADDRESS, heap_end;
static uint32_t template_key, template_file_bytes;

void memory_set_end(uint32_t end)
{
    heap_end = end;
}

/* `zero`: memory from the firmware's past may hold anything. */
static uint32_t *take(uint64_t bytes, uint32_t alignment, bool zero)
{
    uint32_t start = (heap_next + alignment - 1) & -alignment;

    bytes = (bytes + GUEST_PAGE_BYTES - 1) & -(uint64_t)GUEST_PAGE_BYTES;
    if (start + bytes > heap_end) {
        return NULL;
    }
    heap_next = start + bytes;
    if (zero) {
        words_set((void *)start, 0, bytes / 4);
    }
    return (uint32_t *)start;
}

uint32_t *memory_allocate(uint64_t bytes)
{
    return take(bytes, GUEST_PAGE_BYTES, true);
}

uint32_t *memory_allocate_dirty(uint64_t bytes)
{
    return take(bytes, GUEST_PAGE_BYTES, false);
}

/* Lagged Fibonacci: incompressible at one addition a word. */
static void template_generate(void)
{
    uint32_t *word = (uint32_t *)state->template_address;
    uint32_t *end = word + state->template_pages * GUEST_PAGE_WORDS;
    uint32_t *seeded = word + LONG_LAG;
    uint32_t x = options.seed * 0x9e3779b1u | 1;

    while (word < seeded) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        *word++ = x;
    }
    while (word < end) {
        uint32_t *stop = word + GUEST_PAGE_WORDS;

        for (stop = stop < end ? stop : end; word < stop; word++) {
            *word = word[-LONG_LAG] + word[-SHORT_LAG];
        }
        service();
    }
}

static const char *template_init(void)
{
    uint32_t bytes = options.template_mib * MIB;

    state->template_pages = bytes / GUEST_PAGE_BYTES;
    state->template_address = (uint32_t)take(bytes, ALIGN_MEMORY, false);
    if (!state->template_address) {
        return "tmpl does not fit in memory";
    }
    if (!fw_cfg_find(GUEST_FW_CFG_TEMPLATE, &template_key,
                     &template_file_bytes)) {
        template_file_bytes = 0;
        template_generate();
        return NULL;
    }
    if (template_file_bytes < bytes) {
        return "the template file is smaller than tmpl";
    }
    return fw_cfg_read(template_key, (void *)state->template_address, bytes)
               ? NULL
               : "the template file cannot be read";
}

const char *memory_init(void)
{
    const char *error;

    state->memory_pages = options.memory_mib * PAGES_PER_MIB;
    state->zero_pages = options.zero_mib * PAGES_PER_MIB;
    state->version_address =
        (uint32_t)memory_allocate((uint64_t)state->memory_pages * 4);
    if (!state->version_address) {
        return "the version table does not fit in memory";
    }
    error = template_init();
    if (error) {
        return error;
    }
    state->memory_address =
        (uint32_t)take((uint64_t)options.memory_mib * MIB, ALIGN_MEMORY, false);
    if (!state->memory_address) {
        return "mem does not fit in memory";
    }
    state->zero_address =
        (uint32_t)take((uint64_t)options.zero_mib * MIB, ALIGN_MEMORY, false);
    if (!state->zero_address) {
        return "zero does not fit in memory";
    }
    for (uint32_t i = 0; i < GUEST_MAX_CPUS; i++) {
        state->page_in_flight[i] = GUEST_NO_PAGE;
    }
    return NULL;
}

static void job_copy_template(Cpu *cpu, uint32_t first, uint32_t end)
{
    for (uint32_t page = first; page < end; page++) {
        words_copy(memory_page(page), template_page(page), GUEST_PAGE_WORDS);
        if (cpu->index == 0 && page % 4 == 0) {
            service();
        }
    }
}

static void job_stamp(Cpu *cpu, uint32_t first, uint32_t end)
{
    for (uint32_t page = first; page < end; page++) {
        uint32_t *w = memory_page(page);
        uint32_t id = guest_page_id(state->seed, page);

        w[GUEST_WORD_ID] = id;
        w[GUEST_WORD_VERSION] = 0;
        w[GUEST_WORD_MIDDLE] = guest_page_middle(id, 0);
        w[GUEST_WORD_LAST] = guest_page_last(id, 0);
        if (cpu->index == 0 && page % SERVICE_PAGES == 0) {
            service();
        }
    }
}

/* By the VMM's memcpy: seconds instead of minutes under an interpreter. */
static bool fill_by_dma(void)
{
    uint32_t page = 0;

    while (template_file_bytes && page < state->memory_pages) {
        uint32_t pages = state->memory_pages - page;

        if (pages > state->template_pages) {
            pages = state->template_pages;
        }
        if (!fw_cfg_read(template_key, memory_page(page),
                         pages * GUEST_PAGE_BYTES)) {
            return false;
        }
        page += pages;
        service();
    }
    return page == state->memory_pages;
}

void memory_fill(void)
{
    if (!fill_by_dma()) {
        smp_run_job(job_copy_template, state->memory_pages);
    }
    smp_run_job(job_stamp, state->memory_pages);
}
