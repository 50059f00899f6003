/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An incoming migration: the listener, the session's events, the end.
 * load.c is what QEMU's loading coroutine does.
 *
 *   listen → check (an offer came) → connected: QEMU loads the stream
 *   → drained: disks are given back → commit: QEMU may start the guest
 *
 * Whatever fails before COMMIT fails the migration as QEMU's stock ones do:
 * the process ends, or stays in "failed" with exit-on-error off.
 */
#include "qemu/osdep.h"

#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/sockets.h"
#include "qemu/yank.h"
#include "hw/boards.h"
#include "io/channel-socket.h"
#include "migration/misc.h"
#include "migration/yank_functions.h"

#include "shmig/base/thread.h"

#include "incoming.h"
#include "tls.h"
#include "trace.h"

ShmigIncoming *shmig_incoming;

bool shmig_incoming_connected(void)
{
    return shmig_incoming && qatomic_read(&shmig_incoming->connected);
}

Error *shmig_incoming_error(void)
{
    GError *gerr =
        shmig_incoming ? shmig_dest_error(shmig_incoming->dest) : NULL;
    Error *error = NULL;

    if (gerr) {
        shmig_propagate(&error, gerr);
    }
    return error;
}

static void check_machine(const ShmigOffer *offer, GPtrArray *problems)
{
    const char *ours = MACHINE_GET_CLASS(current_machine)->name;

    if (!g_str_equal(ours, offer->machine)) {
        g_ptr_array_add(
            problems,
            g_strdup_printf(
                "machine type: destination is \"%s\", source is \"%s\"; start "
                "the destination with -machine %s",
                ours, offer->machine, offer->machine));
    }
}

/* An offer, on its way to the main loop and back. */
typedef struct CheckCall {
    ShmigIncoming *in;
    const ShmigOffer *offer;
    GPtrArray *problems;
} CheckCall;

static void check_in_main(void *opaque)
{
    CheckCall *call = opaque;
    ShmigIncoming *in = call->in;

    /* What an earlier offer left that was refused. */
    g_clear_pointer(&in->disks, shmig_disks_free);
    g_clear_pointer(&in->ram, shmig_ram_blocks_free);

    check_machine(call->offer, call->problems);
    in->ram = shmig_ram_blocks_check(call->offer, call->problems);
    shmig_disks_check(in->dest, call->offer, &in->disks, call->problems);
    trace_shmig_incoming_check(call->offer->machine, call->offer->ram->len,
                               call->offer->disks->len, call->problems->len);
}

static void on_check(void *opaque, ShmigDest *dest, const ShmigOffer *offer,
                     GPtrArray *problems)
{
    ShmigIncoming *in = opaque;
    CheckCall call = { .in = in, .offer = offer, .problems = problems };

    if (!shmig_asks_ask(&in->asks, check_in_main, &call)) {
        g_ptr_array_add(problems, g_strdup("the destination's QEMU is ending"));
    }
}

/* The failure of a migration that QEMU has not begun to load. */
static void fail_unloaded(ShmigIncoming *in)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    MigrationState *s = migrate_get_current();
    Error *error = shmig_incoming_error();

    migrate_set_state(&mis->state, MIGRATION_STATUS_SETUP,
                      MIGRATION_STATUS_FAILED);
    migrate_set_error(s, error);
    migration_incoming_state_destroy();
    if (mis->exit_on_error) {
        error_report_err(error);
        exit(EXIT_FAILURE);
    }
    error_free(error);
    /* As process_incoming_migration_co() does at its end. */
    object_unref(OBJECT(s));
}

static void wake(ShmigIncoming *in)
{
    Coroutine *co = in->waiting;

    in->waiting = NULL;
    if (co) {
        aio_co_wake(co);
    }
}

bool coroutine_fn shmig_incoming_wait(ShmigIncoming *in, const bool *flag)
{
    while (!*flag && !in->failed) {
        in->waiting = qemu_coroutine_self();
        qemu_coroutine_yield();
    }
    return *flag;
}

static gboolean connected_in_main(void *opaque)
{
    int fd = GPOINTER_TO_INT(opaque);
    ShmigIncoming *in = shmig_incoming;
    QIOChannelSocket *sioc;
    Error *error = NULL;
    QEMUFile *f;

    trace_shmig_incoming_connected(fd);
    sioc = qio_channel_socket_new_fd(fd, &error);
    if (!sioc) {
        close(fd);
        shmig_dest_abort(in->dest, error_get_pretty(error));
        error_free(error);
        return G_SOURCE_REMOVE;
    }
    qio_channel_set_name(QIO_CHANNEL(sioc), "migration-shmig-incoming");
    migration_ioc_register_yank(QIO_CHANNEL(sioc));
    f = qemu_file_new_input(QIO_CHANNEL(sioc));
    object_unref(OBJECT(sioc));
    qatomic_set(&in->connected, true);
    migration_fd_process_incoming(f);
    return G_SOURCE_REMOVE;
}

static void on_connected(void *opaque, int stream_fd)
{
    shmig_main_call(connected_in_main, GINT_TO_POINTER(stream_fd));
}

static gboolean drained_in_main(void *opaque)
{
    ShmigIncoming *in = opaque;

    trace_shmig_incoming_drained();
    shmig_disks_release(in->disks);
    in->drained = true;
    wake(in);
    return G_SOURCE_REMOVE;
}

static void on_drained(void *opaque)
{
    shmig_main_call(drained_in_main, opaque);
}

static gboolean commit_in_main(void *opaque)
{
    ShmigIncoming *in = opaque;

    trace_shmig_incoming_commit();
    in->committed = true;
    wake(in);
    return G_SOURCE_REMOVE;
}

static void on_commit(void *opaque)
{
    shmig_main_call(commit_in_main, opaque);
}

static gboolean failed_in_main(void *opaque)
{
    ShmigIncoming *in = opaque;

    /* Or the migration ended by itself meanwhile. */
    if (shmig_incoming == in && !in->failed) {
        in->failed = true;
        /* What is left to be written matters to nobody. */
        shmig_disks_cancel(in->disks);
        if (in->connected) {
            /* If it does not wait here: the stream's end wakes it. */
            wake(in);
        } else {
            fail_unloaded(in);
        }
    }
    return G_SOURCE_REMOVE;
}

static void on_failed(void *opaque, const GError *error)
{
    trace_shmig_incoming_failed(error->message);
    shmig_main_call(failed_in_main, opaque);
}

static const ShmigDestOps dest_ops = {
    .check = on_check,
    .connected = on_connected,
    .drained = on_drained,
    .commit = on_commit,
    .failed = on_failed,
};

static void accept_client(QIONetListener *listener, QIOChannelSocket *cioc,
                          gpointer opaque)
{
    ShmigIncoming *in = opaque;
    int fd = dup(cioc->fd);

    trace_shmig_incoming_accept(fd);
    if (fd < 0) {
        error_report("a connection was closed: %s", strerror(errno));
        return;
    }
    shmig_dest_accept(in->dest, fd);
}

static void yank_incoming(void *opaque)
{
    ShmigIncoming *in = opaque;

    shmig_dest_abort(in->dest, "the migration was yanked");
}

/* The session is gone, and no coroutine is around: the block graph may be
 * changed. */
static void give_back(ShmigIncoming *in)
{
    shmig_disks_release(in->disks);
    g_clear_pointer(&in->disks, shmig_disks_free);
    g_clear_pointer(&in->ram, shmig_ram_blocks_free);
}

static void free_incoming(ShmigIncoming *in)
{
    give_back(in);
    shmig_asks_destroy(&in->asks);
    g_free(in);
}

/* After all calls that the session made: the main loop keeps their order. */
static gboolean free_in_main(void *opaque)
{
    ShmigIncoming *in = opaque;
    Coroutine *ending = in->ending;

    free_incoming(in);
    if (ending) {
        aio_co_wake(ending);
    }
    return G_SOURCE_REMOVE;
}

static gboolean cancel_in_main(void *opaque)
{
    ShmigIncoming *in = opaque;

    shmig_disks_cancel(in->disks);
    return G_SOURCE_REMOVE;
}

static void *end_session(void *opaque)
{
    ShmigIncoming *in = opaque;

    shmig_dest_free(in->dest);
    shmig_main_call(free_in_main, in);
    return NULL;
}

/* On the main thread, which nothing that is waited for here needs: questions
 * are over, and so are requests to the block layer. */
static void end_here(ShmigIncoming *in)
{
    shmig_disks_cancel(in->disks);
    shmig_dest_free(in->dest);
    give_back(in);
    shmig_main_call(free_in_main, in);
}

/*
 * A coroutine cannot wait for requests: the main loop goes on, as they need
 * it to.  False where there is no thread to wait in.
 */
static bool end_elsewhere(ShmigIncoming *in)
{
    GThread *thread;

    thread = shmig_thread_new("mig/shmig/end", end_session, in, NULL);
    if (!thread) {
        return false;
    }
    g_thread_unref(thread);
    return true;
}

/*
 * transport_cleanup: QEMU is done with the stream, for better or worse.  A
 * guest that runs here does not wait until the source has closed its end;
 * a QEMU that will exit has to, or the source would not learn why.
 */
static void transport_cleanup(void *opaque)
{
    ShmigIncoming *in = opaque;

    trace_shmig_incoming_end(in->running);
    shmig_incoming = NULL;
    yank_unregister_function(MIGRATION_YANK_INSTANCE, yank_incoming, in);
    qio_net_listener_disconnect(in->listener);
    object_unref(OBJECT(in->listener));
    shmig_asks_end(&in->asks);
    if (in->running) {
        if (!end_elsewhere(in)) {
            end_here(in);
        }
    } else if (qemu_in_coroutine()) {
        in->ending = qemu_coroutine_self();
        shmig_main_call(cancel_in_main, in);
        if (end_elsewhere(in)) {
            qemu_coroutine_yield();
        } else {
            in->ending = NULL;
            shmig_dest_free(in->dest);
            shmig_main_call(free_in_main, in);
        }
    } else {
        end_here(in);
    }
}

void shmig_incoming_shutdown(void)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    if (shmig_incoming) {
        /* Its loading fails now, and must not change how QEMU exits. */
        mis->exit_on_error = false;
        shmig_dest_abort(shmig_incoming->dest, "the destination's QEMU exits");
        migration_incoming_transport_cleanup(mis);
    }
}

static bool listen_on(ShmigIncoming *in, SocketAddress *address, Error **errp)
{
    ERRP_GUARD();
    g_autofree char *where = socket_uri(address);

    in->listener = qio_net_listener_new();
    qio_net_listener_set_name(in->listener, "migration-shmig-listener");
    if (qio_net_listener_open_sync(in->listener, address, SHMIG_MAX_CHANNELS,
                                   errp) < 0) {
        error_prepend(errp, "shmig: cannot listen on %s: ", where);
        object_unref(OBJECT(in->listener));
        return false;
    }
    for (size_t i = 0; i < in->listener->nsioc; i++) {
        SocketAddress *local = qio_channel_socket_get_local_address(
            in->listener->sioc[i], &error_abort);

        migrate_add_address(local);
        qapi_free_SocketAddress(local);
    }
    return true;
}

static bool make_dest(ShmigIncoming *in, Error **errp)
{
    GError *gerr = NULL;

    in->dest = shmig_dest_new(&dest_ops, in, &gerr);
    if (!in->dest) {
        shmig_propagate(errp, gerr);
        return false;
    }
    return shmig_tls_use_dest(in->dest, &in->asks, errp);
}

void shmig_start_incoming_migration(ShmigMigrationArgs *args, Error **errp)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    ShmigIncoming *in = g_new0(ShmigIncoming, 1);

    shmig_asks_init(&in->asks);
    if (!shmig_args_check(args, true, errp) || !make_dest(in, errp) ||
        !listen_on(in, args->address, errp)) {
        shmig_dest_free(in->dest);
        shmig_asks_destroy(&in->asks);
        g_free(in);
        /* Another address may be tried. */
        migrate_set_state(&mis->state, MIGRATION_STATUS_SETUP,
                          MIGRATION_STATUS_NONE);
        return;
    }
    shmig_incoming = in;
    mis->transport_data = in;
    mis->transport_cleanup = transport_cleanup;
    yank_register_function(MIGRATION_YANK_INSTANCE, yank_incoming, in);
    qio_net_listener_set_client_func(in->listener, accept_client, in, NULL);
    trace_shmig_incoming_listen();
}
