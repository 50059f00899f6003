/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUs.
 *
 * They are started one after the other, so that the trampoline needs no
 * arbitration.  Each has a periodic local timer, which only wakes it from
 * "hlt"; all work is found by polling.
 */
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "layout.h"
#include "memory.h"
#include "options.h"
#include "service.h"
#include "smp.h"

#define LAPIC_ID 0x20
#define LAPIC_SPURIOUS 0xf0
#define LAPIC_ICR_LOW 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_TIMER 0x320
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE 0x3e0
#define LAPIC_ENABLE 0x100
#define LAPIC_PERIODIC 0x20000
#define LAPIC_MASKED 0x10000
#define LAPIC_DIVIDE_BY_1 0xb
#define ICR_INIT 0x4500
#define ICR_STARTUP 0x4600
#define ICR_PENDING 0x1000

#define VECTOR_TIMER 0x20
#define VECTOR_SPURIOUS 0xff

#define MS_NS 1000000u
#define AP_STACK_WORDS 2048
#define AP_START_NS (200 * MS_NS)
#define HIGHEST_APIC_ID 64

Cpu cpus[GUEST_MAX_CPUS];
uint32_t cpu_count = 1;

extern char timer_isr[], spurious_isr[];
extern char trampoline[], trampoline_end[];
extern uint32_t *volatile ap_stack_top;
extern volatile uint32_t ap_index;
void ap_main(uint32_t index);

static uint32_t ap_stacks[GUEST_MAX_CPUS][AP_STACK_WORDS];
static uint64_t idt[256];
static volatile uint32_t ap_arrived; /* highest index that runs */
static uint32_t timer_count;         /* LAPIC ticks of one period */

static volatile uint32_t *lapic(uint32_t reg)
{
    return (volatile uint32_t *)(LAPIC_ADDRESS + reg);
}

static void idt_load(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint32_t base;
    } pointer = { sizeof(idt) - 1, (uint32_t)idt };

    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void idt_set(uint32_t vector, char *handler)
{
    uint32_t address = (uint32_t)handler;

    idt[vector] = (uint64_t)((address & 0xffff0000u) | 0x8e00) << 32 |
                  (address & 0xffff) | 8 << 16;
}

static void timer_calibrate(void)
{
    uint64_t begin;
    uint32_t ticks, ms = 20;

    *lapic(LAPIC_TIMER_DIVIDE) = LAPIC_DIVIDE_BY_1;
    *lapic(LAPIC_TIMER) = LAPIC_MASKED | VECTOR_TIMER;
    *lapic(LAPIC_TIMER_INITIAL) = UINT32_MAX;
    begin = clock_ns();
    while (clock_ns() - begin < ms * MS_NS) {
        cpu_relax();
    }
    ticks = UINT32_MAX - *lapic(LAPIC_TIMER_CURRENT);
    timer_count = divide((uint64_t)ticks * 1000, ms * options.hz, NULL);
}

static void timer_start(void)
{
    idt_load();
    *lapic(LAPIC_SPURIOUS) = LAPIC_ENABLE | VECTOR_SPURIOUS;
    *lapic(LAPIC_TIMER_DIVIDE) = LAPIC_DIVIDE_BY_1;
    *lapic(LAPIC_TIMER) = LAPIC_PERIODIC | VECTOR_TIMER;
    *lapic(LAPIC_TIMER_INITIAL) = timer_count;
}

static void wait_ns(uint64_t ns)
{
    uint64_t begin = clock_ns();

    while (clock_ns() - begin < ns) {
        cpu_relax();
    }
}

static void send_ipi(uint32_t apic_id, uint32_t what)
{
    *lapic(LAPIC_ICR_HIGH) = apic_id << 24;
    *lapic(LAPIC_ICR_LOW) = what;
    while (*lapic(LAPIC_ICR_LOW) & ICR_PENDING) {
        cpu_relax();
    }
}

/* Starts the CPU with this APIC id; false if there is none. */
static bool start_cpu(uint32_t apic_id, uint32_t index)
{
    uint64_t begin;

    ap_index = index;
    ap_stack_top = &ap_stacks[index][AP_STACK_WORDS];
    send_ipi(apic_id, ICR_INIT);
    wait_ns(10 * MS_NS);
    send_ipi(apic_id, ICR_STARTUP | TRAMPOLINE_ADDRESS >> 12);
    begin = clock_ns();
    while (ap_arrived != index) {
        if (clock_ns() - begin > AP_START_NS) {
            return false;
        }
        cpu_relax();
    }
    return true;
}

void smp_init(uint32_t cpus_wanted)
{
    uint32_t own_id;

    for (uint32_t i = 0; i < 256; i++) {
        idt_set(i, spurious_isr);
    }
    idt_set(VECTOR_TIMER, timer_isr);
    out8(0x21, 0xff); /* both PICs: nothing */
    out8(0xa1, 0xff);
    *lapic(LAPIC_SPURIOUS) = LAPIC_ENABLE | VECTOR_SPURIOUS;
    timer_calibrate();
    timer_start();
    words_copy((void *)TRAMPOLINE_ADDRESS, trampoline,
               (trampoline_end - trampoline + 3) / 4);
    own_id = *lapic(LAPIC_ID) >> 24;
    if (cpus_wanted > GUEST_MAX_CPUS) {
        cpus_wanted = GUEST_MAX_CPUS;
    }
    /* Ids have holes where the topology is no power of two. */
    for (uint32_t id = 0; id < HIGHEST_APIC_ID && cpu_count < cpus_wanted;
         id++) {
        if (id != own_id && start_cpu(id, cpu_count)) {
            cpu_count++;
        }
    }
}

void smp_sleep(void)
{
    cpu_halt();
}

static void run_share(Cpu *cpu)
{
    cpu->job(cpu, cpu->job_first, cpu->job_end);
    compiler_barrier(); /* results before the mark; x86 keeps store order */
    cpu->job_done = cpu->job_posted;
}

void smp_run_job(JobFunction *job, uint32_t pages)
{
    uint32_t share = pages / cpu_count;

    for (uint32_t i = 0; i < cpu_count; i++) {
        Cpu *cpu = &cpus[i];

        cpu->job = job;
        cpu->job_first = share * i;
        cpu->job_end = i == cpu_count - 1 ? pages : share * (i + 1);
        cpu->bad = 0;
        cpu->sum = 0;
        compiler_barrier();
        cpu->job_posted++;
    }
    run_share(&cpus[0]);
    for (uint32_t i = 1; i < cpu_count; i++) {
        while (cpus[i].job_done != cpus[i].job_posted) {
            service();
            cpu_relax();
        }
    }
}

void ap_main(uint32_t index)
{
    Cpu *cpu = &cpus[index];

    cpu->index = index;
    timer_start();
    ap_arrived = index;
    for (;;) {
        if (cpu->job_done != cpu->job_posted) {
            compiler_barrier();
            run_share(cpu);
        } else if (!memory_dirty_step(cpu)) {
            smp_sleep();
        }
    }
}
