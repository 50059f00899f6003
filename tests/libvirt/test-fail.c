/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves during which something breaks: afterwards the guest runs on one side,
 * the other has no files of it, and it can be moved after all. */
#include <string.h>

#include "cases.h"
#include "hook.h"
#include "loop.h"
#include "move.h"
#include "scene.h"

#define AFTER_ALL "--shared-nothing"
#define PHASE_SECONDS 60
/* A daemon that was started again waits half a minute for the monitor of a
 * QEMU that had not begun when it ended. */
#define GONE_SECONDS 90

/* --- waiting --- */

/* Phases of a host's domain have no event that virsh waits for reliably
 * across a daemon's restart: it is asked. */
static bool wait_state(Domain *domain, Host host, const char *wanted,
                       GError **errp)
{
    gint64 end = g_get_monotonic_time() + GONE_SECONDS * G_USEC_PER_SEC;
    g_autofree char *state = NULL;

    do {
        g_free(state);
        state = domain_state(domain, host, errp);
        if (!state || g_str_equal(state, wanted)) {
            return state != NULL;
        }
    } while (g_get_monotonic_time() < end);
    return harness_fail(errp, "the domain's state on %s is \"%s\", not \"%s\"",
                        host_name(host), state, wanted);
}

/* --- after a failure --- */

static bool is_as_before(Domain *domain, GError **errp)
{
    return wait_state(domain, HOST_B, "none", errp) &&
           move_left_nothing(domain, HOST_A, NULL, errp) &&
           move_domain(domain, HOST_A, AFTER_ALL, errp) &&
           domain_runs_on(domain, HOST_B, errp) &&
           domain_verify(domain, HOST_B, errp);
}

/*
 * The destination may run the guest, for all that the source knows, and so it
 * stays paused there, until somebody has looked: here, it does not.
 */
static bool is_left_to_us(Domain *domain, GError **errp)
{
    g_autofree char *resumed = NULL;

    if (!wait_state(domain, HOST_A, "paused", errp) ||
        !host_start_daemon(case_hosts(), HOST_B, errp) ||
        !wait_state(domain, HOST_B, "none", errp)) {
        return false;
    }
    resumed = domain_do(domain, HOST_A, "resume", errp);
    return resumed && is_as_before(domain, errp);
}

static bool fails_as_expected(Virsh *move, GError **errp)
{
    g_autofree char *said = move_said(move, errp);

    return said && case_said(said, errp);
}

/* --- rows --- */

static bool dest_daemon_killed(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);

    if (!move) {
        return false;
    }
    if (!host_kill_daemon(case_hosts(), HOST_B, errp) ||
        !move_set_free(domain, errp)) {
        virsh_free(move);
        return false;
    }
    return fails_as_expected(move, errp) && is_left_to_us(domain, errp);
}

/* It does not get to answer that the guest is there. */
static bool dest_daemon_killed_at_end(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);
    g_autofree char *stopped = NULL;

    if (!move) {
        return false;
    }
    stopped = host_run(case_hosts(), HOST_B, errp, "sh", "-ec",
                       "kill -STOP $(cat /run/libvirtd.pid)", NULL);
    if (!stopped || !move_set_free(domain, errp) ||
        !wait_state(domain, HOST_A, "paused", errp) ||
        !host_kill_daemon(case_hosts(), HOST_B, errp)) {
        virsh_free(move);
        return false;
    }
    return fails_as_expected(move, errp) && is_left_to_us(domain, errp);
}

static bool killed_at(Hook *hook, Domain *domain, GError **errp)
{
    Virsh *move = move_start(domain, HOST_A, case_now()->flags, errp);

    if (!move || !hook_wait(hook, PHASE_SECONDS, errp) ||
        !host_kill_daemon(case_hosts(), HOST_B, errp)) {
        virsh_free(move);
        return false;
    }
    return fails_as_expected(move, errp);
}

static bool dest_daemon_killed_at_hook(Domain *domain, GError **errp)
{
    Hook *hook = hook_new(case_hosts(), HOST_B, case_now()->data, errp);
    bool ok = hook && killed_at(hook, domain, errp);

    hook_free(hook);
    return ok && host_start_daemon(case_hosts(), HOST_B, errp) &&
           is_as_before(domain, errp);
}

/* What it was doing is found again, and ended. */
static bool source_daemon_killed(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);

    if (!move) {
        return false;
    }
    if (!host_kill_daemon(case_hosts(), HOST_A, errp)) {
        virsh_free(move);
        return false;
    }
    return fails_as_expected(move, errp) &&
           host_start_daemon(case_hosts(), HOST_A, errp) &&
           wait_state(domain, HOST_A, "running", errp) &&
           is_as_before(domain, errp);
}

static bool client_killed(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);

    if (!move) {
        return false;
    }
    virsh_kill(move);
    virsh_free(move);
    return is_as_before(domain, errp);
}

/* Between two daemons nobody misses the client. */
static bool client_not_missed(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);

    if (!move) {
        return false;
    }
    virsh_kill(move);
    virsh_free(move);
    return move_set_free(domain, errp) &&
           wait_state(domain, HOST_B, "running", errp) &&
           wait_state(domain, HOST_A, "shut off", errp) &&
           domain_runs_on(domain, HOST_B, errp) &&
           domain_verify(domain, HOST_B, errp);
}

static bool aborted(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);
    g_autofree char *done = NULL;

    if (!move) {
        return false;
    }
    done = domain_do(domain, HOST_A, "domjobabort", errp);
    if (!done) {
        virsh_free(move);
        return false;
    }
    return fails_as_expected(move, errp) && is_as_before(domain, errp);
}

static bool abort_at(Hook *hook, Domain *domain, GError **errp)
{
    Virsh *move = move_start(domain, HOST_A, case_now()->flags, errp);
    g_autofree char *done = NULL;

    if (move && hook_wait(hook, PHASE_SECONDS, errp)) {
        done = domain_do(domain, HOST_A, "domjobabort", errp);
    }
    hook_free(hook);
    if (!done) {
        virsh_free(move);
        return false;
    }
    return fails_as_expected(move, errp);
}

/* While the destination is at its preparations. */
static bool aborted_at_hook(Domain *domain, GError **errp)
{
    Hook *hook = hook_new(case_hosts(), HOST_B, case_now()->data, errp);

    return hook && abort_at(hook, domain, errp) && is_as_before(domain, errp);
}

/* @host's QEMU is killed. */
static bool kill_qemu(Domain *domain, Host host, GError **errp)
{
    g_autofree char *commands = g_strdup_printf(
        "kill -KILL $(cat /run/libvirt/qemu/%s.pid)", domain_name(domain));
    g_autofree char *done =
        host_run(case_hosts(), host, errp, "sh", "-ec", commands, NULL);

    return done != NULL;
}

static bool dest_killed(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);

    if (!move) {
        return false;
    }
    if (!kill_qemu(domain, HOST_B, errp)) {
        virsh_free(move);
        return false;
    }
    return fails_as_expected(move, errp) && is_as_before(domain, errp);
}

/* The guest is lost, as it is whenever its QEMU is killed; nobody pretends
 * that half of it is a guest. */
static bool source_killed(Domain *domain, GError **errp)
{
    Virsh *move = move_until_copying(domain, case_now()->flags, errp);
    g_autofree char *files = NULL;

    if (!move) {
        return false;
    }
    if (!kill_qemu(domain, HOST_A, errp)) {
        virsh_free(move);
        return false;
    }
    if (!fails_as_expected(move, errp) ||
        !wait_state(domain, HOST_B, "none", errp) ||
        !wait_state(domain, HOST_A, "shut off", errp)) {
        return false;
    }
    files = domain_files(domain, HOST_B, NULL, errp);
    if (files && *files) {
        return harness_fail(errp, "host-b has files left: %s", files);
    }
    return files && domain_start(domain, errp) &&
           domain_runs_on(domain, HOST_A, errp);
}

static bool full(Domain *domain, GError **errp)
{
    return scene_refuses(domain, case_now()->data, errp) &&
           is_as_before(domain, errp);
}

/* clang-format off */
#define FAIL "/libvirt/fail/"
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define TCG .accel = "tcg", .guest = CASE_BUSY
#define BOTH { TCG, .disks = { RAW, QCOW2 } }
#define SHARED_NOTHING "--shared-nothing"
#define P2P SHARED_NOTHING " --p2p"
#define UNKNOWN "host-b|it may run the guest|paused on the source host"
#define PLACE DOMAIN_IMAGES "/place"

static const Scene small = {
    "mkdir -p " PLACE "; mount -t tmpfs -o size=8m tmpfs " PLACE,
    "umount " PLACE, PLACE,
};

static const Case cases[] = {
    { FAIL "destination-full", BOTH, full,
      SHARED_NOTHING " --dest-storage-path " PLACE,
      "destination host|No space left", .data = &small },
    { FAIL "destination-full/peer-to-peer", BOTH, full,
      P2P " --dest-storage-path " PLACE,
      "destination host|No space left", .data = &small },
    { FAIL "destination-killed", BOTH, dest_killed, SHARED_NOTHING MOVE_SLOWLY,
      "channel" },
    { FAIL "source-killed", BOTH, source_killed, SHARED_NOTHING MOVE_SLOWLY },

    { FAIL "destination-daemon-killed/prepare", BOTH,
      dest_daemon_killed_at_hook, SHARED_NOTHING, NULL,
      .data = "prepare" },
    { FAIL "destination-daemon-killed/start", BOTH,
      dest_daemon_killed_at_hook, SHARED_NOTHING, NULL, .data = "start" },
    { FAIL "destination-daemon-killed/start/peer-to-peer", BOTH,
      dest_daemon_killed_at_hook, P2P, NULL, .data = "start" },
    { FAIL "destination-daemon-killed/copy", BOTH, dest_daemon_killed,
      SHARED_NOTHING MOVE_SLOWLY, UNKNOWN },
    { FAIL "destination-daemon-killed/copy/peer-to-peer", BOTH,
      dest_daemon_killed, P2P MOVE_SLOWLY, UNKNOWN },
    { FAIL "destination-daemon-killed/finish", BOTH,
      dest_daemon_killed_at_end, SHARED_NOTHING MOVE_SLOWLY, UNKNOWN },
    { FAIL "destination-daemon-killed/finish/peer-to-peer", BOTH,
      dest_daemon_killed_at_end, P2P MOVE_SLOWLY, UNKNOWN },
    { FAIL "source-daemon-killed", BOTH, source_daemon_killed,
      SHARED_NOTHING MOVE_SLOWLY },
    { FAIL "source-daemon-killed/peer-to-peer", BOTH, source_daemon_killed,
      P2P MOVE_SLOWLY },

    { FAIL "client-killed", BOTH, client_killed, SHARED_NOTHING MOVE_SLOWLY },
    { FAIL "client-killed/peer-to-peer", BOTH, client_not_missed, P2P MOVE_SLOWLY },
    { FAIL "abort/prepare", BOTH, aborted_at_hook, SHARED_NOTHING,
      "cancel", .data = "prepare" },
    { FAIL "abort/copy", BOTH, aborted, SHARED_NOTHING MOVE_SLOWLY, "cancel" },
    { FAIL "abort/copy/peer-to-peer", BOTH, aborted, P2P MOVE_SLOWLY, "cancel" },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    cases_add(cases, G_N_ELEMENTS(cases));
    return cases_run();
}
