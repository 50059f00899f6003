/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One io_uring and the thread that runs it.
 *
 * A ring belongs to the thread that calls shmig_ring_run().  Only
 * shmig_ring_wake() and shmig_ring_post() may be called from other threads.
 */
#ifndef SHMIG_IO_RING_H
#define SHMIG_IO_RING_H

#include <glib.h>
#include <liburing.h>
#include <stdint.h>

typedef struct ShmigRing ShmigRing;
typedef struct ShmigOp ShmigOp;

/*
 * One operation in flight, embedded in the structure of whoever issued it.
 * @done runs on the ring's thread, once per submission; @res is the
 * operation's result, or -errno.  The op and every buffer given to the kernel
 * must stay untouched until then.
 */
struct ShmigOp {
    void (*done)(ShmigOp *op, int res);
    /* Private to the ring: */
    ShmigOp *next;
    int res;
};

/* A ring with room for @entries operations in flight. */
ShmigRing *shmig_ring_new(unsigned entries, GError **errp);

/* What such an -@err means, and what to do about it. */
void shmig_ring_set_error(GError **errp, int err);

/* Frees a ring with nothing in flight; NULL is fine. */
void shmig_ring_free(ShmigRing *ring);

/*
 * A prepared-for-nothing submission entry tied to @op; the caller fills it
 * with an io_uring_prep_*() call and then calls shmig_ring_tie().
 * Never NULL: a full queue is submitted first.
 */
struct io_uring_sqe *shmig_ring_sqe(ShmigRing *ring);

/* Makes @op the owner of @sqe; after io_uring_prep_*(), which clears it. */
void shmig_ring_tie(ShmigRing *ring, struct io_uring_sqe *sqe, ShmigOp *op);

/* Number of tied operations whose done() has not run. */
unsigned shmig_ring_in_flight(const ShmigRing *ring);

/* Asks the kernel to end @op early; its done() still runs (-ECANCELED). */
void shmig_ring_cancel(ShmigRing *ring, ShmigOp *op);

/*
 * Submits, waits for at least one completion, post, wake-up or for
 * @timeout_ns (negative: without limit), then runs done() of all that
 * completed.  Returns 0 or -errno of the ring itself.  Where the kernel
 * refuses the ring's very first use, that is said once: from then on whatever
 * is tied ends with the same error, and posts and wake-ups work as ever.
 */
int shmig_ring_run(ShmigRing *ring, int64_t timeout_ns);

/* Any thread: makes a shmig_ring_run() return soon. */
void shmig_ring_wake(ShmigRing *ring);

/*
 * Any thread: op->done(op, res) will run on the ring's thread.  For
 * operations that someone else carries out.
 */
void shmig_ring_post(ShmigRing *ring, ShmigOp *op, int res);

#endif
