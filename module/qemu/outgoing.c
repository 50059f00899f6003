/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An outgoing migration, from `migrate` to its end.
 *
 *   start      main thread: offer, then connect.c on a thread of its own
 *   connected  main thread: the stream becomes QEMU's, disks get filters,
 *              the session starts; QEMU's migration thread takes over
 *   save.c     migration thread: copies, until the guest is stopped
 *   commit     migration thread: gives the guest away
 *   end        main thread (save_cleanup): takes everything down
 *
 * Who may still run the guest is decided in one place: may_commit(), with
 * the BQL held.  Before it a cancel wins, and COMMIT is not sent; after it a
 * cancel is refused.  If COMMIT was sent and no answer came, the guest stays
 * paused here and its disks inactive, since it may run there; the user's
 * "cont" takes both back.
 */
#include "qemu/osdep.h"

#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/yank.h"
#include "hw/boards.h"
#include "io/channel-socket.h"
#include "migration/misc.h"
#include "qapi/qapi-types-migration.h"
#include "migration/options.h"
#include "migration/yank_functions.h"
#include "system/runstate.h"

#include "shmig/base/clock.h"
#include "shmig/base/thread.h"
#include "glue.h"
#include "late.h"
#include "tls.h"
#include "tracker.h"
#include "trace.h"

ShmigOutgoing *shmig_outgoing;

bool migrate_shmig(void)
{
    return shmig_outgoing || shmig_incoming_connected();
}

void shmig_set_phase(ShmigOutgoing *out, ShmigPhase phase)
{
    trace_shmig_phase(ShmigPhase_str(qatomic_read(&out->phase)),
                      ShmigPhase_str(phase));
    qatomic_set(&out->phase, phase);
}

void shmig_propagate(Error **errp, GError *gerr)
{
    error_setg(errp, "%s", gerr->message);
    g_error_free(gerr);
}

void shmig_main_call(GSourceFunc fn, void *opaque)
{
    g_autoptr(GSource) source = g_idle_source_new();

    /* A stopped guest may be waiting for this. */
    g_source_set_priority(source, G_PRIORITY_HIGH);
    g_source_set_callback(source, fn, opaque, NULL);
    g_source_attach(source, NULL);
}

void shmig_outgoing_fail(ShmigOutgoing *out, const char *reason)
{
    shmig_source_abort(out->source, reason);
    shmig_disks_disarm(out->disks);
}

/*
 * A cancel shuts the stream down, which the session may notice and fail of,
 * before it sets the state that tells it from a failure.
 */
void shmig_let_cancel_through(void)
{
    if (!bql_locked()) {
        bql_lock();
        bql_unlock();
    }
}

static void yank_outgoing(void *opaque)
{
    ShmigOutgoing *out = opaque;

    shmig_source_abort(out->source, "the migration was yanked");
}

/* Neither connecting nor migrating any more, and no session. */
static gboolean free_outgoing(void *opaque)
{
    ShmigOutgoing *out = opaque;

    shmig_ram_blocks_free(out->ram);
    g_free(out);
    return G_SOURCE_REMOVE;
}

static void *end_session(void *opaque)
{
    ShmigOutgoing *out = opaque;

    shmig_source_free(out->source);
    shmig_main_call(free_outgoing, out);
    return NULL;
}

static void free_disks(ShmigOutgoing *out)
{
    shmig_disks_remove(out->disks);
    shmig_disks_free(out->disks);
    out->disks = NULL;
}

static bool make_offer(ShmigOutgoing *out, const ShmigMigrationArgs *args,
                       Error **errp)
{
    g_autofree char *selection = shmig_args_disks(args);
    g_autoptr(ShmigOffer) offer = NULL;
    GError *gerr = NULL;

    out->channels =
        args->has_channels ? args->channels : migrate_multifd_channels();
    out->channels = MIN(out->channels, SHMIG_MAX_CHANNELS);
    offer = shmig_offer_new(MACHINE_GET_CLASS(current_machine)->name,
                            out->channels);
    out->ram = shmig_ram_blocks_offer(offer, errp);
    if (!out->ram ||
        !shmig_disks_collect(offer, selection, &out->disks, errp)) {
        return false;
    }
    for (unsigned i = 0; i < shmig_disks_count(out->disks); i++) {
        out->disk_total_bytes += shmig_disks_size_bytes(out->disks, i);
    }
    out->source = shmig_source_new(g_steal_pointer(&offer), &gerr);
    if (!out->source) {
        shmig_propagate(errp, gerr);
        return false;
    }
    return shmig_tls_use_source(out->source, args->address, errp);
}

/* QEMU's end of the stream, as the file it migrates to. */
static bool open_stream(ShmigOutgoing *out, Error **errp)
{
    int fd = shmig_source_stream(out->source);
    QIOChannelSocket *sioc;
    QEMUFile *f;

    if (fd < 0) {
        error_setg_errno(errp, errno,
                         "no socket pair for the migration stream");
        return false;
    }
    sioc = qio_channel_socket_new_fd(fd, errp);
    if (!sioc) {
        close(fd);
        return false;
    }
    qio_channel_set_name(QIO_CHANNEL(sioc), "migration-shmig-outgoing");
    migration_ioc_register_yank(QIO_CHANNEL(sioc));
    f = qemu_file_new_output(QIO_CHANNEL(sioc));
    object_unref(OBJECT(sioc));
    qemu_mutex_lock(&out->s->qemu_file_lock);
    out->s->to_dst_file = f;
    qemu_mutex_unlock(&out->s->qemu_file_lock);
    return true;
}

static void connected(Error *error)
{
    ShmigOutgoing *out = shmig_outgoing;

    out->connect = NULL;
    trace_shmig_outgoing_connected(error ? error_get_pretty(error) : "");
    if (!error) {
        open_stream(out, &error);
    }
    /* Takes the migration on, or down: then save_cleanup ends ours. */
    migration_connect(out->s, error);
    error_free(error);
}

void shmig_start_outgoing_migration(MigrationState *s, ShmigMigrationArgs *args,
                                    Error **errp)
{
    ShmigOutgoing *out;

    if (!shmig_args_check(args, false, errp)) {
        return;
    }
    out = g_new0(ShmigOutgoing, 1);
    out->s = s;
    if (!make_offer(out, args, errp)) {
        free_disks(out);
        shmig_source_free(out->source);
        free_outgoing(out);
        return;
    }
    trace_shmig_outgoing_start(out->channels, out->ram->n,
                               shmig_disks_count(out->disks));
    shmig_outgoing = out;
    out->phase = SHMIG_PHASE_CONNECT;
    yank_register_function(MIGRATION_YANK_INSTANCE, yank_outgoing, out);
    out->connect = shmig_connect_start(out->source, out->channels,
                                       args->address, connected);
}

/* The last step of set-up before the migration thread exists. */
static int precopy_setup(NotifierWithReturn *notifier, MigrationEvent *e,
                         Error **errp)
{
    ShmigOutgoing *out = shmig_outgoing;
    GError *gerr = NULL;

    if (!out || e->type != MIG_EVENT_PRECOPY_SETUP) {
        return 0;
    }
    for (unsigned i = 0; i < out->ram->n; i++) {
        shmig_source_set_ram(out->source, i, out->ram->blocks[i].host);
    }
    out->tracker = shmig_tracker_new(out->ram, out->source);
    shmig_source_set_tracker(out->source, out->tracker);
    if (!shmig_disks_insert(out->disks, out->source, errp)) {
        return -1;
    }
    out->bandwidth = migrate_max_bandwidth();
    shmig_source_set_bandwidth(out->source, out->bandwidth);
    shmig_rounds_init(&out->rounds, shmig_now_ns(), 0);
    if (!shmig_source_start(out->source, &gerr)) {
        shmig_propagate(errp, gerr);
        return -1;
    }
    shmig_set_phase(out, SHMIG_PHASE_DISKS);
    return 0;
}

static bool may_commit(void *opaque)
{
    ShmigOutgoing *out = opaque;

    bql_lock();
    out->committed =
        out->s->state == MIGRATION_STATUS_DEVICE && !migrate_has_error(out->s);
    bql_unlock();
    trace_shmig_may_commit(out->committed);
    return out->committed;
}

/* What is known of the guest's whereabouts outweighs what came first. */
static void replace_error(MigrationState *s, GError *gerr)
{
    QEMU_LOCK_GUARD(&s->error_mutex);

    error_free(s->error);
    s->error = NULL;
    if (gerr) {
        shmig_propagate(&s->error, gerr);
    }
}

bool shmig_commit(MigrationState *s)
{
    ShmigOutgoing *out = shmig_outgoing;
    GError *gerr = NULL;
    ShmigCommit result;

    if (qemu_file_get_error(s->to_dst_file)) {
        return false;
    }
    shmig_set_phase(out, SHMIG_PHASE_HANDOVER);
    result = shmig_source_commit(out->source, may_commit, out, &gerr);
    trace_shmig_commit(result);
    switch (result) {
    case SHMIG_COMMIT_DONE:
        out->given_away = true;
        return true;
    case SHMIG_COMMIT_NOT_SENT:
        bql_lock(); /* and a cancel that is under way comes first */
        out->committed = false;
        bql_unlock();
        if (s->state != MIGRATION_STATUS_CANCELLING) {
            replace_error(s, gerr);
        } else {
            g_error_free(gerr);
        }
        return false;
    case SHMIG_COMMIT_UNKNOWN:
        replace_error(s, gerr);
        /* What QEMU goes back to now. */
        s->vm_old_state = RUN_STATE_PAUSED;
        return false;
    }
    g_assert_not_reached();
}

bool shmig_guest_may_be_gone(void)
{
    return shmig_outgoing && shmig_outgoing->committed;
}

bool shmig_may_cancel(void)
{
    if (shmig_outgoing && shmig_outgoing->committed) {
        warn_report("the migration cannot be cancelled any more: the guest "
                    "was given to the destination");
        return false;
    }
    return true;
}

/* A guest that was stopped for it could not be stopped for a switch-over. */
bool shmig_may_load_snapshot(Error **errp)
{
    if (shmig_outgoing || shmig_incoming) {
        error_setg(errp, "the guest is being migrated; end or cancel the "
                         "migration before a snapshot is loaded");
        return false;
    }
    return true;
}

/* Nothing but us would end it: QEMU has not got its file yet. */
static void cancel_connect(ShmigOutgoing *out)
{
    shmig_info_keep(out);
    shmig_outgoing = NULL;
    shmig_connect_abandon(out->connect); /* and the session with it */
    yank_unregister_function(MIGRATION_YANK_INSTANCE, yank_outgoing, out);
    yank_unregister_instance(MIGRATION_YANK_INSTANCE);
    g_clear_pointer(&out->s->vmdesc, json_writer_free);
    free_disks(out);
    free_outgoing(out);
}

/*
 * The state is "cancelling" by now, so that the failure of the session is
 * not taken for a failure of the migration.
 */
void shmig_cancel(void)
{
    ShmigOutgoing *out = shmig_outgoing;

    if (!out) {
        return;
    }
    trace_shmig_cancel(ShmigPhase_str(qatomic_read(&out->phase)));
    shmig_outgoing_fail(out, "the migration was cancelled");
    if (out->connect) {
        cancel_connect(out);
    }
}

/* The migration ended, in whatever way: all but the session goes. */
static ShmigOutgoing *end_outgoing(void)
{
    ShmigOutgoing *out = shmig_outgoing;

    if (out->given_away) {
        /* The connections may have been cut since: nobody minds. */
        replace_error(out->s, NULL);
    } else {
        shmig_source_abort(out->source, out->s->error
                                            ? error_get_pretty(out->s->error)
                                            : "the source ended the migration");
    }
    trace_shmig_outgoing_end(out->given_away);
    shmig_set_phase(out, SHMIG_PHASE_ENDED);
    shmig_info_keep(out);
    shmig_outgoing = NULL;
    yank_unregister_function(MIGRATION_YANK_INSTANCE, yank_outgoing, out);
    /* Here, where no other migration can have begun to track. */
    shmig_source_stop_ram(out->source);
    free_disks(out);
    return out;
}

/*
 * Last words and their answer take time, if the peer is gone half a second:
 * a guest that goes on here must not wait for that, unless there is no thread
 * to wait in.
 */
void shmig_outgoing_end(void)
{
    ShmigOutgoing *out;
    GThread *thread;

    if (!shmig_outgoing) {
        return;
    }
    out = end_outgoing();
    thread = shmig_thread_new("mig/shmig/end", end_session, out, NULL);
    if (thread) {
        g_thread_unref(thread);
    } else {
        end_session(out);
    }
}

/* QEMU is about to exit, which takes the guest's disks down. */
void shmig_shutdown(void)
{
    ShmigOutgoing *out = shmig_outgoing;

    shmig_incoming_shutdown();
    if (!out) {
        return;
    }
    shmig_outgoing_fail(out, "the source's QEMU exits");
    if (out->s->migration_thread_running) {
        bql_unlock();
        qemu_thread_join(&out->s->thread);
        bql_lock();
        out->s->migration_thread_running = false;
    }
    shmig_source_free(end_outgoing()->source);
}

Error *shmig_error(const Error *error)
{
    GError *gerr =
        shmig_outgoing ? shmig_source_error(shmig_outgoing->source) : NULL;
    Error *ours = NULL;

    if (gerr) {
        shmig_propagate(&ours, gerr);
        return ours;
    }
    ours = shmig_incoming_error();
    return ours ? ours : error_copy(error);
}

void shmig_mig_init(void)
{
    static NotifierWithReturn notifier;

    shmig_register_savevm();
    shmig_register_late();
    migration_add_notifier(&notifier, precopy_setup);
}
