/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting with a deadline, on the clock that does not jump. */
#include "shmig/base/wait.h"

#include <glib.h>

typedef struct Waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool told;
} Waiter;

static void waiter_init(Waiter *w)
{
    pthread_mutex_init(&w->lock, NULL);
    shmig_cond_init(&w->cond);
    w->told = false;
}

static void waiter_destroy(Waiter *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->cond);
}

/* The deadline is on the clock of g_get_monotonic_time(), and is kept. */
static void test_deadline(void)
{
    int64_t until = g_get_monotonic_time() + 20000;
    Waiter w;

    waiter_init(&w);
    pthread_mutex_lock(&w.lock);
    while (shmig_cond_wait_until(&w.cond, &w.lock, until)) {
    }
    g_assert_cmpint(g_get_monotonic_time(), >=, until);
    g_assert_cmpint(pthread_mutex_trylock(&w.lock), !=, 0);
    pthread_mutex_unlock(&w.lock);
    waiter_destroy(&w);
}

static void test_past(void)
{
    Waiter w;

    waiter_init(&w);
    pthread_mutex_lock(&w.lock);
    g_assert_false(shmig_cond_wait_until(&w.cond, &w.lock, 0));
    pthread_mutex_unlock(&w.lock);
    waiter_destroy(&w);
}

static void *tell(void *opaque)
{
    Waiter *w = opaque;

    pthread_mutex_lock(&w->lock);
    w->told = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void test_told(void)
{
    int64_t until = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    GThread *thread;
    Waiter w;

    waiter_init(&w);
    pthread_mutex_lock(&w.lock);
    thread = g_thread_new("tell", tell, &w);
    while (!w.told) {
        g_assert_true(shmig_cond_wait_until(&w.cond, &w.lock, until));
    }
    pthread_mutex_unlock(&w.lock);
    g_thread_join(thread);
    waiter_destroy(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/wait/deadline", test_deadline);
    g_test_add_func("/base/wait/past", test_past);
    g_test_add_func("/base/wait/told", test_told);
    return g_test_run();
}
