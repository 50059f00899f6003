/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a source asks a destination whether it has caught up, and what it
 * believes. */
#include "raw-dest.h"
#include "shmig/base/error.h"

#include <unistd.h>

#define FINAL SHMIG_FRAME_FINAL

static int asked[2]; /* a pipe */

/* Nothing was sent yet, so it is too early to ask whether it arrived. */
static void ask_too_early(RawDest *raw)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(shmig_source_barrier(raw->source, 1, &error));
    g_assert_no_error(error);
    g_assert_cmpint(write(asked[1], "!", 1), ==, 1);
}

static void test_barrier_before_go(void)
{
    RawDest *raw;
    char byte;

    g_assert_cmpint(pipe(asked), ==, 0);
    raw = raw_dest_new_with(2, 60000, ask_too_early);
    raw_dest_joined(raw);
    g_assert_cmpint(read(asked[0], &byte, 1), ==, 1);
    raw_send_type(&raw->peer[0], SHMIG_FRAME_GO);
    for (unsigned i = 0; i < 2; i++) {
        ShmigFrame frame = raw_expect(&raw->peer[i], SHMIG_FRAME_DRAIN);

        g_assert_cmpuint(frame.flags, ==, FINAL);
    }
    raw_peer_close(&raw->peer[0]);
    raw_dest_free(raw);
    close(asked[0]);
    close(asked[1]);
}

static void ask_once(RawDest *raw)
{
    g_autoptr(GError) error = NULL;

    while (!shmig_source_barrier(raw->source, 50, &error)) {
        g_assert_no_error(error);
    }
}

/* It is answered channel by channel, and only when all have, it is true. */
static void test_barrier(void)
{
    RawDest *raw = raw_dest_new_with(2, 60000, ask_once);

    raw_dest_going(raw);
    for (unsigned i = 0; i < 2; i++) {
        ShmigFrame frame = raw_expect(&raw->peer[i], SHMIG_FRAME_DRAIN);

        g_assert_cmpuint(frame.flags, ==, 0);
        frame.type = SHMIG_FRAME_DRAINED;
        raw_send(&raw->peer[i], frame, NULL);
    }
    for (unsigned i = 0; i < 2; i++) {
        ShmigFrame frame = raw_expect(&raw->peer[i], SHMIG_FRAME_DRAIN);

        g_assert_cmpuint(frame.flags, ==, FINAL);
        g_assert_cmpuint(frame.value, >, 1);
    }
    raw_peer_close(&raw->peer[0]);
    raw_dest_free(raw);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/barrier/before-go", test_barrier_before_go);
    g_test_add_func("/session/barrier/answered", test_barrier);
    return g_test_run();
}
