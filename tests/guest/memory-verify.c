/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checking the filled and the untouched memory, on all CPUs at once. */
#include "console.h"
#include "cpu.h"
#include "memory.h"
#include "memory-internal.h"
#include "service.h"

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
