/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first error stays, whoever comes after it. */
#include "shmig/base/error.h"
#include "shmig/session/fault.h"

#define N_THREADS 8

static GError *error_of(const char *text)
{
    return g_error_new_literal(SHMIG_ERROR, SHMIG_ERROR_LOST, text);
}

static void test_none(void)
{
    ShmigFault fault;

    shmig_fault_init(&fault);
    g_assert_false(shmig_fault_is_set(&fault));
    g_assert_null(shmig_fault_get(&fault));
    shmig_fault_destroy(&fault);
}

static void test_first_wins(void)
{
    g_autoptr(GError) got = NULL;
    ShmigFault fault;

    shmig_fault_init(&fault);
    g_assert_true(shmig_fault_raise(&fault, error_of("first")));
    g_assert_false(shmig_fault_raise(&fault, error_of("second")));
    g_assert_true(shmig_fault_is_set(&fault));
    got = shmig_fault_get(&fault);
    shmig_fault_destroy(&fault);
    /* A copy: it outlives the session. */
    g_assert_error(got, SHMIG_ERROR, SHMIG_ERROR_LOST);
    g_assert_cmpstr(got->message, ==, "first");
}

static void *raise_one(void *opaque)
{
    return GINT_TO_POINTER(shmig_fault_raise(opaque, error_of("one of many")));
}

static void test_one_of_many(void)
{
    GThread *threads[N_THREADS];
    ShmigFault fault;
    int firsts = 0;

    shmig_fault_init(&fault);
    for (unsigned i = 0; i < N_THREADS; i++) {
        threads[i] = g_thread_new("raise", raise_one, &fault);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        firsts += GPOINTER_TO_INT(g_thread_join(threads[i]));
    }
    g_assert_cmpint(firsts, ==, 1);
    shmig_fault_destroy(&fault);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/fault/none", test_none);
    g_test_add_func("/session/fault/first-wins", test_first_wins);
    g_test_add_func("/session/fault/one-of-many", test_one_of_many);
    return g_test_run();
}
