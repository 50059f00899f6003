/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Condition variables with deadlines. */
#include "shmig/base/wait.h"

#include <errno.h>
#include <time.h>

void shmig_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool shmig_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
                           int64_t deadline_us)
{
    struct timespec until = {
        .tv_sec = deadline_us / 1000000,
        .tv_nsec = deadline_us % 1000000 * 1000,
    };

    return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}
