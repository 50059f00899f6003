/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trace events of a migration: each stage leaves one, in its order, on
 * both sides, whether asked for when QEMU starts or while it runs. */
#include <string.h>

#include "loop.h"
#include "rows.h"

/* In this order, with others between. */
static const char *const source_stages[] = {
    "shmig_outgoing_start channels 2 RAM blocks ",
    "shmig_connected channel 0 ",
    "shmig_outgoing_connected ",
    "shmig_tracker ",
    "shmig_disk_insert disk0 via file",
    "shmig_disk_insert disk1 via block-layer",
    "shmig_phase connect -> disks",
    "shmig_save_setup RAM blocks ",
    "shmig_start_ram RAM pending ",
    "shmig_phase disks -> ram",
    "shmig_harvest pages ",
    "shmig_decide ",
    "shmig_phase ram -> switchover",
    "shmig_finish ok 1 ",
    "shmig_phase switchover -> handover",
    "shmig_may_commit 1",
    "shmig_commit ",
    "shmig_outgoing_end given away 1",
    "shmig_phase handover -> ended",
    "shmig_disk_remove disk1",
};

static const char *const dest_stages[] = {
    "shmig_incoming_listen",
    "shmig_incoming_accept fd ",
    "shmig_disk_open disk1 via block-layer",
    "shmig_incoming_check machine pc-i440fx",
    "shmig_incoming_connected stream fd ",
    "shmig_incoming_blocks RAM blocks ",
    "shmig_disk_release 2",
    "shmig_incoming_ready",
    "shmig_incoming_commit",
    "shmig_incoming_running",
    "shmig_incoming_end owner 1",
};

static bool shows(const char *text, const char *const *stages, unsigned n,
                  const char *side, GError **errp)
{
    const char *at = text;

    for (unsigned i = 0; i < n; i++) {
        const char *found = strstr(at, stages[i]);

        if (!found) {
            return harness_fail(errp,
                                "the %s's trace has no \"%s\" after \"%s\": %s",
                                side, stages[i], i ? stages[i - 1] : "", text);
        }
        at = found + strlen(stages[i]);
    }
    return true;
}

static bool source_shows(const char *text, GError **errp)
{
    return shows(text, source_stages, G_N_ELEMENTS(source_stages), "source",
                 errp);
}

/* Both wrote to files of their own from the start. */
static bool from_the_start(Pair *pair, GError **errp)
{
    g_autofree char *source_path = g_strdup_printf("%s/source.log", pair->dir);
    g_autofree char *dest_path = g_strdup_printf("%s/dest.log", pair->dir);
    g_autofree char *source = NULL, *dest = NULL;

    return pair_move(pair, errp) &&
           g_file_get_contents(source_path, &source, NULL, errp) &&
           g_file_get_contents(dest_path, &dest, NULL, errp) &&
           source_shows(source, errp) &&
           shows(dest, dest_stages, G_N_ELEMENTS(dest_stages), "destination",
                 errp);
}

/* Without a file, they go where QEMU's complaints go. */
static bool while_it_runs(Pair *pair, GError **errp)
{
    g_autofree char *said =
        qmp_hmp(pair->source->qmp, "trace-event shmig_* on", errp);
    g_autofree char *text = NULL;

    if (!said) {
        return false;
    }
    if (*said) {
        return harness_fail(errp, "HMP said: %s", said);
    }
    if (!pair_move(pair, errp)) {
        return false;
    }
    text = machine_stderr(pair->source);
    return source_shows(text, errp);
}

/* clang-format off */
#define OPTIONS \
    .vcpus = 2, .guest = ROW_BUSY, .channels = 2, \
    .disks = { { .format = "raw" }, { .format = "qcow2" } }

static const Row rows[] = {
    { "/qemu/trace/from-the-start",
      { .accel = "kvm", OPTIONS,
        .source_arguments = "-trace shmig_* -D {dir}/source.log",
        .dest_arguments = "-trace shmig_* -D {dir}/dest.log" },
      from_the_start },
    { "/qemu/trace/while-it-runs", { .accel = "tcg", OPTIONS }, while_it_runs },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    return g_test_run();
}
