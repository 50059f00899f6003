/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An outgoing migration's part in QEMU's migration thread.
 *
 * QEMU asks what is pending and, if that is little enough, stops the guest;
 * else it has us iterate.  The decision is ours, over RAM, disks and queues
 * (shmig/pace/rounds.h): iterate() makes it, and pending_estimate() tells it
 * in QEMU's terms, 0 for "stop the guest" and more than its threshold for
 * everything else.
 *
 * Our sections in QEMU's stream carry no RAM.  They tell the destination
 * which blocks come, that we are alive, and that all bytes were sent.
 */
#include "qemu/osdep.h"

#include "qemu/main-loop.h"
#include "migration/migration-stats.h"
#include "qapi/qapi-types-migration.h"
#include "migration/options.h"
#include "migration/register.h"
#include "qapi/qapi-events-migration.h"
#include "system/runstate.h"

#include "shmig/base/clock.h"
#include "shmig/base/error.h"
#include "glue.h"
#include "load.h"
#include "throttle.h"
#include "tracker.h"
#include "trace.h"

/* How often the destination is asked whether it has caught up. */
#define MAX_BARRIERS 3
/* How long QEMU's migration thread does not look at anything else. */
#define WAIT_MS 50
/*
 * RAM is copied along when less than this is left to copy of the disks, or
 * less than RAM itself will take: where the destination's disks are slower
 * than the link, there is RAM for what they leave idle.  What tracking costs
 * the guest begins page by page when they are sent, where KVM can do so.
 */
#define DISKS_NEARLY_DONE_NS 1000000000
#define DISKS_NEARLY_DONE_PART 20
/* A decision that is older says little of what the guest has dirtied. */
#define DECISION_NS 20000000
/*
 * Stopping the guest, device state, the destination's flush and its start
 * take some milliseconds whatever is pending.
 */
#define SWITCHOVER_NS 10000000

static bool is_active(void *opaque)
{
    return migrate_shmig();
}

int shmig_save_fail(ShmigOutgoing *out, Error *error)
{
    shmig_let_cancel_through();
    shmig_outgoing_fail(out, error_get_pretty(error));
    migrate_set_error(out->s, error);
    error_free(error);
    return -EIO;
}

static int fail_gerror(ShmigOutgoing *out, GError *gerr)
{
    Error *error = NULL;

    shmig_propagate(&error, gerr);
    return shmig_save_fail(out, error);
}

static int save_setup(QEMUFile *f, void *opaque, Error **errp)
{
    ShmigOutgoing *out = shmig_outgoing;
    int ret;

    qemu_put_be32(f, SHMIG_SECTION_BLOCKS);
    qemu_put_be32(f, out->ram->n);
    for (unsigned i = 0; i < out->ram->n; i++) {
        qemu_put_counted_string(f, out->ram->blocks[i].rb->idstr);
        qemu_put_be64(f, out->ram->blocks[i].used_bytes);
    }
    trace_shmig_save_setup(out->ram->n);
    ret = qemu_fflush(f);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "the migration stream was closed");
    }
    return ret;
}

static uint64_t ram_sum(ShmigOutgoing *out, size_t field)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < out->ram->n; i++) {
        const void *stats = shmig_source_region_stats(out->source, i);

        sum += shmig_counted(stats + field);
    }
    return sum;
}

void shmig_count_sent(ShmigOutgoing *out)
{
    const ShmigStats *stats = shmig_source_stats(out->source);
    uint64_t stream = shmig_counted(&stats->stream_bytes);
    uint64_t wire = shmig_counted(&stats->wire_bytes);
    size_t page = 1 << SHMIG_RAM_GRANULE_SHIFT;
    uint64_t before = stat64_get(&mig_stats.multifd_bytes);

    /* QEMU has counted the stream's bytes as they were written. */
    wire = wire > stream ? wire - stream : 0;
    if (wire <= before) {
        return;
    }
    stat64_set(&mig_stats.multifd_bytes, wire);
    stat64_add(runstate_is_running() ? &mig_stats.precopy_bytes
                                     : &mig_stats.downtime_bytes,
               wire - before);
    stat64_set(&mig_stats.normal_pages,
               ram_sum(out, offsetof(ShmigRegionStats, data_bytes)) / page);
    stat64_set(&mig_stats.zero_pages,
               ram_sum(out, offsetof(ShmigRegionStats, zero_bytes)) / page);
}

static uint64_t wire_bytes(ShmigOutgoing *out)
{
    return shmig_counted(&shmig_source_stats(out->source)->wire_bytes);
}

static uint64_t pending_sum(const ShmigPending *p)
{
    return p->ram_bytes + p->disk_bytes + p->queued_bytes;
}

static uint64_t pending_bytes(ShmigOutgoing *out)
{
    ShmigPending p;

    shmig_source_pending(out->source, &p);
    return pending_sum(&p);
}

/* The session keeps to the limit; QEMU would only make us sleep besides. */
static void update_bandwidth(ShmigOutgoing *out)
{
    uint64_t bandwidth = migrate_max_bandwidth();

    migration_rate_set(RATE_LIMIT_DISABLED);

    if (bandwidth != out->bandwidth) {
        out->bandwidth = bandwidth;
        shmig_source_set_bandwidth(out->source, bandwidth);
    }
}

/* Whether what is left of the disks lets RAM come along. */
static bool disks_are_nearly_done(ShmigOutgoing *out)
{
    uint64_t rate = shmig_rate_get(&out->rounds.rate);
    uint64_t ram_ns = shmig_rate_time_ns(shmig_ram_bytes_remaining(), rate);
    ShmigPending p;

    shmig_source_pending(out->source, &p);
    if (p.disk_bytes <= out->disk_total_bytes / DISKS_NEARLY_DONE_PART) {
        return true;
    }
    return rate && p.disk_bytes <= shmig_rate_bytes(
                                       MAX(DISKS_NEARLY_DONE_NS, ram_ns), rate);
}

/* Waits a little, and learns how fast the link is. */
static bool wait_and_measure(ShmigOutgoing *out, GError **errp)
{
    bool copying = shmig_source_ram_started(out->source);
    uint64_t below = copying ? shmig_rounds_low_bytes(&out->rounds) : 0;
    /* Nothing goes before the destination says so. */
    bool busy = pending_bytes(out) > below && wire_bytes(out) > below;
    bool ok = shmig_source_wait(out->source, below, WAIT_MS, errp);

    shmig_rounds_sent(&out->rounds, shmig_now_ns(), wire_bytes(out), busy);
    qatomic_set(&out->rate, shmig_rate_get(&out->rounds.rate));
    qatomic_set(&out->dirty_rate, out->rounds.dirty_bytes_per_s);
    shmig_count_sent(out);
    return ok;
}

/* Or waits, if the log of dirty RAM is not to be had yet. */
static bool start_ram(ShmigOutgoing *out, GError **errp)
{
    ShmigPending p;
    bool ok;

    bql_lock();
    if (shmig_tracker_is_lent()) {
        bql_unlock();
        return wait_and_measure(out, errp);
    }
    ok = shmig_source_start_ram(out->source, errp);
    if (ok) {
        shmig_ram_blocks_mark(out->ram, out->source);
    }
    bql_unlock();
    if (!ok) {
        return false;
    }
    shmig_source_pending(out->source, &p);
    trace_shmig_start_ram(p.ram_bytes, p.disk_bytes);
    shmig_rounds_start_ram(&out->rounds, shmig_now_ns(), pending_sum(&p));
    shmig_throttle_init(&out->throttle, shmig_now_ns(), wire_bytes(out));
    shmig_set_phase(out, SHMIG_PHASE_RAM);
    stat64_add(&mig_stats.dirty_sync_count, 1);
    return true;
}

static void count_harvest(ShmigOutgoing *out, uint64_t dirty_bytes,
                          uint64_t pending)
{
    stat64_add(&mig_stats.dirty_sync_count, 1);
    stat64_set(&mig_stats.dirty_pages_rate,
               out->rounds.dirty_bytes_per_s >> SHMIG_RAM_GRANULE_SHIFT);
    stat64_set(&mig_stats.dirty_bytes_last_sync, pending);
    if (migrate_events()) {
        qapi_event_send_migration_pass(stat64_get(&mig_stats.dirty_sync_count));
    }
}

static bool harvest(ShmigOutgoing *out, bool last, GError **errp)
{
    int64_t before = shmig_now_ns(), now;
    int64_t pages = shmig_source_harvest(out->source, last);
    uint64_t dirty, pending = pending_bytes(out);

    if (pages < 0) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM,
                    "the log of dirty RAM could not be read: %s",
                    pages == -EOVERFLOW
                        ? "a vCPU's dirty ring was overrun, and written "
                          "pages are unknown; start the guest with a larger "
                          "dirty-ring-size, or without one"
                        : strerror(-pages));
        return false;
    }
    now = shmig_now_ns();
    dirty = pages << SHMIG_RAM_GRANULE_SHIFT;
    trace_shmig_harvest(pages, pending, now - before, last);
    shmig_rounds_harvested(&out->rounds, now, dirty, pending);
    count_harvest(out, dirty, pending);
    if (!last) {
        shmig_throttle_harvested(&out->throttle, now, dirty, wire_bytes(out));
    }
    return true;
}

static ShmigVerdict decide(ShmigOutgoing *out)
{
    ShmigRoundsInput in = {
        .now_ns = shmig_now_ns(),
        .limit_ns = migrate_downtime_limit() * SCALE_MS,
        .fixed_ns = SWITCHOVER_NS,
        .switchover_rate = migrate_avail_switchover_bandwidth(),
    };
    ShmigVerdict verdict;
    ShmigPending p;

    shmig_source_pending(out->source, &p);
    in.ram_bytes = p.ram_bytes;
    in.disk_bytes = p.disk_bytes;
    in.queued_bytes = p.queued_bytes;
    verdict = shmig_rounds_next(&out->rounds, &in);
    if (verdict.downtime_ns != UINT64_MAX) {
        out->s->expected_downtime = verdict.downtime_ns / SCALE_MS;
    }
    trace_shmig_decide(verdict.action, pending_sum(&p), verdict.allowed_bytes,
                       shmig_rate_get(&out->rounds.rate));
    return verdict;
}

/*
 * The guest is not stopped before the destination has what is on its way:
 * waits a little for that, and looks what the guest has dirtied meanwhile.
 * A guest that dirties just what the limit allows for gets there without.
 */
static bool is_time_to_switch(ShmigOutgoing *out, GError **errp)
{
    GError *gerr = NULL;

    if (decide(out).action != SHMIG_SWITCHOVER_SWITCH) {
        return false;
    }
    if (out->barriers >= MAX_BARRIERS) {
        return true;
    }
    if (!shmig_source_barrier(out->source, WAIT_MS, &gerr)) {
        if (gerr) {
            g_propagate_error(errp, gerr);
        }
        return false;
    }
    out->barriers++;
    return harvest(out, false, errp) &&
           decide(out).action == SHMIG_SWITCHOVER_SWITCH;
}

/* Stock code would stop the guest first, and say no more than "Bad address". */
static bool can_leave_disks(ShmigOutgoing *out, GError **errp)
{
    Error *error = NULL;
    bool ok;

    bql_lock();
    ok = shmig_disks_can_be_left(out->disks, &error);
    bql_unlock();
    if (!ok) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_DISK, "%s",
                    error_get_pretty(error));
        error_free(error);
    }
    return ok;
}

static bool step(ShmigOutgoing *out, GError **errp)
{
    out->may_switch_ns = 0;
    update_bandwidth(out);
    if (!shmig_source_ram_started(out->source)) {
        if (disks_are_nearly_done(out)) {
            return start_ram(out, errp);
        }
        return wait_and_measure(out, errp);
    }
    if (!wait_and_measure(out, errp)) {
        return false;
    }
    if (decide(out).action == SHMIG_SWITCHOVER_HARVEST ||
        shmig_throttle_wants_harvest(&out->throttle, &out->rounds,
                                     shmig_now_ns())) {
        GError *gerr = NULL;

        if (harvest(out, false, &gerr) && is_time_to_switch(out, &gerr) &&
            can_leave_disks(out, &gerr)) {
            out->may_switch_ns = shmig_now_ns();
        }
        if (gerr) {
            g_propagate_error(errp, gerr);
            return false;
        }
    }
    return true;
}

static int save_iterate(QEMUFile *f, void *opaque)
{
    ShmigOutgoing *out = shmig_outgoing;
    GError *gerr = NULL;

    if (!step(out, &gerr)) {
        return fail_gerror(out, gerr);
    }
    qemu_put_be32(f, SHMIG_SECTION_PROGRESS);
    return 0;
}

static void state_pending(void *opaque, uint64_t *must_precopy,
                          uint64_t *can_postcopy)
{
    ShmigOutgoing *out = shmig_outgoing;

    /* QEMU's rate limiting may have slept since. */
    if (!out->may_switch_ns ||
        shmig_now_ns() - out->may_switch_ns > DECISION_NS) {
        *must_precopy += MAX(pending_bytes(out), out->s->threshold_size + 1);
    }
}

static bool finish(ShmigOutgoing *out, Error **errp)
{
    GError *gerr = NULL;
    int64_t before;
    bool ok;

    if (!shmig_ram_blocks_same(out->ram, errp)) {
        return false;
    }
    shmig_source_set_bandwidth(out->source, 0);
    before = shmig_now_ns();
    ok = harvest(out, true, &gerr);
    if (ok) {
        /* Disks may need the main loop, and a user may cancel.  What devices
         * write meanwhile is sent by late.c. */
        bql_unlock();
        ok = shmig_source_finish(out->source, &gerr);
        bql_lock();
    }
    trace_shmig_finish(ok, shmig_now_ns() - before);
    shmig_count_sent(out);
    if (!ok) {
        shmig_propagate(errp, gerr);
    }
    return ok;
}

static int save_complete(QEMUFile *f, void *opaque)
{
    ShmigOutgoing *out = shmig_outgoing;
    Error *error = NULL;

    shmig_set_phase(out, SHMIG_PHASE_SWITCHOVER);
    if (!finish(out, &error)) {
        return shmig_save_fail(out, error);
    }
    qemu_put_be32(f, SHMIG_SECTION_END);
    return 0;
}

static void save_cleanup(void *opaque)
{
    shmig_outgoing_end();
}

static const SaveVMHandlers handlers = {
    .is_active = is_active,
    .save_setup = save_setup,
    .save_live_iterate = save_iterate,
    .save_live_complete_precopy = save_complete,
    .state_pending_estimate = state_pending,
    .state_pending_exact = state_pending,
    .save_cleanup = save_cleanup,
    .load_state = shmig_load_state,
    .load_cleanup = shmig_load_cleanup,
};

void shmig_register_savevm(void)
{
    register_savevm_live("shmig", 0, SHMIG_SECTION_VERSION, &handlers, NULL);
}

uint64_t shmig_ram_bytes_remaining(void)
{
    ShmigOutgoing *out = shmig_outgoing;
    uint64_t bytes = 0;

    if (!out || !out->source) {
        return 0;
    }
    for (unsigned i = 0; i < out->ram->n; i++) {
        bytes += shmig_source_ram_started(out->source)
                     ? shmig_source_region_pending(out->source, i)
                     : out->ram->blocks[i].used_bytes;
    }
    return bytes;
}
