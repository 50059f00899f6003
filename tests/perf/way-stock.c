/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blockdev-mirror to the destination's NBD server, then multifd.
 *
 * As it is fastest: the destination runs the guest by itself, without a last
 * round of management; the server listens already; what management would
 * tidy up afterwards is left out.
 */
#include "loop.h"
#include "way.h"

/* In a namespace of our own: it is free. */
#define NBD_PORT "10809"
#define MIRROR_SECONDS 600
#define SWITCH_SECONDS 120

static bool serve_disk(Ends *ends, GError **errp)
{
    Qmp *qmp = ends->dest->qmp;

    return qmp_run(qmp, errp, "nbd-server-start",
                   "{'addr': {'type': 'inet', 'data': {'host': '%s', "
                   "'port': '" NBD_PORT "'}}}",
                   link_address(ends->link)) &&
           qmp_run(qmp, errp, "block-export-add",
                   "{'type': 'nbd', 'id': 'export0', 'name': 'disk0', "
                   "'node-name': '" ENDS_NODE "', 'writable': true}");
}

static bool prepare(Ends *ends, GError **errp)
{
    return ends_set_capability(ends, "multifd", errp) &&
           ends_set_capability(ends, "pause-before-switchover", errp) &&
           ends_listen(ends, "tcp", errp) && serve_disk(ends, errp);
}

static bool mirror_disk(Ends *ends, GError **errp)
{
    Qmp *qmp = ends->source->qmp;
    g_autoptr(JsonNode) ready = NULL;

    if (!qmp_run(qmp, errp, "blockdev-add",
                 "{'driver': 'nbd', 'node-name': 'target0', "
                 "'export': 'disk0', 'discard': 'unmap', "
                 "'server': {'type': 'inet', 'host': '%s', "
                 "'port': '" NBD_PORT "'}}",
                 link_address(ends->link)) ||
        !qmp_run(qmp, errp, "blockdev-mirror",
                 "{'job-id': 'mirror0', 'device': '" ENDS_NODE "', "
                 "'target': 'target0', 'sync': 'full', "
                 "'copy-mode': 'background'}")) {
        return false;
    }
    ready = qmp_wait_event(qmp, "BLOCK_JOB_READY", "device", "mirror0",
                           MIRROR_SECONDS, errp);
    return ready != NULL;
}

/* The guest is stopped: what the mirror has not sent yet is the last. */
static bool end_mirror(Ends *ends, GError **errp)
{
    Qmp *qmp = ends->source->qmp;
    g_autoptr(JsonNode) completed = NULL;

    if (!qmp_run(qmp, errp, "block-job-cancel", "{'device': 'mirror0'}")) {
        return false;
    }
    completed = qmp_wait_event(qmp, "BLOCK_JOB_COMPLETED", "device", "mirror0",
                               SWITCH_SECONDS, errp);
    if (completed && json_at(completed, "error")) {
        return harness_fail(errp, "the mirror failed: %s",
                            json_text_at(completed, "error"));
    }
    return completed != NULL;
}

static bool move(Ends *ends, BenchRun *run, GError **errp)
{
    Qmp *qmp = ends->source->qmp;
    g_autoptr(JsonNode) paused = NULL;
    int64_t start_us = loop_now_us();

    if (!mirror_disk(ends, errp)) {
        return false;
    }
    run->figure[FIG_DISK_S] = (loop_now_us() - start_us) / 1e6;
    if (!qmp_run(qmp, errp, "migrate", "{'uri': '%s'}", ends->uri)) {
        return false;
    }
    paused = qmp_wait_event(qmp, "MIGRATION", "status", "pre-switchover",
                            MIRROR_SECONDS, errp);
    return paused && end_mirror(ends, errp) &&
           qmp_run(qmp, errp, "migrate-continue",
                   "{'state': 'pre-switchover'}") &&
           ends_wait_completed(ends, errp);
}

const Way way_stock = { "stock", prepare, move };
