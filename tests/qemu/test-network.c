/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network between two hosts that dies while a guest moves, and one that is
 * back in time.  Each QEMU is in a network namespace of its own; a link that
 * goes down at the destination swallows whatever the source sends.
 */
#include "images.h"
#include "link.h"
#include "loop.h"
#include "rows.h"

#define PORT "4444"
#define MBIT 1000
/* Noticed after 3 s, and what a loaded machine adds. */
#define NOTICED_SECONDS 7
/* A second less, and some, than what a network may be gone. */
#define OUTAGE_US 1500000

static Link *between;

static bool enter(bool dest, GError **errp)
{
    return link_enter(between, dest, errp);
}

static bool set_link(const char *state, GError **errp)
{
    return enter(true, errp) &&
           image_run_program(errp, "ip", "link", "set", "veth1", state, NULL) &&
           enter(false, errp);
}

static bool listen_there(Pair *pair, GError **errp)
{
    g_free(pair->uri);
    pair->uri = g_strdup_printf("shmig:%s:" PORT, link_address(between));
    return qmp_run(pair->dest->qmp, errp, "migrate-incoming", "{'uri': '%s'}",
                   pair->uri);
}

static bool is_copying_disks(JsonNode *info)
{
    return json_int_at(info, "shmig.wire-bytes") > PAIR_SLOW_BYTES / 2;
}

static bool copy_some(Pair *pair, GError **errp)
{
    return listen_there(pair, errp) && pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_copying_disks, errp);
}

/* Both say so, and the guest never noticed: it moves after all. */
static bool dies(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL, *printed = NULL;
    int64_t start;

    if (!copy_some(pair, errp) || !set_link("down", errp)) {
        return false;
    }
    start = loop_now_us();
    sentence = pair_wait_failed(pair, errp);
    printed = sentence ? pair_wait_dest_end(pair, errp) : NULL;
    if (!printed || !set_link("up", errp) || !row_said(sentence, errp) ||
        !row_said(printed, errp)) {
        return false;
    }
    if (loop_now_us() - start > NOTICED_SECONDS * G_USEC_PER_SEC) {
        return harness_fail(errp, "it was noticed after %.1f s",
                            (loop_now_us() - start) / 1e6);
    }
    g_test_message("noticed after %.1f s", (loop_now_us() - start) / 1e6);
    if (!pair_source_unharmed(pair, errp) || !pair_renew_dest(pair, errp)) {
        return false;
    }
    qmp_forget_events(pair->source->qmp);
    return listen_there(pair, errp) && pair_hurry(pair, errp) &&
           pair_move(pair, errp);
}

static bool is_back(Pair *pair, GError **errp)
{
    if (!copy_some(pair, errp) || !set_link("down", errp)) {
        return false;
    }
    g_usleep(OUTAGE_US); /* it is the time that counts */
    return set_link("up", errp) && pair_hurry(pair, errp) &&
           pair_wait_moved(pair, errp) && pair_compare_disks(pair, errp) &&
           pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* clang-format off */
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define APART .accel = "tcg", .guest = ROW_BUSY, .no_listen = true, \
    .enter = enter, .slow = true
#define NETWORK "/qemu/network/"

static const Row rows[] = {
    { NETWORK "dies", { APART, .disks = { RAW } }, dies, "not heard of|3 s" },
    { NETWORK "dies/channels", { APART, .channels = 4, .disks = { RAW, QCOW2 } },
      dies, "not heard of|3 s" },
    { NETWORK "is-back", { APART, .disks = { RAW, QCOW2 } }, is_back },
};
/* clang-format on */

static char *no_link;

static void skip(void)
{
    g_test_skip(no_link);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int result;

    g_test_init(&argc, &argv, NULL);
    between = link_new(MBIT, &error);
    if (between) {
        rows_add(rows, G_N_ELEMENTS(rows));
    } else {
        no_link = error->message;
        g_test_add_func(NETWORK "dies", skip);
    }
    result = g_test_run();
    link_free(between);
    return result;
}
