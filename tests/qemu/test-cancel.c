/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A migration is cancelled at some moment; the guest goes on as if there had
 * been none, and moves at the next attempt. */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>

#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"
#include "relay.h"
#include "rows.h"
#include "shmig/wire/frame.h"

static bool cancel(Pair *pair, GError **errp)
{
    return qmp_run(pair->source->qmp, errp, "migrate_cancel", NULL) &&
           pair_wait_status(pair, "cancelled", errp);
}

static bool dest_ends(Pair *pair, GError **errp)
{
    g_autofree char *text = pair_wait_dest_end(pair, errp);

    return text != NULL;
}

static bool at_once(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) && cancel(pair, errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

static bool is_copying_disks(JsonNode *info)
{
    return json_int_at(info, "disk.remaining") > 0 &&
           json_int_at(info, "shmig.wire-bytes") > PAIR_SLOW_BYTES / 2;
}

static bool in_disks(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_copying_disks, errp) &&
           cancel(pair, errp) && dest_ends(pair, errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

static bool is_copying_ram(JsonNode *info)
{
    return g_str_equal(json_text_at(info, "shmig.phase"), "ram") &&
           json_int_at(info, "ram.dirty-sync-count") >= 2;
}

static bool in_ram(Pair *pair, GError **errp)
{
    return pair_set_parameter(pair->source,
                              "'max-bandwidth': 4000000, 'downtime-limit': 1",
                              errp) &&
           pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_copying_ram, errp) && cancel(pair, errp) &&
           dest_ends(pair, errp) && pair_source_unharmed(pair, errp) &&
           pair_move_after_all(pair, errp);
}

static bool before_switchover(Pair *pair, GError **errp)
{
    return pair_set_capability(pair, "pause-before-switchover", true, errp) &&
           pair_migrate(pair, errp) &&
           pair_wait_status(pair, "pre-switchover", errp) &&
           cancel(pair, errp) && dest_ends(pair, errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

/*
 * Whether the source's QEMU can have threads.  The limit binds those who may
 * not set it for others: it is set as the user that QEMU runs as.
 */
static bool let_have_threads(Pair *pair, bool let, GError **errp)
{
    const struct passwd *user = geteuid() ? NULL : getpwnam("nobody");
    pid_t child = fork();
    struct rlimit limit;
    int status;

    if (child == 0) {
        pid_t pid = machine_pid(pair->source);

        if (user && (setgid(user->pw_gid) || setuid(user->pw_uid))) {
            _exit(1);
        }
        if (prlimit(pid, RLIMIT_NPROC, NULL, &limit) < 0) {
            _exit(2);
        }
        limit.rlim_cur = let ? limit.rlim_max : 1;
        _exit(prlimit(pid, RLIMIT_NPROC, &limit, NULL) < 0 ? 3 : 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status) {
        return harness_fail(errp, "RLIMIT_NPROC of the source cannot be set");
    }
    return true;
}

/* What has to be done at the end is done where no thread can be had for it. */
static bool no_thread(Pair *pair, GError **errp)
{
    return pair_set_capability(pair, "pause-before-switchover", true, errp) &&
           pair_migrate(pair, errp) &&
           pair_wait_status(pair, "pre-switchover", errp) &&
           let_have_threads(pair, false, errp) && cancel(pair, errp) &&
           dest_ends(pair, errp) && let_have_threads(pair, true, errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

/* A destination that was told not to exit says why it failed, and can be
 * asked. */
static bool dest_survives(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) event = NULL, info = NULL;

    if (!pair_migrate(pair, errp) ||
        !pair_wait_query(pair, is_copying_disks, errp) || !cancel(pair, errp)) {
        return false;
    }
    event = qmp_wait_event(pair->dest->qmp, "MIGRATION", "status", "failed",
                           PAIR_MOVE_SECONDS, errp);
    info =
        event ? qmp_call(pair->dest->qmp, errp, "query-migrate", NULL) : NULL;
    if (!info || !row_said(json_text_at(info, "error-desc"), errp)) {
        return false;
    }
    if (guest_has_run(pair->dest->guest)) {
        return harness_fail(errp, "the destination ran half a guest");
    }
    return machine_quit(pair->dest, errp) && pair_source_unharmed(pair, errp) &&
           pair_move_after_all(pair, errp);
}

static bool three_times(Pair *pair, GError **errp)
{
    for (unsigned i = 0; i < 3; i++) {
        qmp_forget_events(pair->source->qmp);
        if (!pair_migrate(pair, errp) ||
            !pair_wait_query(pair, is_copying_disks, errp) ||
            !cancel(pair, errp) || !dest_ends(pair, errp) ||
            !pair_renew_dest(pair, errp)) {
            return false;
        }
    }
    return pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

/* Nobody ever accepts the connection, or answers the hello on it. */
static bool unanswered(Pair *pair, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/silent", pair->dir);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocket) listener =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM,
                     G_SOCKET_PROTOCOL_DEFAULT, errp);

    if (!listener || !g_socket_bind(listener, address, TRUE, errp) ||
        !g_socket_listen(listener, errp)) {
        return false;
    }
    return qmp_run(pair->source->qmp, errp, "migrate",
                   "{'uri': 'shmig:unix:%s'}", path) &&
           guest_wait_beats(pair->source->guest, 10, 10, errp) &&
           cancel(pair, errp) && pair_source_unharmed(pair, errp) &&
           pair_move_after_all(pair, errp);
}

static bool by_yank(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_copying_disks, errp) &&
           qmp_run(pair->source->qmp, errp, "yank",
                   "{'instances': [{'type': 'migration'}]}") &&
           pair_wait_status(pair, "failed", errp) && dest_ends(pair, errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

/* The user gives up altogether. */
static bool source_quits(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_copying_disks, errp) &&
           machine_quit(pair->source, errp) && dest_ends(pair, errp);
}

static bool dest_quits(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_copying_disks, errp) &&
           machine_quit(pair->dest, errp) &&
           pair_wait_status(pair, "failed", errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

/* The migration goes on until @held comes by. */
static bool with_held(Pair *pair, const RelayFault *held,
                      bool (*then)(Pair *, Relay *, GError **), GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/relay", pair->dir);
    g_autofree char *to = g_strdup_printf("%s/move", pair->dir);
    Relay *relay = relay_new(path, to, held, errp);
    bool ok = relay && qmp_run(pair->source->qmp, errp, "migrate",
                               "{'uri': 'shmig:unix:%s,channels=2'}", path);

    if (ok && !relay_wait_struck(relay, PAIR_MOVE_SECONDS)) {
        ok = harness_fail(errp, "the message never came by");
    }
    ok = ok && then(pair, relay, errp);
    relay_free(relay);
    return ok;
}

/* --- while one side waits for a message --- */

static bool then_cancel(Pair *pair, Relay *relay, GError **errp)
{
    if (!cancel(pair, errp)) {
        return false;
    }
    relay_release(relay);
    return dest_ends(pair, errp) && pair_source_unharmed(pair, errp);
}

/* The destination ends and never ran the guest; another one takes it. */
static bool while_held(Pair *pair, GError **errp)
{
    if (!with_held(pair, row_now()->data, then_cancel, errp)) {
        return false;
    }
    if (guest_has_run(pair->dest->guest)) {
        return harness_fail(errp, "the destination ran the guest");
    }
    return pair_move_after_all(pair, errp);
}

/* --- once the guest was given away --- */

static bool source_is(Pair *pair, const char *wanted, GError **errp)
{
    g_autoptr(JsonNode) status =
        qmp_call(pair->source->qmp, errp, "query-status", NULL);

    if (!status) {
        return false;
    }
    if (!g_str_equal(json_text_at(status, "status"), wanted)) {
        return harness_fail(errp, "the source is \"%s\", not \"%s\"",
                            json_text_at(status, "status"), wanted);
    }
    return true;
}

/* Which of the two depends on whether the migration thread has ended. */
static bool source_is_stopped(Pair *pair, GError **errp)
{
    return source_is(pair, "finish-migrate", NULL) ||
           source_is(pair, "postmigrate", errp);
}

/* The destination has COMMIT, the source not its answer: a cancel changes
 * nothing, and says so. */
static bool cancel_refused(Pair *pair, GError **errp)
{
    g_autofree char *printed = NULL;
    g_autoptr(JsonNode) info = NULL;

    if (!qmp_run(pair->source->qmp, errp, "migrate_cancel", NULL)) {
        return false;
    }
    printed = machine_stderr(pair->source);
    if (!row_said(printed, errp)) {
        return false;
    }
    info = pair_query(pair, errp);
    if (!info) {
        return false;
    }
    if (!g_str_equal(json_text_at(info, "status"), "device")) {
        return harness_fail(errp, "the source's status is \"%s\"",
                            json_text_at(info, "status"));
    }
    return source_is(pair, "finish-migrate", errp) &&
           guest_wait_beats(pair->dest->guest, 1, PAIR_MOVE_SECONDS, errp);
}

/* The answer comes in the end. */
static bool then_completes(Pair *pair, Relay *relay, GError **errp)
{
    if (!cancel_refused(pair, errp)) {
        return false;
    }
    relay_release(relay);
    return pair_wait_moved(pair, errp) && source_is_stopped(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* It never comes: the source stays as it is, whatever the user had asked. */
static bool then_stays_paused(Pair *pair, Relay *relay, GError **errp)
{
    g_autofree char *sentence = NULL;

    if (!cancel_refused(pair, errp)) {
        return false;
    }
    relay_cut(relay);
    sentence = pair_wait_failed(pair, errp);
    if (!sentence) {
        return false;
    }
    if (!strstr(sentence, "the destination may own it")) {
        return harness_fail(errp, "it does not say who may own the guest: %s",
                            sentence);
    }
    return source_is(pair, "paused", errp) &&
           pair_verify(pair->dest, pair->disks, errp) &&
           source_is(pair, "paused", errp) && pair_quit(pair, errp);
}

static const RelayFault running_held = { RELAY_HOLD, RELAY_DEST,
                                         SHMIG_FRAME_RUNNING };

static bool too_late(Pair *pair, GError **errp)
{
    return with_held(pair, &running_held, then_completes, errp);
}

static bool too_late_and_cut(Pair *pair, GError **errp)
{
    return with_held(pair, &running_held, then_stays_paused, errp);
}

/* clang-format off */
#define TOO_LATE "cannot be cancelled any more|given to the destination"
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define EMPTY { .format = "raw", .content = IMAGE_EMPTY }
#define BUSY .vcpus = 2, .guest = ROW_BUSY, .disks = { RAW, QCOW2 }
#define EAGER .vcpus = 2, .guest = "dirty=max write=100", \
              .disks = { EMPTY, QCOW2 }
#define KVM .accel = "kvm"
#define TCG .accel = "tcg"
#define CANCEL "/qemu/cancel/"
#define ROW_HELD(path_, pair_, ...) \
    { CANCEL path_, { pair_ }, while_held, NULL, \
      &(const RelayFault) { RELAY_HOLD, __VA_ARGS__ } }
#define BUSY_TCG TCG, BUSY
/* A KVM that interprets instructions takes seconds to verify more. */
#define LIGHT .accel = "kvm", .guest = "mem=2 zero=1 disk=1 dirty=500 " \
              "write=100 wsize=mixed", .disks = { RAW }
#define FINAL .flags = SHMIG_FRAME_FINAL

static const Row rows[] = {
    { CANCEL "at-once", { KVM, BUSY }, at_once },
    { CANCEL "in-disks", { KVM, BUSY, .slow = true }, in_disks },
    { CANCEL "in-disks/tcg", { TCG, BUSY, .slow = true }, in_disks },
    { CANCEL "in-disks/iothread",
      { TCG, .vcpus = 2, .guest = ROW_BUSY, .slow = true,
        .arguments = "-object iothread,id=io0 -object iothread,id=io1",
        .disks = { { .format = "raw", .device = "iothread=io0" },
                   { .format = "qcow2", .device = "iothread=io1" } } },
      in_disks },
    { CANCEL "destination-survives",
      { TCG, BUSY, .slow = true, .dest_survives = true },
      dest_survives, "the migration was cancelled" },
    { CANCEL "in-ram", { KVM, EAGER }, in_ram },
    { CANCEL "before-switchover", { KVM, BUSY }, before_switchover },
    { CANCEL "three-times", { KVM, BUSY, .slow = true }, three_times },
    { CANCEL "unanswered", { TCG, BUSY }, unanswered },
    { CANCEL "yank", { TCG, BUSY, .slow = true }, by_yank },
    { CANCEL "source-quits", { TCG, BUSY, .slow = true }, source_quits },
    { CANCEL "destination-quits", { KVM, BUSY, .slow = true }, dest_quits },
    ROW_HELD("offer-held", BUSY_TCG, RELAY_SOURCE, SHMIG_FRAME_OFFER),
    ROW_HELD("answer-held", BUSY_TCG, RELAY_DEST, SHMIG_FRAME_ANSWER),
    ROW_HELD("go-held", BUSY_TCG, RELAY_DEST, SHMIG_FRAME_GO),
    ROW_HELD("drain-final-held", BUSY_TCG, RELAY_SOURCE, SHMIG_FRAME_DRAIN, FINAL),
    ROW_HELD("drained-final-held", BUSY_TCG, RELAY_DEST, SHMIG_FRAME_DRAINED,
             FINAL),
    ROW_HELD("ready-held", LIGHT, RELAY_DEST, SHMIG_FRAME_READY),
    { CANCEL "too-late", { TCG, BUSY, .dest_runs = true }, too_late, TOO_LATE },
    { CANCEL "too-late/cut", { TCG, BUSY, .dest_runs = true },
      too_late_and_cut, TOO_LATE },
};
/* clang-format on */

/* The limit that stands for a host without threads does not bind root. */
static Row as_nobody = { CANCEL "no-thread",
                         { TCG, .address = PAIR_TCP4 },
                         no_thread };

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    if (geteuid() == 0) {
        as_nobody.options.source_arguments = "-run-with user=nobody";
    }
    rows_add(&as_nobody, 1);
    return g_test_run();
}
