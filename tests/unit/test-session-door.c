/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a source is told when the destination ends, early or late. */
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

static void *free_dest(void *opaque)
{
    RawSource *raw = opaque;

    shmig_dest_free(g_steal_pointer(&raw->pair->dest));
    return NULL;
}

/* READY was said, and then the destination's QEMU exits: the source hears
 * that it keeps the guest, and its COMMIT is not taken. */
static void test_freed_when_ready(void)
{
    RawSource *raw = raw_source_new(2, false);
    g_autofree char *words = NULL;
    ShmigFrame frame;
    GThread *thread;

    raw_source_ready(raw);
    thread = g_thread_new("free", free_dest, raw);
    do {
        g_clear_pointer(&words, g_free);
        g_assert_true(raw_recv(&raw->peer[0], &frame, &words));
    } while (frame.type != SHMIG_FRAME_ERROR);
    g_assert_cmpstr(words, ==, "the destination ends");
    raw_send_type(&raw->peer[0], SHMIG_FRAME_COMMIT);
    for (unsigned i = 0; i < 2; i++) {
        raw_peer_close(&raw->peer[i]);
    }
    g_thread_join(thread);
    g_assert_false(raw->pair->commit);
    g_assert_false(raw->pair->failed);
    raw_source_free(raw);
}

/* A source can have the owner say it as often as the stream has room. */
static void test_go_many_times(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigFrame drain = { .type = SHMIG_FRAME_DRAIN, .value = 1 }, frame;

    raw_source_going(raw);
    for (unsigned i = 0; i < 100; i++) {
        shmig_dest_go(raw->pair->dest);
    }
    g_assert_true(raw_send(&raw->peer[0], drain, NULL));
    g_assert_true(raw_recv(&raw->peer[0], &frame, NULL));
    g_assert_cmpuint(frame.type, ==, SHMIG_FRAME_DRAINED);
    raw_source_free(raw);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/door/offer-after-failure",
                    test_offer_after_failure);
    g_test_add_func("/session/door/freed-when-ready", test_freed_when_ready);
    g_test_add_func("/session/door/go-many-times", test_go_many_times);
    return g_test_run();
}
