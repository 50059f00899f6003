/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libvirt tells of a move that is under way, and of one that is over. */
#include <string.h>

#include "cases.h"
#include "loop.h"
#include "move.h"
#include "rows.h"

#define MOVE_SECONDS 60

static bool says(Domain *domain, Host host, const char *command,
                 const char *expect, GError **errp)
{
    g_autofree char *text = domain_do(domain, host, command, errp);

    return text && row_said_words(text, expect, errp);
}

/* The per cents that virsh has printed never fall, and end with 100. */
static bool progress_is_honest(const char *output, GError **errp)
{
    const char *at = output;
    double last = 0, now = 0;

    while ((at = strchr(at, '['))) {
        now = g_ascii_strtod(++at, NULL);
        if (now < last) {
            return harness_fail(errp, "the progress fell from %.2f to %.2f",
                                last, now);
        }
        last = now;
    }
    if (now < 100) {
        return harness_fail(errp, "the progress ended at %.2f", now);
    }
    return true;
}

static bool tells_progress(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);
    bool ok =
        move &&
        says(domain, HOST_A, "domjobinfo",
             "Outgoing migration|Data remaining:|Data total:|Memory total:|"
             "File processed:|File remaining:|File total:",
             errp) &&
        move_set_free(domain, errp) && virsh_wait(move, MOVE_SECONDS, errp) &&
        progress_is_honest(virsh_output(move), errp);

    virsh_free(move);
    return ok && domain_verify(domain, HOST_B, errp) &&
           says(domain, HOST_B, "domjobinfo --completed",
                "Completed|Time elapsed:|Total downtime:|Data total:|"
                "Memory total:|File total:",
                errp);
}

/* Slow all the time, and it is not waited for. */
static bool suspends_in_time(Domain *domain, GError **errp)
{
    return move_domain(domain, HOST_A, case_now()->flags, errp) &&
           domain_runs_on(domain, HOST_B, errp) &&
           domain_verify(domain, HOST_B, errp);
}

/* clang-format off */
#define JOB "/libvirt/job/"
#define DISKS .disks = { { .format = "raw" }, { .format = "qcow2" } }
#define SLOWLY "--shared-nothing --verbose" MOVE_SLOWLY
/* It dirties memory faster than it may be sent. */
#define RESTLESS .accel = "tcg", .guest = "dirty=max write=0"

static const Case cases[] = {
    { JOB "progress", { .accel = "tcg", .guest = CASE_IDLE, DISKS },
      tells_progress, SLOWLY },
    { JOB "progress/peer-to-peer",
      { .accel = "tcg", .guest = CASE_IDLE, DISKS },
      tells_progress, SLOWLY " --p2p" },
    { JOB "timeout", { RESTLESS, .disks = { { .format = "qcow2" } } },
      suspends_in_time,
      "--shared-nothing --timeout 10 --timeout-suspend --bandwidth 8" },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    cases_add(cases, G_N_ELEMENTS(cases));
    return cases_run();
}
