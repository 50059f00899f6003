/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filled memory.
 *
 * A page is a page of the template with four stamped words (guest-protocol.h).
 * Writing one is: version up in the table, three stamps.  Each CPU writes its
 * own part only, so the table needs no locks.
 */
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "fw-cfg.h"
#include "layout.h"
#include "memory.h"
#include "options.h"
#include "service.h"
#include "state.h"

#define MIB 0x100000u
#define PAGES_PER_MIB (MIB / GUEST_PAGE_BYTES)
#define ALIGN_MEMORY 0x200000u
#define BATCH 64u
#define LONG_LAG 55
#define SHORT_LAG 24
#define SERVICE_PAGES 16u

/* One value at a time; each CPU says in its writer_epoch what it obeys. */
static volatile uint32_t writers_epoch;
static volatile bool writers_run;

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

static uint32_t *template_page(uint32_t page)
{
    return (uint32_t *)(state->template_address +
                        page % state->template_pages * GUEST_PAGE_BYTES);
}

static uint32_t *memory_page(uint32_t page)
{
    return (uint32_t *)(state->memory_address + page * GUEST_PAGE_BYTES);
}

static uint32_t *version_table(void)
{
    return (uint32_t *)state->version_address;
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

/* The part of the filled memory this CPU writes; false if it writes none. */
static bool part_of(const Cpu *cpu, uint32_t *first, uint32_t *pages)
{
    uint32_t writers = cpu_count > 1 ? cpu_count - 1 : 1;
    uint32_t index = cpu_count > 1 ? cpu->index - 1 : 0;
    uint32_t all = state->memory_pages;

    if (cpu_count > 1 && cpu->index == 0) {
        return false;
    }
    if (options.span_mib && options.span_mib * PAGES_PER_MIB < all) {
        all = options.span_mib * PAGES_PER_MIB;
    }
    *pages = all / writers;
    *first = *pages * index;
    return *pages > 0;
}

static uint32_t next_random(Cpu *cpu)
{
    uint32_t x = cpu->random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    cpu->random = x;
    return x;
}

static uint32_t choose_page(Cpu *cpu, uint32_t pages)
{
    uint32_t random, hot;

    if (options.pattern == PATTERN_SEQUENTIAL) {
        if (++cpu->next_page >= pages) {
            cpu->next_page = 0;
        }
        return cpu->next_page;
    }
    random = next_random(cpu);
    if (options.pattern == PATTERN_HOT && random % 10 != 0) {
        hot =
            (uint64_t)pages * options.hot / 100 ? pages / 100 * options.hot : 0;
        return hot ? mul_high(next_random(cpu), hot) : 0;
    }
    return mul_high(random, pages);
}

static inline void write_page(Cpu *cpu, uint32_t page)
{
    uint32_t *w = memory_page(page);
    uint32_t id = guest_page_id(state->seed, page), version;

    state->page_in_flight[cpu->index] = page;
    compiler_barrier();
    version = ++version_table()[page];
    w[GUEST_WORD_VERSION] = version;
    w[GUEST_WORD_MIDDLE] = guest_page_middle(id, version);
    w[GUEST_WORD_LAST] = guest_page_last(id, version);
    compiler_barrier();
    state->page_in_flight[cpu->index] = GUEST_NO_PAGE;
}

static uint32_t share_of_rate(const Cpu *cpu)
{
    uint32_t writers = cpu_count > 1 ? cpu_count - 1 : 1;
    uint32_t index = cpu_count > 1 ? cpu->index - 1 : 0;

    if (options.dirty == RATE_MAX) {
        return RATE_MAX;
    }
    return options.dirty / writers + (index < options.dirty % writers);
}

bool memory_dirty_step(Cpu *cpu)
{
    uint32_t first, pages, due;
    bool run = writers_run;

    if (cpu->writer_epoch != writers_epoch) {
        rate_restart(&cpu->rate, clock_ns());
        compiler_barrier();
        cpu->writer_epoch = writers_epoch;
        return true;
    }
    if (!run || !options.dirty || !part_of(cpu, &first, &pages)) {
        return false;
    }
    due = rate_due(&cpu->rate, share_of_rate(cpu), clock_ns());
    due = due > BATCH ? BATCH : due;
    for (uint32_t i = 0; i < due; i++) {
        write_page(cpu, first + choose_page(cpu, pages));
    }
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

        if (!cpu->random) {
            cpu->random = (options.seed + i) * 0x9e3779b1u | 1;
        }
        while (cpu->writer_epoch != writers_epoch) {
            if (i == 0) {
                memory_dirty_step(cpu);
            }
            service();
            cpu_relax();
        }
    }
}

static bool page_stamps_ok(const uint32_t *w, uint32_t id, uint32_t version)
{
    return w[GUEST_WORD_ID] == id && w[GUEST_WORD_VERSION] == version &&
           w[GUEST_WORD_MIDDLE] == guest_page_middle(id, version) &&
           w[GUEST_WORD_LAST] == guest_page_last(id, version);
}

static bool page_body_ok(const uint32_t *w, const uint32_t *t)
{
    return words_equal(w + GUEST_WORD_VERSION + 1, t + GUEST_WORD_VERSION + 1,
                       GUEST_WORD_MIDDLE - GUEST_WORD_VERSION - 1) &&
           words_equal(w + GUEST_WORD_MIDDLE + 1, t + GUEST_WORD_MIDDLE + 1,
                       GUEST_WORD_LAST - GUEST_WORD_MIDDLE - 1);
}

static void note_bad(Cpu *cpu, uint32_t page)
{
    if (!cpu->bad++) {
        cpu->first_bad = page;
    }
}

static void verify_pages(Cpu *cpu, uint32_t first, uint32_t end, bool quick)
{
    for (uint32_t page = first; page < end; page++) {
        const uint32_t *w = memory_page(page);
        uint32_t id = guest_page_id(state->seed, page);

        if (!page_stamps_ok(w, id, version_table()[page]) ||
            (!quick && !page_body_ok(w, template_page(page)))) {
            note_bad(cpu, page);
        }
        if (cpu->index == 0 && (!quick || page % SERVICE_PAGES == 0)) {
            service();
        }
    }
}

static void job_verify(Cpu *cpu, uint32_t first, uint32_t end)
{
    verify_pages(cpu, first, end, false);
}

static void job_verify_quick(Cpu *cpu, uint32_t first, uint32_t end)
{
    verify_pages(cpu, first, end, true);
}

static void job_verify_zero(Cpu *cpu, uint32_t first, uint32_t end)
{
    for (uint32_t page = first; page < end; page++) {
        const void *p = (void *)(state->zero_address + page * GUEST_PAGE_BYTES);

        if (!words_zero(p, GUEST_PAGE_WORDS)) {
            note_bad(cpu, page);
        }
        if (cpu->index == 0) {
            service();
        }
    }
}

/* Total of bad pages over all CPUs, and the first of them. */
static uint32_t collect_bad(uint32_t *first)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < cpu_count; i++) {
        if (cpus[i].bad && !bad) {
            *first = cpus[i].first_bad;
        }
        bad += cpus[i].bad;
    }
    return bad;
}

static void print_bad_page(uint32_t page, uint32_t count)
{
    const uint32_t *w = memory_page(page);

    console_line("MEM bad page=%u count=%u version=%u found id=%x version=%x "
                 "middle=%x last=%x",
                 page, count, version_table()[page], w[GUEST_WORD_ID],
                 w[GUEST_WORD_VERSION], w[GUEST_WORD_MIDDLE],
                 w[GUEST_WORD_LAST]);
}

void memory_verify(bool quick)
{
    uint32_t bad, first = 0;

    smp_run_job(quick ? job_verify_quick : job_verify, state->memory_pages);
    bad = collect_bad(&first);
    if (bad) {
        print_bad_page(first, bad);
        return;
    }
    smp_run_job(job_verify_zero, state->zero_pages);
    bad = collect_bad(&first);
    if (bad) {
        console_line("MEM bad zero_page=%u count=%u", first, bad);
        return;
    }
    console_line("MEM ok pages=%u zero=%u checked=%s", state->memory_pages,
                 state->zero_pages, quick ? "stamps" : "all");
}

static void job_checksum(Cpu *cpu, uint32_t first, uint32_t end)
{
    for (uint32_t page = first; page < end; page++) {
        const uint32_t *w = memory_page(page);
        uint32_t sum = 0;

        for (uint32_t i = 0; i < GUEST_PAGE_WORDS; i++) {
            sum = (sum << 1 | sum >> 31) + w[i];
        }
        cpu->sum += sum * (page | 1);
        if (cpu->index == 0) {
            service();
        }
    }
}

uint32_t memory_checksum(void)
{
    uint32_t sum = 0;

    smp_run_job(job_checksum, state->memory_pages);
    for (uint32_t i = 0; i < cpu_count; i++) {
        sum += cpus[i].sum;
    }
    return sum;
}
