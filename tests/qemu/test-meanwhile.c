/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that come while a guest moves, and would touch what is copied. */
#include <string.h>

#include "loop.h"
#include "rows.h"

static bool is_copying_disks(JsonNode *info)
{
    return json_int_at(info, "shmig.wire-bytes") > PAIR_SLOW_BYTES / 2;
}

/* In the middle of the disks, at a speed that leaves time. */
static bool begin(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_copying_disks, errp);
}

/* As if nothing had been. */
static bool arrive(Pair *pair, GError **errp)
{
    return pair_hurry(pair, errp) &&
           pair_set_parameter(pair->source, "'downtime-limit': 20000", errp) &&
           pair_wait_moved(pair, errp) && pair_compare_disks(pair, errp) &&
           pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* A command to the source that has to fail. */
static bool refused(Pair *pair, const char *command, const char *arguments,
                    GError **errp)
{
    g_autoptr(GError) error = NULL;

    if (qmp_run(pair->source->qmp, &error, command, "%s", arguments)) {
        return harness_fail(errp, "%s was not refused", command);
    }
    return row_said(error->message, errp);
}

/* --- snapshots --- */

static bool hmp_says_nothing(Machine *machine, const char *line, GError **errp)
{
    g_autofree char *said = qmp_hmp(machine->qmp, line, errp);

    if (said && *said) {
        return harness_fail(errp, "%s: %s", line, said);
    }
    return said != NULL;
}

static bool loadvm(Pair *pair, GError **errp)
{
    g_autofree char *said = NULL;

    if (!hmp_says_nothing(pair->source, "savevm before", errp) ||
        !begin(pair, errp)) {
        return false;
    }
    said = qmp_hmp(pair->source->qmp, "loadvm before", errp);
    return said && row_said(said, errp) && pair_source_unharmed(pair, errp) &&
           arrive(pair, errp);
}

/* The error of the only job. */
static char *job_error(Machine *machine, GError **errp)
{
    g_autoptr(JsonNode) jobs = NULL;
    g_autoptr(JsonNode) event =
        qmp_wait_event(machine->qmp, "JOB_STATUS_CHANGE", "status", "concluded",
                       PAIR_MOVE_SECONDS, errp);

    jobs = event ? qmp_call(machine->qmp, errp, "query-jobs", NULL) : NULL;
    if (!jobs) {
        return NULL;
    }
    return g_strdup(json_text_at(
        json_array_get_element(json_node_get_array(jobs), 0), "error"));
}

/* By node, which is below the filter. */
static bool snapshot_load(Pair *pair, GError **errp)
{
    g_autofree char *said = NULL;

    if (!hmp_says_nothing(pair->source, "savevm before", errp) ||
        !begin(pair, errp) ||
        !qmp_run(pair->source->qmp, errp, "snapshot-load",
                 "{'job-id': 'load', 'tag': 'before', 'vmstate': 'node0', "
                 "'devices': ['node0']}")) {
        return false;
    }
    said = job_error(pair->source, errp);
    return said && row_said(said, errp) && pair_source_unharmed(pair, errp) &&
           arrive(pair, errp);
}

/* --- calc-dirty-rate --- */

#define MEASURE(seconds_) \
    "calc-dirty-rate", "{'calc-time': " seconds_ ", 'mode': 'dirty-bitmap'}"

static bool measure_meanwhile(Pair *pair, GError **errp)
{
    return begin(pair, errp) && refused(pair, MEASURE("1"), errp) &&
           arrive(pair, errp);
}

/* It had begun before: RAM waits for it, and it measures what there is. */
static bool measured_before(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) rate = NULL;

    if (!qmp_run(pair->source->qmp, errp, MEASURE("3")) || !begin(pair, errp) ||
        !pair_hurry(pair, errp) ||
        !pair_set_parameter(pair->source, "'downtime-limit': 20000", errp) ||
        !pair_wait_moved(pair, errp)) {
        return false;
    }
    rate = qmp_call(pair->source->qmp, errp, "query-dirty-rate", NULL);
    if (!rate) {
        return false;
    }
    if (!g_str_equal(json_text_at(rate, "status"), "measured") ||
        json_int_at(rate, "dirty-rate") < 1) {
        return harness_fail(errp, "the dirty rate is %s, %d MB/s",
                            json_text_at(rate, "status"),
                            (int)json_int_at(rate, "dirty-rate"));
    }
    return arrive(pair, errp);
}

/* The dirty ring's other users, while it fills the log of the migration. */
static bool is_tracking(JsonNode *info)
{
    return g_str_equal(json_text_at(info, "shmig.tracker"), "kvm-ring") &&
           g_str_equal(json_text_at(info, "shmig.phase"), "ram");
}

static bool measured(Pair *pair, GError **errp)
{
    int64_t deadline = loop_now_us() + PAIR_MOVE_SECONDS * G_USEC_PER_SEC;

    while (loop_now_us() < deadline) {
        g_autoptr(JsonNode) rate =
            qmp_call(pair->source->qmp, errp, "query-dirty-rate", NULL);

        if (!rate) {
            return false;
        }
        if (g_str_equal(json_text_at(rate, "status"), "measured")) {
            return json_int_at(rate, "dirty-rate") >= 1 ||
                   harness_fail(errp, "no write was measured");
        }
        if (loop_wait(pair_is_over, pair, 0.1)) {
            return harness_fail(errp, "it moved while it was measured");
        }
    }
    return harness_fail(errp, "the measurement does not end");
}

static bool ring_meanwhile(Pair *pair, GError **errp)
{
    Qmp *qmp = pair->source->qmp;

    return pair_set_parameter(pair->source,
                              "'max-bandwidth': 4000000, 'downtime-limit': 1",
                              errp) &&
           pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_tracking, errp) &&
           qmp_run(qmp, errp, "set-vcpu-dirty-limit", "{'dirty-rate': 100}") &&
           qmp_run(qmp, errp, "calc-dirty-rate",
                   "{'calc-time': 2, 'mode': 'dirty-ring'}") &&
           measured(pair, errp) &&
           qmp_run(qmp, errp, "cancel-vcpu-dirty-limit", NULL) &&
           arrive(pair, errp);
}

/* --- exports --- */

static bool serve(Pair *pair, GError **errp)
{
    return qmp_run(pair->source->qmp, errp, "nbd-server-start",
                   "{'addr': {'type': 'unix', 'data': {'path': '%s/nbd'}}}",
                   pair->dir);
}

#define EXPORT(more_)                                    \
    "block-export-add", "{'type': 'nbd', 'id': 'exp0', " \
                        "'node-name': 'node0', 'writable': true" more_ "}"

/* A writable export is refused at once; without it, the guest moves. */
static bool export_before(Pair *pair, GError **errp)
{
    g_autoptr(GError) error = NULL;

    if (!serve(pair, errp) || !qmp_run(pair->source->qmp, errp, EXPORT(""))) {
        return false;
    }
    if (pair_migrate(pair, &error)) {
        return harness_fail(errp, "migrate was not refused");
    }
    if (!row_said(error->message, errp) || !pair_source_unharmed(pair, errp)) {
        return false;
    }
    /* Of the migration that was refused. */
    qmp_forget_events(pair->source->qmp);
    return qmp_run(pair->source->qmp, errp, "block-export-del",
                   "{'id': 'exp0'}") &&
           begin(pair, errp) && arrive(pair, errp);
}

/* One that lets go of the image by itself is welcome. */
static bool export_lets_go(Pair *pair, GError **errp)
{
    return serve(pair, errp) &&
           qmp_run(pair->source->qmp, errp,
                   EXPORT(", 'allow-inactive': true")) &&
           begin(pair, errp) && arrive(pair, errp);
}

/* One that comes later fails the migration before the guest is stopped. */
static bool export_meanwhile(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL;

    if (!serve(pair, errp) || !begin(pair, errp) ||
        !qmp_run(pair->source->qmp, errp, "nbd-server-add",
                 "{'device': 'drive0', 'name': 'late', 'writable': true}") ||
        !pair_hurry(pair, errp)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    if (!sentence || !row_said(sentence, errp)) {
        return false;
    }
    if (qmp_has_event(pair->source->qmp, "STOP", NULL, NULL)) {
        return harness_fail(errp, "the guest was stopped for nothing");
    }
    return pair_source_unharmed(pair, errp) &&
           qmp_run(pair->source->qmp, errp, "nbd-server-remove",
                   "{'name': 'late'}") &&
           pair_move_after_all(pair, errp);
}

/* --- what is told --- */

static JsonNode *first_disk(JsonNode *info)
{
    JsonNode *disks = json_at(info, "shmig.disks");

    return disks ? json_array_get_element(json_node_get_array(disks), 0) : NULL;
}

static bool is_held_back(JsonNode *info)
{
    return json_int_at(first_disk(info), "delayed") > 0;
}

/* A guest that writes faster than the link is held back, and it is told. */
static bool held_back(Pair *pair, GError **errp)
{
    g_autofree char *text = NULL;

    if (!begin(pair, errp) || !pair_wait_query(pair, is_held_back, errp)) {
        return false;
    }
    text = qmp_hmp(pair->source->qmp, "info migrate", errp);
    return text && row_said(text, errp) && arrive(pair, errp);
}

/* --- what the guest and its user do --- */

#define BOOT_SECONDS 120

static bool runs_as(Machine *machine, const char *wanted, GError **errp)
{
    g_autoptr(JsonNode) status =
        qmp_call(machine->qmp, errp, "query-status", NULL);

    if (!status) {
        return false;
    }
    if (!g_str_equal(json_text_at(status, "status"), wanted)) {
        return harness_fail(errp, "the %s is \"%s\", not \"%s\"", machine->name,
                            json_text_at(status, "status"), wanted);
    }
    return true;
}

/* For what may take long where the host is busy: nothing arrives before the
 * test lets it. */
static bool begin_slowly(Pair *pair, GError **errp)
{
    return begin(pair, errp) &&
           pair_set_parameter(pair->source, "'max-bandwidth': 131072", errp);
}

/* A guest that was paused arrives paused, whatever the destination was told
 * for others, and goes on when it is told to. */
static bool arrive_paused(Pair *pair, GError **errp)
{
    if (!pair_hurry(pair, errp) || !pair_wait_moved(pair, errp) ||
        !pair_compare_disks(pair, errp) ||
        !runs_as(pair->dest, "paused", errp)) {
        return false;
    }
    if (guest_has_run(pair->dest->guest)) {
        return harness_fail(errp, "a guest that was paused ran");
    }
    return pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

static bool paused_before(Pair *pair, GError **errp)
{
    return qmp_run(pair->source->qmp, errp, "stop", NULL) &&
           begin(pair, errp) && arrive_paused(pair, errp);
}

static bool paused_meanwhile(Pair *pair, GError **errp)
{
    return begin(pair, errp) &&
           qmp_run(pair->source->qmp, errp, "stop", NULL) &&
           arrive_paused(pair, errp);
}

static bool paused_for_a_while(Pair *pair, GError **errp)
{
    return begin_slowly(pair, errp) &&
           qmp_run(pair->source->qmp, errp, "stop", NULL) &&
           runs_as(pair->source, "paused", errp) &&
           qmp_run(pair->source->qmp, errp, "cont", NULL) &&
           pair_source_unharmed(pair, errp) && arrive(pair, errp);
}

/* It boots while its disks are copied, and forgets what it knew of them. */
static bool reset(Pair *pair, GError **errp)
{
    if (!begin_slowly(pair, errp)) {
        return false;
    }
    guest_reboots(pair->source->guest);
    return qmp_run(pair->source->qmp, errp, "system_reset", NULL) &&
           guest_wait_ready(pair->source->guest, BOOT_SECONDS, errp) &&
           pair_source_unharmed(pair, errp) && arrive(pair, errp);
}

/* QEMU exits with its guest, and half of one never runs. */
static bool powered_off(Pair *pair, GError **errp)
{
    g_autofree char *printed = NULL;

    if (!begin(pair, errp) || !guest_power_off(pair->source->guest, errp)) {
        return false;
    }
    printed = pair_wait_dest_end(pair, errp);
    if (!printed || !row_said(printed, errp) ||
        machine_wait_exit(pair->source, BOOT_SECONDS, errp) != 0) {
        return false;
    }
    if (guest_has_run(pair->dest->guest)) {
        return harness_fail(errp, "the destination ran half a guest");
    }
    return image_unchanged(pair->source_disks[0], errp) &&
           image_check(pair->source_disks[0], errp);
}

/* It is off on the destination as well, with all its disks. */
static bool powered_off_and_kept(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) event = NULL;

    if (!begin(pair, errp) || !guest_power_off(pair->source->guest, errp)) {
        return false;
    }
    event = qmp_wait_event(pair->source->qmp, "SHUTDOWN", NULL, NULL,
                           BOOT_SECONDS, errp);
    return event && pair_hurry(pair, errp) && pair_wait_moved(pair, errp) &&
           pair_compare_disks(pair, errp) &&
           runs_as(pair->dest, "shutdown", errp) && pair_quit(pair, errp);
}

/* --- memory --- */

/* QEMU itself does not let devices come while a guest is moved. */
static bool plug(Pair *pair, GError **errp)
{
    return begin(pair, errp) &&
           qmp_run(pair->source->qmp, errp, "object-add",
                   "{'qom-type': 'memory-backend-ram', 'id': 'more', "
                   "'size': 67108864}") &&
           refused(pair, "device_add",
                   "{'driver': 'pc-dimm', 'id': 'dimm0', 'memdev': 'more'}",
                   errp) &&
           arrive(pair, errp);
}

/* clang-format off */
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define NODE(format_) { .format = format_, .drive = "node-name=node0" }
#define SHARED                                                \
    { .format = "raw", .drive = "node-name=node0",            \
      .device = "share-rw=on" }
#define KVM .accel = "kvm", .vcpus = 2, .slow = true
#define TCG .accel = "tcg", .vcpus = 2, .slow = true
#define MEANWHILE "/qemu/meanwhile/"

static const Row rows[] = {
    { MEANWHILE "loadvm",
      { TCG, .guest = ROW_BUSY, .disks = { NODE("qcow2") } },
      loadvm, "is being migrated" },
    { MEANWHILE "snapshot-load",
      { TCG, .guest = ROW_BUSY, .disks = { NODE("qcow2") } },
      snapshot_load, "is being migrated" },
    { MEANWHILE "calc-dirty-rate",
      { KVM, .guest = ROW_BUSY, .disks = { RAW } },
      measure_meanwhile, "shmig migration|page-sampling" },
    { MEANWHILE "calc-dirty-rate/before",
      { KVM, .guest = "dirty=max", .disks = { RAW } }, measured_before },
    { MEANWHILE "dirty-ring",
      { .accel = ROW_KVM_RING, .vcpus = 2, .guest = "dirty=300",
        .disks = { RAW } }, ring_meanwhile },
    { MEANWHILE "export/before",
      { TCG, .guest = ROW_BUSY, .disks = { SHARED } },
      export_before, "disk0|nbd export|exp0|may write" },
    { MEANWHILE "export/lets-go",
      { TCG, .guest = ROW_BUSY, .disks = { SHARED } }, export_lets_go },
    { MEANWHILE "export/meanwhile",
      { TCG, .guest = ROW_BUSY, .disks = { SHARED } },
      export_meanwhile, "disk0|nbd export|late|may write" },
    { MEANWHILE "paused/before",
      { TCG, .guest = ROW_BUSY, .dest_runs = true, .disks = { RAW, QCOW2 } },
      paused_before },
    { MEANWHILE "paused",
      { TCG, .guest = ROW_BUSY, .dest_runs = true, .disks = { RAW, QCOW2 } },
      paused_meanwhile },
    { MEANWHILE "paused/for-a-while",
      { TCG, .guest = ROW_BUSY, .disks = { RAW, QCOW2 } },
      paused_for_a_while },
    { MEANWHILE "reset",
      { TCG, .guest = ROW_BUSY " blank=0", .disks = { RAW, QCOW2 } }, reset },
    { MEANWHILE "reset/kvm",
      { KVM, .guest = "mem=2 zero=1 disk=1 blank=0 dirty=500 write=100",
        .disks = { RAW } }, reset },
    { MEANWHILE "powered-off",
      { TCG, .guest = ROW_BUSY, .dest_runs = true, .disks = { QCOW2 } },
      powered_off, "the migration was cancelled" },
    { MEANWHILE "powered-off/kept",
      { TCG, .guest = ROW_BUSY, .arguments = "-no-shutdown",
        .dest_runs = true, .disks = { RAW, QCOW2 } }, powered_off_and_kept },
    { MEANWHILE "memory-plugged",
      { TCG, .guest = ROW_BUSY, .memory_more = "slots=2,maxmem=1G",
        .disks = { RAW } }, plug, "not allowed while migrating" },
    { MEANWHILE "writes-held-back",
      { KVM, .guest = "dirty=0 write=max wsize=65536", .disks = { RAW } },
      held_back, "writes held back" },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    return g_test_run();
}
