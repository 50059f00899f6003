/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Condition variables with deadlines on the clock of
 * g_get_monotonic_time().
 *
 * The library locks with pthreads, not with GMutex and GCond: GLib's are
 * built on futexes inside the library, where ThreadSanitizer cannot see
 * them.
 */
#ifndef SHMIG_BASE_WAIT_H
#define SHMIG_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void shmig_cond_init(pthread_cond_t *cond);

/* False at the deadline, in microseconds; the lock is held again then too. */
bool shmig_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
                           int64_t deadline_us);

#endif
