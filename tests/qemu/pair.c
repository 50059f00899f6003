/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps of a migration, each of which checks what it is about. */
#include <inttypes.h>
#include <string.h>

#include "loop.h"
#include "pair.h"

/* Heartbeats that show a guest to be alive. */
#define ALIVE_BEATS 20
#define ALIVE_SECONDS 30
/* Between two queries. */
#define QUERY_SECONDS 0.02

/* Of what the source takes up, as thousandths, and what a file system adds
 * for its own purposes. */
#define ALLOCATION_PER_MILLE 1010
#define ALLOCATION_SLACK_BYTES 65536

bool pair_set_capability(Pair *pair, const char *name, bool on, GError **errp)
{
    Machine *const machines[] = { pair->source, pair->dest };

    for (unsigned i = 0; i < G_N_ELEMENTS(machines); i++) {
        if (machines[i] &&
            !qmp_run(machines[i]->qmp, errp, "migrate-set-capabilities",
                     "{'capabilities': [{'capability': '%s', "
                     "'state': %s}]}",
                     name, on ? "true" : "false")) {
            return false;
        }
    }
    return true;
}

bool pair_set_parameter(Machine *machine, const char *setting, GError **errp)
{
    return qmp_run(machine->qmp, errp, "migrate-set-parameters", "{%s}",
                   setting);
}

bool pair_hurry(Pair *pair, GError **errp)
{
    pair->options.slow = false;
    return pair_set_parameter(pair->source, "'max-bandwidth': 0", errp);
}

bool pair_migrate(Pair *pair, GError **errp)
{
    if (pair->options.slow &&
        !pair_set_parameter(pair->source,
                            "'max-bandwidth': " G_STRINGIFY(PAIR_SLOW_BYTES),
                            errp)) {
        return false;
    }
    return qmp_run(pair->source->qmp, errp, "migrate", "{'uri': '%s'}",
                   pair->uri);
}

static bool has_status(Machine *machine, const char *status)
{
    return qmp_has_event(machine->qmp, "MIGRATION", "status", status);
}

static bool has_stopped(Machine *machine)
{
    return qmp_closed(machine->qmp) || has_status(machine, "failed") ||
           has_status(machine, "cancelled");
}

bool pair_is_over(void *opaque)
{
    Pair *pair = opaque;

    return (has_status(pair->source, "completed") &&
            has_status(pair->dest, "completed")) ||
           has_stopped(pair->source) || has_stopped(pair->dest);
}

/* What both sides know of why it went wrong. */
static bool tell_why(Pair *pair, GError **errp)
{
    g_autofree char *source = machine_stderr(pair->source);
    g_autofree char *dest = machine_stderr(pair->dest);
    g_autoptr(JsonNode) info = pair_query(pair, NULL);

    return harness_fail(errp,
                        "the migration did not complete: source [%s] \"%s\", "
                        "destination [%s]; source's standard error: %s"
                        "; destination's: %s",
                        qmp_migration_states(pair->source->qmp),
                        info ? json_text_at(info, "error-desc") : "it ended",
                        qmp_migration_states(pair->dest->qmp), source, dest);
}

bool pair_wait_moved(Pair *pair, GError **errp)
{
    loop_wait(pair_is_over, pair, PAIR_MOVE_SECONDS);
    if (!has_status(pair->source, "completed") ||
        !has_status(pair->dest, "completed")) {
        return tell_why(pair, errp);
    }
    return true;
}

JsonNode *pair_query(Pair *pair, GError **errp)
{
    return qmp_call(pair->source->qmp, errp, "query-migrate", NULL);
}

static bool source_failed(void *opaque)
{
    Pair *pair = opaque;

    return has_stopped(pair->source) || has_status(pair->source, "completed");
}

char *pair_wait_failed(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) info = NULL;

    loop_wait(source_failed, pair, PAIR_MOVE_SECONDS);
    info = pair_query(pair, errp);
    if (!info) {
        return NULL;
    }
    if (!g_str_equal(json_text_at(info, "status"), "failed")) {
        harness_fail(errp, "the source's status is \"%s\", not \"failed\"",
                     json_text_at(info, "status"));
        return NULL;
    }
    return g_strdup(json_text_at(info, "error-desc"));
}

static bool travels(const Pair *pair, unsigned i)
{
    g_autofree char *id = g_strdup_printf("disk%u", i);

    if (!pair->source_disks[i] || !pair->dest_disks[i]) {
        return false;
    }
    return !pair->options.select || strstr(pair->options.select, id);
}

bool pair_compare_disks(Pair *pair, GError **errp)
{
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        if (travels(pair, i) &&
            !image_compare(pair->source_disks[i], pair->dest_disks[i], errp)) {
            g_prefix_error(errp, "disk%u: ", i);
            return false;
        }
    }
    return true;
}

bool pair_compare_allocation(Pair *pair, GError **errp)
{
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        int64_t source, dest;

        if (!travels(pair, i) || !g_str_equal(pair->source_disks[i]->format,
                                              pair->dest_disks[i]->format)) {
            continue;
        }
        source = image_allocated(pair->source_disks[i], errp);
        dest = source < 0 ? -1 : image_allocated(pair->dest_disks[i], errp);
        if (dest < 0) {
            return false;
        }
        if (dest >
            source / 1000 * ALLOCATION_PER_MILLE + ALLOCATION_SLACK_BYTES) {
            return harness_fail(errp,
                                "disk%u: the source's image takes up %" PRId64
                                " bytes, the destination's %" PRId64,
                                i, source, dest);
        }
    }
    return true;
}

bool pair_resume(Pair *pair, GError **errp)
{
    return qmp_run(pair->dest->qmp, errp, "cont", NULL) &&
           guest_wait_beats(pair->dest->guest, 1, ALIVE_SECONDS, errp);
}

bool pair_verify(Machine *machine, unsigned disks, GError **errp)
{
    return guest_wait_beats(machine->guest, ALIVE_BEATS, ALIVE_SECONDS, errp) &&
           guest_verify(machine->guest, disks, errp);
}

/* QEMU says that a migration failed before it lets the guest go on. */
static JsonNode *settled_status(Machine *machine, GError **errp)
{
    JsonNode *status = qmp_call(machine->qmp, errp, "query-status", NULL);

    while (status &&
           g_str_equal(json_text_at(status, "status"), "finish-migrate")) {
        g_autoptr(JsonNode) event = qmp_wait_event(machine->qmp, "RESUME", NULL,
                                                   NULL, ALIVE_SECONDS, errp);

        g_clear_pointer(&status, json_node_unref);
        if (event) {
            status = qmp_call(machine->qmp, errp, "query-status", NULL);
        }
    }
    return status;
}

static bool source_disks_unchanged(Pair *pair, GError **errp)
{
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        if (pair->source_disks[i] &&
            !image_unchanged(pair->source_disks[i], errp)) {
            g_prefix_error(errp, "the source's disk%u: ", i);
            return false;
        }
    }
    return true;
}

bool pair_source_unharmed(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) status = settled_status(pair->source, errp);

    if (!status) {
        return false;
    }
    if (!g_str_equal(json_text_at(status, "status"), "running")) {
        return harness_fail(errp, "the source's guest is \"%s\"",
                            json_text_at(status, "status"));
    }
    return pair_verify(pair->source, pair->disks, errp) &&
           source_disks_unchanged(pair, errp);
}

static bool images_are_sound(Image *const *images, GError **errp)
{
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        if (images[i] && !image_check(images[i], errp)) {
            return false;
        }
    }
    return true;
}

bool pair_quit(Pair *pair, GError **errp)
{
    if (!machine_quit(pair->source, errp) ||
        !images_are_sound(pair->source_disks, errp)) {
        return false;
    }
    return !pair->dest || (machine_quit(pair->dest, errp) &&
                           images_are_sound(pair->dest_disks, errp));
}

bool pair_arrive(Pair *pair, GError **errp)
{
    if (!pair_wait_moved(pair, errp)) {
        return false;
    }
    if (!pair->options.dest_runs &&
        (!pair_compare_disks(pair, errp) ||
         !pair_compare_allocation(pair, errp) || !pair_resume(pair, errp))) {
        return false;
    }
    return pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

bool pair_move(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) && pair_arrive(pair, errp);
}

bool pair_wait_query(Pair *pair, PairQueryTest test, GError **errp)
{
    int64_t deadline = loop_now_us() + PAIR_MOVE_SECONDS * G_USEC_PER_SEC;

    while (loop_now_us() < deadline) {
        g_autoptr(JsonNode) info = pair_query(pair, errp);

        if (!info) {
            return false;
        }
        if (test(info)) {
            return true;
        }
        if (loop_wait(pair_is_over, pair, QUERY_SECONDS)) {
            return tell_why(pair, errp);
        }
    }
    return harness_fail(errp, "what is waited for does not come");
}

bool pair_wait_status(Pair *pair, const char *status, GError **errp)
{
    g_autoptr(JsonNode) event =
        qmp_wait_event(pair->source->qmp, "MIGRATION", "status", status,
                       PAIR_MOVE_SECONDS, errp);

    return event != NULL;
}

char *pair_wait_dest_end(Pair *pair, GError **errp)
{
    g_autofree char *text = NULL;
    int status = machine_wait_exit(pair->dest, PAIR_MOVE_SECONDS, errp);

    if (status < 0) {
        return NULL;
    }
    text = machine_stderr(pair->dest);
    if (status != 1 || !*text) {
        harness_fail(errp, "the destination ended with status %d: %s", status,
                     text);
        return NULL;
    }
    return g_steal_pointer(&text);
}

bool pair_move_after_all(Pair *pair, GError **errp)
{
    qmp_forget_events(pair->source->qmp);
    return pair_renew_dest(pair, errp) && pair_hurry(pair, errp) &&
           pair_set_parameter(pair->source, "'downtime-limit': 20000", errp) &&
           pair_set_capability(pair, "pause-before-switchover", false, errp) &&
           pair_move(pair, errp);
}
