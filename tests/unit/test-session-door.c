/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of an offer when the destination ends before it came. */
#include "raw-source.h"

#include <string.h>

/* The owner was told that it is over: nothing of it is asked any more. */
static void test_offer_after_failure(void)
{
    RawSource *raw = raw_source_new(1, false);
    g_autoptr(ShmigOffer) offer = raw_source_offer(1);
    g_autofree char *problems = NULL;

    raw_source_hello(raw, 0);
    shmig_dest_abort(raw->pair->dest, "the operator changed his mind");
    pair_wait(raw->pair, &raw->pair->failed);
    g_assert_true(raw_send_offer(&raw->peer[0], offer));
    problems = raw_expect_answer(&raw->peer[0]);
    g_assert_nonnull(strstr(problems, "the operator changed his mind"));
    /* check() would have given this one to the session. */
    g_assert_nonnull(raw->pair->dest_disk[0]);
    raw_source_free(raw);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/door/offer-after-failure",
                    test_offer_after_failure);
    return g_test_run();
}
