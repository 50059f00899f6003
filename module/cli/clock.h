/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clock that phases are measured by. */
#ifndef SHMIG_CLI_CLOCK_H
#define SHMIG_CLI_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

#endif
