/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Storage, connections and peers that fail in the middle.  Whatever it is and
 * whenever: the source's guest goes on with its disks untouched, and moves
 * when it is tried again.
 */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop.h"
#include "relay.h"
#include "rows.h"
#include "shmig/wire/limits.h"

/* --- storage --- */

/* Both sides say what is wrong with which disk. */
static bool storage_fails(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL, *printed = NULL;

    if (!pair_migrate(pair, errp)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    if (!sentence || !row_said(sentence, errp)) {
        return false;
    }
    printed = pair_wait_dest_end(pair, errp);
    return printed && row_said(printed, errp);
}

static bool bad_storage(Pair *pair, GError **errp)
{
    return storage_fails(pair, errp) && pair_source_unharmed(pair, errp);
}

/* The next destination has images that work. */
static bool bad_dest_storage(Pair *pair, GError **errp)
{
    if (!bad_storage(pair, errp)) {
        return false;
    }
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        pair->options.disks[i].dest_drive = NULL;
        pair->options.disks[i].dest_dir = NULL;
        pair->options.disks[i].dest_storage = STORAGE_FILE;
    }
    return pair_move_after_all(pair, errp);
}

static bool bad_source_storage(Pair *pair, GError **errp)
{
    return bad_storage(pair, errp) && machine_quit(pair->source, errp);
}

/* What cannot be read now can be later. */
static bool bad_source_for_once(Pair *pair, GError **errp)
{
    return bad_storage(pair, errp) && pair_move_after_all(pair, errp);
}

/* Bytes of a disk's file that stay, with all that the guest writes. */
#define KEPT_BYTES (8 * 1024 * 1024)

static bool set_length(const Image *image, uint64_t bytes, GError **errp)
{
    if (truncate(image->file, bytes) < 0) {
        return harness_fail(errp, "%s: %s", image->file, g_strerror(errno));
    }
    return true;
}

/* A file that ends before its disk does reads as zeroes from there on, for
 * the guest as for who moves it. */
static bool file_shortened(Pair *pair, GError **errp)
{
    return set_length(pair->source_disks[0], KEPT_BYTES, errp) &&
           pair_move(pair, errp);
}

/* A device fails to read where its storage is gone, and the guest's part of
 * it still is good; then the storage is there again. */
static bool source_shortened(Pair *pair, GError **errp)
{
    Image *image = pair->source_disks[0];

    return set_length(image, KEPT_BYTES, errp) && storage_fails(pair, errp) &&
           pair_verify(pair->source, pair->disks, errp) &&
           set_length(image, image->bytes, errp) &&
           image_remember(image, errp) && pair_source_unharmed(pair, errp) &&
           pair_move_after_all(pair, errp);
}

/* A file system of a few MiB, which nobody outside of this process sees. */
#define SMALL_DIR "/tmp/shmig-test-small"

static bool mount_small(GError **errp)
{
    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        (mkdir(SMALL_DIR, 0700) < 0 && errno != EEXIST) ||
        mount("tmpfs", SMALL_DIR, "tmpfs", 0, "size=8m") < 0) {
        return harness_fail(errp,
                            "no file system of its own can be mounted: %s",
                            g_strerror(errno));
    }
    return true;
}

/* --- processes --- */

static bool is_copying_disks(JsonNode *info)
{
    return json_int_at(info, "shmig.wire-bytes") > PAIR_SLOW_BYTES / 2;
}

static bool dest_killed(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL;

    if (!pair_migrate(pair, errp) ||
        !pair_wait_query(pair, is_copying_disks, errp)) {
        return false;
    }
    kill(machine_pid(pair->dest), SIGKILL);
    sentence = pair_wait_failed(pair, errp);
    return sentence && row_said(sentence, errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

/* The destination says so and never runs the guest, of which it has half. */
static bool source_killed(Pair *pair, GError **errp)
{
    g_autofree char *printed = NULL;

    if (!pair_migrate(pair, errp) ||
        !pair_wait_query(pair, is_copying_disks, errp)) {
        return false;
    }
    kill(machine_pid(pair->source), SIGKILL);
    printed = pair_wait_dest_end(pair, errp);
    if (!printed || !row_said(printed, errp)) {
        return false;
    }
    if (guest_has_run(pair->dest->guest)) {
        return harness_fail(errp, "the destination ran half a guest");
    }
    return true;
}

/* It hangs, and does not even close its connections. */
static bool dest_stopped(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL;
    bool failed;

    if (!pair_migrate(pair, errp) ||
        !pair_wait_query(pair, is_copying_disks, errp)) {
        return false;
    }
    kill(machine_pid(pair->dest), SIGSTOP);
    failed = guest_wait_beats(pair->source->guest, 100, 30, errp) &&
             qmp_run(pair->source->qmp, errp, "migrate_cancel", NULL) &&
             pair_wait_status(pair, "cancelled", errp);
    kill(machine_pid(pair->dest), SIGCONT);
    return failed && pair_source_unharmed(pair, errp) &&
           pair_move_after_all(pair, errp);
}

/* --- peers that are no shmig --- */

/* Takes the hello of whoever connects, says what the row says, and closes. */
static gboolean answer(GSocketService *service, GSocketConnection *connection,
                       GObject *source_object, void *opaque)
{
    const char *text = opaque;
    char hello[SHMIG_HELLO_BYTES];

    g_input_stream_read_all(
        g_io_stream_get_input_stream(G_IO_STREAM(connection)), hello,
        sizeof(hello), NULL, NULL, NULL);
    g_output_stream_write_all(
        g_io_stream_get_output_stream(G_IO_STREAM(connection)), text,
        strlen(text), NULL, NULL, NULL);
    return TRUE;
}

static bool strange_dest(Pair *pair, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/strange", pair->dir);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketService) service = g_socket_service_new();
    g_autofree char *sentence = NULL;

    if (!g_socket_listener_add_address(
            G_SOCKET_LISTENER(service), address, G_SOCKET_TYPE_STREAM,
            G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, errp)) {
        return false;
    }
    g_signal_connect(service, "incoming", G_CALLBACK(answer),
                     (void *)row_now()->data);
    if (!qmp_run(pair->source->qmp, errp, "migrate", "{'uri': 'shmig:unix:%s'}",
                 path)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    return sentence && row_said(sentence, errp) &&
           pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
}

/* A source comes after somebody who only had noise to say. */
static bool strange_source(Pair *pair, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/move", pair->dir);

    for (unsigned i = 0; i < 3; i++) {
        g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
        g_autoptr(GSocketClient) client = g_socket_client_new();
        g_autoptr(GSocketConnection) connection = g_socket_client_connect(
            client, G_SOCKET_CONNECTABLE(address), NULL, errp);
        const char *noise = row_now()->data;

        if (!connection) {
            return false;
        }
        g_output_stream_write_all(
            g_io_stream_get_output_stream(G_IO_STREAM(connection)), noise,
            strlen(noise), NULL, NULL, NULL);
    }
    return pair_move(pair, errp);
}

/* --- cables --- */

/* Cut when the guest is about to be stopped. */
static bool cut_before_switchover(Pair *pair, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/relay", pair->dir);
    g_autofree char *to = g_strdup_printf("%s/move", pair->dir);
    g_autofree char *sentence = NULL, *printed = NULL;
    RelayFault none = { .deed = RELAY_NOTHING };
    Relay *relay = relay_new(path, to, &none, errp);
    bool ok;

    if (!relay) {
        return false;
    }
    ok = pair_set_capability(pair, "pause-before-switchover", true, errp) &&
         qmp_run(pair->source->qmp, errp, "migrate",
                 "{'uri': 'shmig:unix:%s,channels=4'}", path) &&
         pair_wait_status(pair, "pre-switchover", errp);
    relay_cut(relay);
    /* QEMU looks at nothing until it is told to go on. */
    ok =
        ok &&
        qmp_run(pair->source->qmp, errp, "migrate-continue",
                "{'state': 'pre-switchover'}") &&
        (sentence = pair_wait_failed(pair, errp)) && row_said(sentence, errp) &&
        (printed = pair_wait_dest_end(pair, errp)) && row_said(printed, errp) &&
        pair_source_unharmed(pair, errp) && pair_move_after_all(pair, errp);
    relay_free(relay);
    return ok;
}

/* clang-format off */
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define TCG .accel = "tcg", .vcpus = 2, .guest = ROW_BUSY
#define FAIL "/qemu/fail/"
/* In data that is copied; the guest does not write there. */
#define IN_RAW "43100"
#define IN_QCOW2 "10000"
#define BAD(event_, errno_, sector_) \
    "file.driver=blkdebug,file.image.filename={image}," \
    "file.inject-error.0.event=" event_ ",file.inject-error.0.errno=" errno_ \
    ",file.inject-error.0.sector=" sector_
#define BAD_DEST(format_, errno_, sector_) \
    { .format = format_, .dest_drive = BAD("write_aio", errno_, sector_) }
#define BAD_ONCE(sector_) \
    BAD("read_aio", "5", sector_) ",file.inject-error.0.once=on"
#define BAD_FLUSH \
    "file.driver=blkdebug,file.image.filename={image}," \
    "file.inject-error.0.event=flush_to_disk,file.inject-error.0.errno=5," \
    "file.inject-error.0.iotype=flush"
/* A device on a file system that is too small for it. */
#define FULL_DEVICE(drive_) \
    { .format = "raw", .dest_dir = SMALL_DIR, .dest_drive = drive_, \
      .dest_storage = STORAGE_DEVICE }
#define IOTHREADS "-object iothread,id=io0 -object iothread,id=io1"
/* The end is noticed in reading or in writing. */
#define LOST "the |channel "
#define NOBODY "no shmig destination answered"
#define BAD_SOURCE(format_, errno_, sector_) \
    { .format = format_, .source_drive = BAD("read_aio", errno_, sector_) }

static const Row rows[] = {
    { FAIL "destination-full/raw",
      { TCG, .disks = { QCOW2, BAD_DEST("raw", "28", IN_RAW) } },
      bad_dest_storage, "\"disk1\"|No space left" },
    { FAIL "destination-full/qcow2",
      { TCG, .disks = { BAD_DEST("qcow2", "28", IN_QCOW2) } },
      bad_dest_storage, "\"disk0\"|No space left" },
    { FAIL "destination-broken",
      { TCG, .disks = { BAD_DEST("raw", "5", IN_RAW) } },
      bad_dest_storage, "\"disk0\"|Input/output error" },
    { FAIL "destination-broken/qcow2",
      { TCG, .disks = { RAW, BAD_DEST("qcow2", "5", IN_QCOW2) } },
      bad_dest_storage, "\"disk1\"|Input/output error" },
    { FAIL "destination-broken/flush",
      { TCG, .disks = { { .format = "raw", .dest_drive = BAD_FLUSH } } },
      bad_dest_storage, "\"disk0\"|flushing the destination|"
                        "Input/output error" },
    { FAIL "destination-broken/iothread",
      { TCG, .arguments = IOTHREADS,
        .disks = { { .format = "raw", .device = "iothread=io0" },
                   { .format = "qcow2", .device = "iothread=io1",
                     .dest_drive = BAD("write_aio", "5", IN_QCOW2) } } },
      bad_dest_storage, "\"disk1\"|Input/output error" },
    { FAIL "source-broken/raw",
      { TCG, .disks = { QCOW2, BAD_SOURCE("raw", "5", IN_RAW) } },
      bad_source_storage, "\"disk1\"|Input/output error" },
    { FAIL "source-broken/qcow2",
      { TCG, .disks = { BAD_SOURCE("qcow2", "5", IN_QCOW2) } },
      bad_source_storage, "\"disk0\"|Input/output error" },

    { FAIL "source-broken/once",
      { TCG, .disks = { QCOW2, { .format = "raw",
                                 .source_drive = BAD_ONCE(IN_RAW) } } },
      bad_source_for_once, "\"disk1\"|Input/output error" },
    { FAIL "source-broken/iothread",
      { TCG, .arguments = IOTHREADS,
        .disks = { { .format = "raw", .device = "iothread=io0",
                     .source_drive = BAD_ONCE(IN_RAW) },
                   { .format = "qcow2", .device = "iothread=io1" } } },
      bad_source_for_once, "\"disk0\"|Input/output error" },
    { FAIL "source-shortened",
      { TCG, .disks = { { .format = "raw" } } }, file_shortened },
    { FAIL "source-shortened/direct",
      { TCG, .disks = { { .format = "raw", .drive = "cache=none" } } },
      file_shortened },
    { FAIL "source-broken/device",
      { TCG, .disks = { { .format = "raw",
                          .source_storage = STORAGE_DEVICE }, QCOW2 } },
      source_shortened, "\"disk0\"|Input/output error" },

    { FAIL "destination-killed", { TCG, .disks = { RAW }, .slow = true },
      dest_killed, LOST },
    { FAIL "destination-killed/tcp",
      { TCG, .disks = { RAW, QCOW2 }, .address = PAIR_TCP4, .slow = true },
      dest_killed, LOST },
    { FAIL "destination-hangs",
      { TCG, .disks = { RAW }, .address = PAIR_TCP4, .slow = true },
      dest_stopped },
    { FAIL "source-killed",
      { TCG, .disks = { RAW }, .slow = true, .dest_runs = true },
      source_killed },
    { FAIL "cut-before-switchover", { TCG, .disks = { RAW, QCOW2 } },
      cut_before_switchover, LOST },

    { FAIL "strange-destination/noise", { TCG, .disks = { RAW } },
      strange_dest, "does not speak shmig",
      "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
      "Connection: close\r\n\r\n400 Bad Request, and some more of it." },
    { FAIL "strange-destination/short", { TCG, .disks = { RAW } },
      strange_dest, NOBODY, "SSH-2.0-OpenSSH_9.2\r\n" },
    { FAIL "strange-destination/nothing", { TCG, .disks = { RAW } },
      strange_dest, NOBODY, "" },
    { FAIL "strange-source/noise", { TCG, .disks = { RAW } },
      strange_source, NULL,
      "GET / HTTP/1.1\r\nHost: somewhere.example\r\nAccept: */*\r\n"
      "User-Agent: somebody who is lost\r\n\r\n" },
    { FAIL "strange-source/short", { TCG, .disks = { RAW } },
      strange_source, NULL, "QEVM" },
};

/* Where one is mounted. */
static const Row small_rows[] = {
    { FAIL "destination-full/file-system",
      { TCG, .disks = { { .format = "raw", .dest_dir = SMALL_DIR } } },
      bad_dest_storage, "\"disk0\"|No space left" },
    { FAIL "destination-full/file-system/qcow2",
      { TCG, .disks = { RAW, { .format = "qcow2", .dest_dir = SMALL_DIR } } },
      bad_dest_storage, "\"disk1\"|No space left" },
    /* A KVM that interprets instructions takes seconds to verify more. */
    { FAIL "destination-full/file-system/kvm",
      { .accel = "kvm", .guest = "mem=2 zero=1 disk=1 dirty=500 write=100",
        .disks = { { .format = "raw", .dest_dir = SMALL_DIR } } },
      bad_dest_storage, "\"disk0\"|No space left" },
    { FAIL "destination-full/device",
      { TCG, .disks = { QCOW2, FULL_DEVICE(NULL) } },
      /* The page cache may know only that it failed, once it is flushed. */
      bad_dest_storage, "\"disk1\"|ing the destination|failed: " },
    { FAIL "destination-full/device/direct",
      { TCG, .disks = { QCOW2, FULL_DEVICE("cache=none") } },
      bad_dest_storage, "\"disk1\"|No space left" },
};
/* clang-format on */

static char *no_small;

static void skip_small(void)
{
    g_test_skip(no_small);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    if (mount_small(&error)) {
        rows_add(small_rows, G_N_ELEMENTS(small_rows));
    } else {
        no_small = error->message;
        g_test_add_func(FAIL "destination-full/file-system", skip_small);
    }
    return g_test_run();
}
