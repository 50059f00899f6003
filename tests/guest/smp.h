/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUs: starting them, sleeping, and giving each a share of a job.
 *
 * The first CPU (index 0) runs everything in service.h and the disks.  The
 * others write memory; if there are none, the first does that too.
 */
#ifndef GUEST_SMP_H
#define GUEST_SMP_H

#include <stdint.h>
#include <stdbool.h>

#include "guest-protocol.h"
#include "rate.h"

typedef struct Cpu Cpu;

/* One CPU's share of a job: pages [first, end). */
typedef void JobFunction(Cpu *cpu, uint32_t first, uint32_t end);

struct Cpu {
    uint32_t index;

    /* Written by the first CPU while job_done == job_posted. */
    JobFunction *job;
    uint32_t job_first, job_end;
    volatile uint32_t job_posted;
    volatile uint32_t job_done; /* written by this CPU */

    /* What a job found; owned by it until job_done. */
    uint32_t bad, first_bad, sum;

    /* Written by this CPU alone. */
    volatile uint32_t dirtied;
    volatile uint32_t writer_epoch; /* last writers_epoch it acted on */
    uint32_t random;
    uint32_t next_page;
    Rate rate;
};

extern Cpu cpus[GUEST_MAX_CPUS];
extern uint32_t cpu_count;

/* Interrupts, the first CPU's timer, and all other CPUs. */
void smp_init(uint32_t cpus_wanted);

/* Sleeps until the next timer interrupt. */
void smp_sleep(void);

/*
 * Splits `pages` over all CPUs and returns when every share is done.  The
 * first CPU's share must call service() now and then.
 */
void smp_run_job(JobFunction *job, uint32_t pages);

#endif
