/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring: completions, posts and wake-ups from other threads, limits. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "refusal.h"
#include "shmig/base/error.h"
#include "shmig/io/ring.h"

#define NS_PER_MS 1000000

typedef struct TestOp {
    ShmigOp op;
    ShmigRing *ring;
    unsigned done_count;
    int res;
    unsigned again; /* how many more times done() submits itself */
    unsigned order; /* in which place it was done */
    unsigned *next_order;
} TestOp;

static void test_op_done(ShmigOp *op, int res)
{
    TestOp *t = (TestOp *)op;

    t->done_count++;
    t->res = res;
    if (t->next_order) {
        t->order = (*t->next_order)++;
    }
}

static ShmigRing *new_ring(unsigned entries)
{
    g_autoptr(GError) err = NULL;
    ShmigRing *ring = shmig_ring_new(entries, &err);

    g_assert_no_error(err);
    return ring;
}

static void submit_nop(ShmigRing *ring, TestOp *t)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(ring);

    io_uring_prep_nop(sqe);
    shmig_ring_tie(ring, sqe, &t->op);
}

static void run(ShmigRing *ring)
{
    g_assert_cmpint(shmig_ring_run(ring, -1), ==, 0);
}

static void run_out(ShmigRing *ring)
{
    while (shmig_ring_in_flight(ring)) {
        run(ring);
    }
}

static void resubmit_done(ShmigOp *op, int res)
{
    TestOp *t = (TestOp *)op;

    test_op_done(op, res);
    if (t->again) {
        t->again--;
        submit_nop(t->ring, t);
    }
}

static void test_done_submits_again(void)
{
    ShmigRing *ring = new_ring(4);
    TestOp t = { .op.done = resubmit_done, .ring = ring, .again = 99 };

    submit_nop(ring, &t);
    g_assert_cmpuint(shmig_ring_in_flight(ring), ==, 1);
    run_out(ring);
    g_assert_cmpuint(t.done_count, ==, 100);
    shmig_ring_free(ring);
}

static void test_result_reaches_done(void)
{
    ShmigRing *ring = new_ring(4);
    TestOp t = { .op.done = test_op_done };
    struct io_uring_sqe *sqe = shmig_ring_sqe(ring);
    char byte;

    io_uring_prep_read(sqe, -1, &byte, 1, 0);
    shmig_ring_tie(ring, sqe, &t.op);
    run_out(ring);
    g_assert_cmpint(t.res, ==, -EBADF);
    shmig_ring_free(ring);
}

/* Far more than both queues hold, without a run in between. */
static void test_more_ops_than_entries(void)
{
    enum { COUNT = 1000 };
    ShmigRing *ring = new_ring(4);
    g_autofree TestOp *t = g_new0(TestOp, COUNT);

    for (unsigned i = 0; i < COUNT; i++) {
        t[i].op.done = test_op_done;
        submit_nop(ring, &t[i]);
        g_assert_cmpuint(t[i].done_count, ==, 0);
    }
    g_assert_cmpuint(shmig_ring_in_flight(ring), ==, COUNT);
    run_out(ring);
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_cmpuint(t[i].done_count, ==, 1);
        g_assert_cmpint(t[i].res, ==, 0);
    }
    shmig_ring_free(ring);
}

static void test_timeout_ends_the_wait(void)
{
    ShmigRing *ring = new_ring(4);
    int64_t start = g_get_monotonic_time();

    g_assert_cmpint(shmig_ring_run(ring, 20 * NS_PER_MS), ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 19000);
    g_assert_cmpint(shmig_ring_run(ring, 0), ==, 0);
    shmig_ring_free(ring);
}

static void test_cancel_ends_a_wait_for_data(void)
{
    ShmigRing *ring = new_ring(4);
    TestOp t = { .op.done = test_op_done };
    struct io_uring_sqe *sqe;
    char byte;
    int fds[2];

    g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
    sqe = shmig_ring_sqe(ring);
    io_uring_prep_read(sqe, fds[0], &byte, 1, -1);
    shmig_ring_tie(ring, sqe, &t.op);
    g_assert_cmpint(shmig_ring_run(ring, 0), ==, 0);
    g_assert_cmpuint(t.done_count, ==, 0);

    shmig_ring_cancel(ring, &t.op);
    run_out(ring);
    g_assert_cmpuint(t.done_count, ==, 1);
    g_assert_true(t.res == -ECANCELED || t.res == -EINTR);
    close(fds[0]);
    close(fds[1]);
    shmig_ring_free(ring);
}

static void cancel_and_resubmit_done(ShmigOp *op, int res)
{
    TestOp *t = (TestOp *)op;

    shmig_ring_cancel(t->ring, op);
    resubmit_done(op, res);
}

/* A late cancel must not hit the next use of the same structure. */
static void test_cancel_of_what_is_over_does_nothing(void)
{
    ShmigRing *ring = new_ring(4);
    TestOp t = { .op.done = cancel_and_resubmit_done,
                 .ring = ring,
                 .again = 10 };

    submit_nop(ring, &t);
    run_out(ring);
    g_assert_cmpuint(t.done_count, ==, 11);
    g_assert_cmpint(t.res, ==, 0);
    shmig_ring_free(ring);
}

static void test_wake_before_run_is_kept(void)
{
    ShmigRing *ring = new_ring(4);

    for (unsigned i = 0; i < 100; i++) {
        shmig_ring_wake(ring);
        shmig_ring_wake(ring);
        run(ring);
    }
    shmig_ring_free(ring);
}

typedef struct Waker {
    ShmigRing *ring;
    atomic_uint value;
    unsigned count;
} Waker;

static gpointer wake_thread(gpointer opaque)
{
    Waker *waker = opaque;

    for (unsigned i = 0; i < waker->count; i++) {
        atomic_fetch_add(&waker->value, 1);
        shmig_ring_wake(waker->ring);
    }
    return NULL;
}

/* A lost wake-up hangs here. */
static void test_no_wake_is_lost(void)
{
    ShmigRing *ring = new_ring(4);
    Waker waker = { .ring = ring, .count = 20000 };
    GThread *thread = g_thread_new("wake", wake_thread, &waker);

    while (atomic_load(&waker.value) < waker.count) {
        run(ring);
    }
    g_thread_join(thread);
    shmig_ring_free(ring);
}

static void test_post_from_own_thread(void)
{
    ShmigRing *ring = new_ring(4);
    unsigned next_order = 0;
    TestOp t[3] = { 0 };

    g_assert_cmpint(shmig_ring_run(ring, 0), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        t[i].op.done = test_op_done;
        t[i].next_order = &next_order;
        shmig_ring_post(ring, &t[i].op, -(int)i);
        g_assert_cmpuint(t[i].done_count, ==, 0);
    }
    run(ring);
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        g_assert_cmpuint(t[i].done_count, ==, 1);
        g_assert_cmpuint(t[i].order, ==, i);
        g_assert_cmpint(t[i].res, ==, -(int)i);
    }
    shmig_ring_free(ring);
}

enum { POSTERS = 4, POSTS = 5000 };

typedef struct Poster {
    ShmigRing *ring;
    TestOp ops[POSTS];
    unsigned next_order;
} Poster;

static gpointer post_thread(gpointer opaque)
{
    Poster *poster = opaque;

    for (unsigned i = 0; i < POSTS; i++) {
        shmig_ring_post(poster->ring, &poster->ops[i].op, i);
    }
    return NULL;
}

static unsigned posts_done(Poster **posters)
{
    unsigned sum = 0;

    for (unsigned p = 0; p < POSTERS; p++) {
        sum += posters[p]->next_order;
    }
    return sum;
}

/* Racing with each other and with the ring's own completions. */
static void test_posts_of_many_threads_keep_their_order(void)
{
    ShmigRing *ring = new_ring(4);
    TestOp busy = { .op.done = resubmit_done, .ring = ring, .again = 5000 };
    Poster *posters[POSTERS];
    GThread *threads[POSTERS];

    for (unsigned p = 0; p < POSTERS; p++) {
        posters[p] = g_new0(Poster, 1);
        posters[p]->ring = ring;
        for (unsigned i = 0; i < POSTS; i++) {
            posters[p]->ops[i].op.done = test_op_done;
            posters[p]->ops[i].next_order = &posters[p]->next_order;
        }
        threads[p] = g_thread_new("post", post_thread, posters[p]);
    }
    submit_nop(ring, &busy);
    while (posts_done(posters) < POSTERS * POSTS) {
        run(ring);
    }
    for (unsigned p = 0; p < POSTERS; p++) {
        g_thread_join(threads[p]);
        for (unsigned i = 0; i < POSTS; i++) {
            g_assert_cmpuint(posters[p]->ops[i].done_count, ==, 1);
            g_assert_cmpuint(posters[p]->ops[i].order, ==, i);
            g_assert_cmpint(posters[p]->ops[i].res, ==, i);
        }
        g_free(posters[p]);
    }
    run_out(ring);
    shmig_ring_free(ring);
}

typedef struct LastPost {
    ShmigRing *ring;
    TestOp t;
} LastPost;

static gpointer last_post_thread(gpointer opaque)
{
    LastPost *last = opaque;

    shmig_ring_post(last->ring, &last->t.op, 0);
    return NULL;
}

/* The ring goes away as soon as the post is seen, its poster still in it. */
static void test_free_right_after_a_post(void)
{
    for (unsigned i = 0; i < 200; i++) {
        LastPost last = { .ring = new_ring(1), .t.op.done = test_op_done };
        GThread *thread = g_thread_new("post", last_post_thread, &last);

        while (!last.t.done_count) {
            run(last.ring);
        }
        shmig_ring_free(last.ring);
        g_thread_join(thread);
    }
}

static gpointer runs_elsewhere(gpointer opaque)
{
    TestOp *t = opaque;

    submit_nop(t->ring, t);
    run_out(t->ring);
    return NULL;
}

static void test_created_on_one_thread_run_on_another(void)
{
    ShmigRing *ring = new_ring(4);
    TestOp t = { .op.done = resubmit_done, .ring = ring, .again = 10 };

    g_thread_join(g_thread_new("run", runs_elsewhere, &t));
    g_assert_cmpuint(t.done_count, ==, 11);
    shmig_ring_free(ring);
}

/* The kernel lets a ring be made and not be used: what is tied ends, once. */
static void *use_refused(void *opaque)
{
    ShmigRing *ring = new_ring(4);
    TestOp t = { .op.done = test_op_done }, posted = t, late = t;
    unsigned call = GPOINTER_TO_UINT(opaque);

    submit_nop(ring, &t);
    refuse_call(call, EPERM);
    g_assert_cmpint(shmig_ring_run(ring, -1), ==, -EPERM);
    g_assert_cmpuint(t.done_count, ==, 0);
    g_assert_cmpint(shmig_ring_run(ring, -1), ==, 0);
    g_assert_cmpuint(t.done_count, ==, 1);
    g_assert_cmpint(t.res, ==, -EPERM);
    submit_nop(ring, &late);
    shmig_ring_post(ring, &posted.op, 7);
    run(ring);
    g_assert_cmpint(late.res, ==, -EPERM);
    g_assert_cmpint(posted.res, ==, 7);
    shmig_ring_wake(ring);
    run(ring);
    g_assert_cmpuint(shmig_ring_in_flight(ring), ==, 0);
    shmig_ring_free(ring);
    return NULL;
}

static void test_refused_when_used(void)
{
    const unsigned calls[] = { SYS_io_uring_register, SYS_io_uring_enter };

    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_thread_join(
            g_thread_new("use", use_refused, GUINT_TO_POINTER(calls[i])));
    }
}

static void check_refusal(int err, const char *advice)
{
    g_autoptr(GError) error = NULL;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        return;
    }
    refuse_call(SYS_io_uring_setup, err);
    g_assert_null(shmig_ring_new(4, &error));
    g_assert_error(error, SHMIG_ERROR, SHMIG_ERROR_SYSTEM);
    g_assert_nonnull(strstr(error->message, g_strerror(err)));
    g_assert_nonnull(strstr(error->message, advice));
}

static void test_refused_names_the_sysctl(void)
{
    check_refusal(EPERM, "kernel.io_uring_disabled");
}

static void test_refused_names_the_kernel(void)
{
    check_refusal(ENOSYS, "CONFIG_IO_URING");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/io/ring/done-submits-again", test_done_submits_again);
    g_test_add_func("/io/ring/result-reaches-done", test_result_reaches_done);
    g_test_add_func("/io/ring/more-ops-than-entries",
                    test_more_ops_than_entries);
    g_test_add_func("/io/ring/timeout-ends-the-wait",
                    test_timeout_ends_the_wait);
    g_test_add_func("/io/ring/cancel-ends-a-wait-for-data",
                    test_cancel_ends_a_wait_for_data);
    g_test_add_func("/io/ring/cancel-of-what-is-over-does-nothing",
                    test_cancel_of_what_is_over_does_nothing);
    g_test_add_func("/io/ring/wake-before-run-is-kept",
                    test_wake_before_run_is_kept);
    g_test_add_func("/io/ring/no-wake-is-lost", test_no_wake_is_lost);
    g_test_add_func("/io/ring/post-from-own-thread", test_post_from_own_thread);
    g_test_add_func("/io/ring/posts-of-many-threads-keep-their-order",
                    test_posts_of_many_threads_keep_their_order);
    g_test_add_func("/io/ring/free-right-after-a-post",
                    test_free_right_after_a_post);
    g_test_add_func("/io/ring/created-on-one-thread-run-on-another",
                    test_created_on_one_thread_run_on_another);
    g_test_add_func("/io/ring/refused-names-the-sysctl",
                    test_refused_names_the_sysctl);
    g_test_add_func("/io/ring/refused-names-the-kernel",
                    test_refused_names_the_kernel);
    g_test_add_func("/io/ring/refused-when-used", test_refused_when_used);
    return g_test_run();
}
