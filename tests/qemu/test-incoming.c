/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A destination that is told to quit when an offer comes. */
#include "loop.h"
#include "relay.h"
#include "rows.h"
#include "shmig/wire/frame.h"

static bool migrate_to(Pair *pair, const char *path, GError **errp)
{
    return qmp_run(pair->source->qmp, errp, "migrate",
                   "{'uri': 'shmig:unix:%s,channels=2'}", path);
}

typedef bool Then(Pair *pair, Relay *relay, GError **errp);

static bool with_relay(Pair *pair, const RelayFault *fault, Then *then,
                       GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/relay", pair->dir);
    g_autofree char *to = g_strdup_printf("%s/move", pair->dir);
    Relay *relay = relay_new(path, to, fault, errp);
    bool ok = relay && migrate_to(pair, path, errp) && then(pair, relay, errp);

    relay_free(relay);
    return ok;
}

/* The offer arrives as the main loop ends, which is to look at it. */
static bool then_quits(Pair *pair, Relay *relay, GError **errp)
{
    if (!relay_wait_struck(relay, PAIR_MOVE_SECONDS)) {
        return harness_fail(errp, "the offer never came by");
    }
    if (!qmp_run(pair->dest->qmp, errp, "quit", NULL)) {
        return false;
    }
    relay_release(relay);
    return machine_wait_exit(pair->dest, PAIR_MOVE_SECONDS, errp) == 0 &&
           pair_wait_status(pair, "failed", errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

static bool quit_when_offered(Pair *pair, GError **errp)
{
    static const RelayFault held = { RELAY_HOLD, RELAY_SOURCE,
                                     SHMIG_FRAME_OFFER, 0 };

    return with_relay(pair, &held, then_quits, errp);
}

/* clang-format off */
#define TCG .accel = "tcg", .guest = "dirty=500 write=100"
#define RAW { .format = "raw" }
#define IN "/qemu/incoming/"

static const Row rows[] = {
    { IN "quit-when-offered", { TCG, .disks = { RAW } }, quit_when_offered },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    return g_test_run();
}
