/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One io_uring and the thread that runs it.
 *
 * Completions are first moved from the kernel's queue to a list and only then
 * run, by shmig_ring_run() alone: making room in a full submission queue may
 * have to take completions out, and no done() may run under its issuer's feet.
 *
 * Other threads reach the ring through a list under a lock, and an eventfd
 * that the ring polls.  The poll is armed for one shot and the eventfd read by
 * hand: a read in flight would leave the kernel with a buffer of ours when the
 * ring is freed.
 *
 * The ring starts disabled and is enabled by the first thread that enters it,
 * because the cheapest modes of the kernel bind a ring to the thread that
 * enabled it, and the thread that creates a channel is not the one to run it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shmig/base/error.h"
#include "shmig/io/ring.h"

/* What is in user_data instead of a ShmigOp. */
enum {
    TAG_NONE = 0, /* a completion nobody waits for */
    TAG_WAKE = 1, /* the eventfd */
};

typedef struct OpList {
    ShmigOp *head;
    ShmigOp **tail;
} OpList;

struct ShmigRing {
    /* Of the thread that runs the ring. */
    struct io_uring uring;
    bool enabled;
    bool wake_armed;
    unsigned in_flight;
    OpList completed; /* tied ops that are over */
    OpList posted;    /* ops that somebody else carried out */
    OpList early;     /* tied ops, as long as the kernel took none */
    bool begun;       /* it took some */
    int refused;      /* -errno: it never will */
    /* Handed out when the kernel takes no more; its op fails with refusal. */
    struct io_uring_sqe scratch;
    int refusal;

    _Atomic(GThread *) owner; /* only ever equals the thread that set it */

    /*
     * Of any thread, under the lock.  It is held until the eventfd is
     * written: a posted op may be the last one its poster and the ring have
     * in common, and whoever sees it done may free the ring.
     */
    pthread_mutex_t lock; /* a GMutex would be opaque to ThreadSanitizer */
    OpList incoming;
    bool woken; /* wake_fd is readable */
    int wake_fd;
};

static void op_list_init(OpList *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

static void op_list_append(OpList *list, ShmigOp *op)
{
    op->next = NULL;
    *list->tail = op;
    list->tail = &op->next;
}

static ShmigOp *op_list_take(OpList *list)
{
    ShmigOp *head = list->head;

    op_list_init(list);
    return head;
}

void shmig_ring_set_error(GError **errp, int err)
{
    const char *advice = "";

    if (err == EPERM || err == EACCES) {
        advice = "; set the sysctl kernel.io_uring_disabled to 0, and let "
                 "the seccomp filter of the container or service pass "
                 "io_uring_setup, io_uring_register and io_uring_enter";
    } else if (err == ENOSYS) {
        advice = "; a Linux kernel 5.15 or newer, built with "
                 "CONFIG_IO_URING, is needed (a seccomp filter may also "
                 "answer like this)";
    } else if (err == ENOMEM) {
        advice = "; raise the limit on locked memory (RLIMIT_MEMLOCK)";
    } else if (err == EMFILE || err == ENFILE) {
        advice = "; raise the limit on open files (RLIMIT_NOFILE)";
    }
    g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_SYSTEM,
                "io_uring: the kernel gives this process no ring: %s%s",
                g_strerror(err), advice);
}

/* The best mode the running kernel knows, from newest to oldest. */
static int setup(struct io_uring *uring, unsigned entries)
{
    static const unsigned modes[] = {
        /* Linux 6.1: completions are handled when we ask for them only. */
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN,
        /* Linux 5.19: at least we are not interrupted for them. */
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
        0,
    };
    int ret = -EINVAL;

    for (unsigned i = 0; i < G_N_ELEMENTS(modes) && ret == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = modes[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP,
        };

        ret = io_uring_queue_init_params(entries, uring, &params);
    }
    return ret;
}

ShmigRing *shmig_ring_new(unsigned entries, GError **errp)
{
    ShmigRing *ring = g_new0(ShmigRing, 1);
    int ret;

    op_list_init(&ring->completed);
    op_list_init(&ring->posted);
    op_list_init(&ring->early);
    op_list_init(&ring->incoming);
    pthread_mutex_init(&ring->lock, NULL);
    ring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring->wake_fd < 0) {
        shmig_ring_set_error(errp, errno);
        goto free_ring;
    }
    ret = setup(&ring->uring, MAX(entries, 1));
    if (ret < 0) {
        shmig_ring_set_error(errp, -ret);
        goto close_wake_fd;
    }
    return ring;

close_wake_fd:
    close(ring->wake_fd);
free_ring:
    pthread_mutex_destroy(&ring->lock);
    g_free(ring);
    return NULL;
}

void shmig_ring_free(ShmigRing *ring)
{
    if (!ring) {
        return;
    }
    g_assert(ring->in_flight == 0);
    io_uring_queue_exit(&ring->uring);
    close(ring->wake_fd);
    pthread_mutex_destroy(&ring->lock);
    g_free(ring);
}

static int enable(ShmigRing *ring)
{
    int ret;

    if (ring->enabled) {
        return 0;
    }
    /* liburing 2.3 declares io_uring_enable_rings() but exports it not. */
    ret = syscall(SYS_io_uring_register, ring->uring.ring_fd,
                  IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (ret < 0) {
        return -errno;
    }
    ring->enabled = true;
    return 0;
}

/* The kernel took something: what is tied comes back from it. */
static void begin(ShmigRing *ring)
{
    ring->begun = true;
    op_list_init(&ring->early);
}

/*
 * The kernel takes nothing: a filter lets a ring be made, but not used.  All
 * that is tied ends, as everybody's ordinary way down needs it.
 */
static void refuse(ShmigRing *ring, int err)
{
    ShmigOp *op = op_list_take(&ring->early);

    ring->refused = err;
    ring->wake_armed = false;
    while (op) {
        ShmigOp *next = op->next;

        op->res = err;
        op_list_append(&ring->completed, op);
        op = next;
    }
}

/* Moves what the kernel completed to ring->completed; returns how many. */
static unsigned reap(ShmigRing *ring)
{
    struct io_uring_cqe *cqe;
    unsigned count = 0;

    while (io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
        if (cqe->user_data == TAG_WAKE) {
            ring->wake_armed = false;
        } else if (cqe->user_data != TAG_NONE) {
            ShmigOp *op = (ShmigOp *)(uintptr_t)cqe->user_data;

            op->res = cqe->res;
            op_list_append(&ring->completed, op);
        }
        io_uring_cqe_seen(&ring->uring, cqe);
        count++;
    }
    return count;
}

/* Gives the kernel what is queued, so that there are free entries again. */
static int make_room(ShmigRing *ring)
{
    unsigned reaped;
    int ret;

    ret = enable(ring);
    if (ret < 0) {
        return ret;
    }
    ret = io_uring_submit(&ring->uring);
    if (ret > 0 || ret == -EINTR) {
        begin(ring);
        return 0;
    }
    if (ret == 0) {
        return -EAGAIN;
    }
    if (ret != -EBUSY && ret != -EAGAIN) {
        return ret;
    }
    /*
     * The kernel wants completions taken first.  Those that did not fit into
     * its queue are held back there until we come for them.
     */
    reaped = reap(ring);
    io_uring_get_events(&ring->uring);
    reaped += reap(ring);
    return reaped ? 0 : ret;
}

struct io_uring_sqe *shmig_ring_sqe(ShmigRing *ring)
{
    struct io_uring_sqe *sqe;

    if (ring->refused) {
        ring->refusal = ring->refused;
        return &ring->scratch;
    }
    while (!(sqe = io_uring_get_sqe(&ring->uring))) {
        int ret = make_room(ring);

        if (ret < 0) {
            ring->refusal = ret;
            return &ring->scratch;
        }
    }
    return sqe;
}

void shmig_ring_tie(ShmigRing *ring, struct io_uring_sqe *sqe, ShmigOp *op)
{
    ring->in_flight++;
    if (sqe == &ring->scratch) {
        op->res = ring->refusal;
        op_list_append(&ring->completed, op);
        return;
    }
    sqe->user_data = (uintptr_t)op;
    if (!ring->begun) {
        op_list_append(&ring->early, op);
    }
}

unsigned shmig_ring_in_flight(const ShmigRing *ring)
{
    return ring->in_flight;
}

void shmig_ring_cancel(ShmigRing *ring, ShmigOp *op)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(ring);

    /*
     * The queue is in order: this finds @op, and never a later use of the
     * same structure.
     */
    io_uring_prep_cancel(sqe, op, 0);
    sqe->user_data = TAG_NONE;
}

static void arm_wake(ShmigRing *ring)
{
    struct io_uring_sqe *sqe = shmig_ring_sqe(ring);

    if (sqe == &ring->scratch) {
        return;
    }
    io_uring_prep_poll_add(sqe, ring->wake_fd, POLLIN);
    sqe->user_data = TAG_WAKE;
    ring->wake_armed = true;
}

/* Moves what other threads posted to ring->posted. */
static void take_incoming(ShmigRing *ring)
{
    uint64_t count;

    pthread_mutex_lock(&ring->lock);
    if (ring->woken && read(ring->wake_fd, &count, sizeof(count)) > 0) {
        ring->woken = false;
    }
    if (ring->incoming.head) {
        *ring->posted.tail = ring->incoming.head;
        ring->posted.tail = ring->incoming.tail;
        op_list_init(&ring->incoming);
    }
    pthread_mutex_unlock(&ring->lock);
}

/* Without the kernel's help: posts and wake-ups are all that comes. */
static int enter_refused(ShmigRing *ring, int64_t timeout_ns)
{
    struct pollfd wake = { .fd = ring->wake_fd, .events = POLLIN };
    struct timespec timeout = {
        .tv_sec = timeout_ns / 1000000000,
        .tv_nsec = timeout_ns % 1000000000,
    };

    ppoll(&wake, 1, timeout_ns < 0 ? NULL : &timeout, NULL);
    return 0;
}

static int enter(ShmigRing *ring, int64_t timeout_ns)
{
    struct __kernel_timespec timeout;
    struct io_uring_cqe *cqe;
    int ret;

    if (ring->refused) {
        return enter_refused(ring, timeout_ns);
    }
    ret = enable(ring);
    if (ret < 0) {
        refuse(ring, ret);
        return ret;
    }
    if (timeout_ns == 0) {
        ret = io_uring_submit_and_get_events(&ring->uring);
    } else {
        timeout.tv_sec = timeout_ns / 1000000000;
        timeout.tv_nsec = timeout_ns % 1000000000;
        ret = io_uring_submit_and_wait_timeout(
            &ring->uring, &cqe, 1, timeout_ns < 0 ? NULL : &timeout, NULL);
    }
    /* EBUSY: the kernel first wants its completions taken, which we do. */
    if (ret >= 0 || ret == -ETIME || ret == -EINTR || ret == -EBUSY) {
        begin(ring);
        return 0;
    }
    if (!ring->begun && ret != -EAGAIN) {
        refuse(ring, ret);
    }
    return ret;
}

/* What a done() adds to the lists is for the next run: each run ends. */
static void run_done(ShmigRing *ring)
{
    ShmigOp *completed = op_list_take(&ring->completed);
    ShmigOp *posted = op_list_take(&ring->posted);

    while (completed) {
        ShmigOp *op = completed;

        completed = op->next;
        ring->in_flight--;
        op->done(op, op->res);
    }
    while (posted) {
        ShmigOp *op = posted;

        posted = op->next;
        op->done(op, op->res);
    }
}

int shmig_ring_run(ShmigRing *ring, int64_t timeout_ns)
{
    int ret;

    atomic_store_explicit(&ring->owner, g_thread_self(), memory_order_relaxed);
    if (!ring->wake_armed) {
        arm_wake(ring);
    }
    if (ring->completed.head || ring->posted.head) {
        timeout_ns = 0;
    }
    ret = enter(ring, timeout_ns);
    if (ret < 0 && ring->refused) {
        return ret; /* its owner learns why before what is tied ends */
    }
    reap(ring);
    if (!ring->wake_armed) {
        take_incoming(ring);
    }
    run_done(ring);
    return ret;
}

/* Called with the lock held. */
static void make_readable(ShmigRing *ring)
{
    const uint64_t one = 1;
    ssize_t ret;

    if (ring->woken) {
        return;
    }
    do {
        ret = write(ring->wake_fd, &one, sizeof(one));
    } while (ret < 0 && errno == EINTR);
    ring->woken = true;
}

void shmig_ring_wake(ShmigRing *ring)
{
    pthread_mutex_lock(&ring->lock);
    make_readable(ring);
    pthread_mutex_unlock(&ring->lock);
}

void shmig_ring_post(ShmigRing *ring, ShmigOp *op, int res)
{
    op->res = res;
    if (atomic_load_explicit(&ring->owner, memory_order_relaxed) ==
        g_thread_self()) {
        op_list_append(&ring->posted, op);
        return;
    }
    pthread_mutex_lock(&ring->lock);
    op_list_append(&ring->incoming, op);
    make_readable(ring);
    pthread_mutex_unlock(&ring->lock);
}
