/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest moves by every way of asking for it, and with what QEMU's options
 * make of a migration or a machine. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "hugepages.h"
#include "loop.h"
#include "rows.h"

/* A full ring has its vCPU wait, or its pages are known to be lost. */
static bool small_ring(Pair *pair, GError **errp)
{
    g_autoptr(GError) error = NULL;

    if (!pair_migrate(pair, errp)) {
        return false;
    }
    if (!pair_wait_moved(pair, &error)) {
        return row_said(error->message, errp) &&
               pair_source_unharmed(pair, errp);
    }
    return pair_compare_disks(pair, errp) && pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* --- ways to ask --- */

#define STRUCTURED                                                          \
    "'channels': [{'channel-type': 'main', 'addr': {'transport': 'shmig', " \
    "'address': {'type': 'unix', 'path': '%s/other'}%s}}]"

static bool structured(Pair *pair, GError **errp)
{
    return qmp_run(pair->dest->qmp, errp, "migrate-incoming",
                   "{" STRUCTURED "}", pair->dir, "") &&
           qmp_run(pair->source->qmp, errp, "migrate", "{" STRUCTURED "}",
                   pair->dir, ", 'channels': 3, 'disks': ['disk0']") &&
           pair_arrive(pair, errp);
}

static bool hmp(Pair *pair, GError **errp)
{
    g_autofree char *incoming =
        g_strdup_printf("migrate_incoming shmig:unix:%s/other", pair->dir);
    g_autofree char *migrate =
        g_strdup_printf("migrate -d shmig:unix:%s/other,channels=2", pair->dir);
    g_autofree char *said = NULL, *said_too = NULL;

    said = qmp_hmp(pair->dest->qmp, incoming, errp);
    said_too = said ? qmp_hmp(pair->source->qmp, migrate, errp) : NULL;
    if (!said_too) {
        return false;
    }
    if (*said || *said_too) {
        return harness_fail(errp, "HMP said: %s%s", said, said_too);
    }
    return pair_arrive(pair, errp);
}

/* Within one host vsock needs a kernel that carries it back. */
static bool has_vsock_loopback(GError **errp)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK,
        .svm_cid = VMADDR_CID_LOCAL,
        .svm_port = VMADDR_PORT_ANY,
    };
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool can =
        fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    if (!can) {
        row_skip(errp,
                 "no vsock within this host (%s); load module vsock_loopback",
                 g_strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return can;
}

static bool vsock(Pair *pair, GError **errp)
{
    g_autofree char *uri = g_strdup_printf("shmig:vsock:1:%u", getpid());

    if (!has_vsock_loopback(errp) ||
        !qmp_run(pair->dest->qmp, errp, "migrate-incoming", "{'uri': '%s'}",
                 uri)) {
        return false;
    }
    pair->uri = g_steal_pointer(&uri);
    return pair_move(pair, errp);
}

/* --- who runs when --- */

static bool pause_before_switchover(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) event = NULL, status = NULL;

    if (!pair_set_capability(pair, "pause-before-switchover", true, errp) ||
        !pair_migrate(pair, errp)) {
        return false;
    }
    event = qmp_wait_event(pair->source->qmp, "MIGRATION", "status",
                           "pre-switchover", PAIR_MOVE_SECONDS, errp);
    status =
        event ? qmp_call(pair->source->qmp, errp, "query-status", NULL) : NULL;
    if (!status) {
        return false;
    }
    if (!g_str_equal(json_text_at(status, "status"), "finish-migrate")) {
        return harness_fail(errp, "the source is \"%s\" before the switch-over",
                            json_text_at(status, "status"));
    }
    return qmp_run(pair->source->qmp, errp, "migrate-continue",
                   "{'state': 'pre-switchover'}") &&
           pair_arrive(pair, errp);
}

/* Whether another process may open the image for writing. */
static bool is_locked(const Image *image, bool wanted, const char *when,
                      GError **errp)
{
    g_autoptr(GError) error = NULL;
    bool opened =
        image_run_program(&error, machine_qemu_io(), "-f", image->format, "-c",
                          "length", image->path, NULL);

    if (error && !strstr(error->message, "lock")) {
        g_propagate_error(errp, g_steal_pointer(&error));
        return false;
    }
    if (opened == wanted) {
        return harness_fail(errp, "%s is %slocked %s", image->path,
                            wanted ? "not " : "", when);
    }
    return true;
}

/* The second disk stays where it is, for both to use in turn: who has arrived
 * and was not started leaves it to others.  Images that were copied are the
 * destination's own, and it has had them open all the time. */
static bool late_block_activate(Pair *pair, GError **errp)
{
    const Image *shared = pair->source_disks[1];

    return pair_set_capability(pair, "late-block-activate", true, errp) &&
           is_locked(shared, true, "by the source", errp) &&
           pair_migrate(pair, errp) && pair_wait_moved(pair, errp) &&
           is_locked(shared, false, "before the guest runs", errp) &&
           pair_compare_disks(pair, errp) && pair_resume(pair, errp) &&
           is_locked(shared, true, "while the guest runs", errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* The sequence that management software waits for. */
static bool events(Pair *pair, GError **errp)
{
    const char *source, *dest;

    if (!pair_migrate(pair, errp) || !pair_wait_moved(pair, errp)) {
        return false;
    }
    source = qmp_migration_states(pair->source->qmp);
    dest = qmp_migration_states(pair->dest->qmp);
    if (!g_str_equal(source, "setup active device completed") ||
        !g_str_equal(dest, "active completed")) {
        return harness_fail(errp, "events of the source: %s; destination: %s",
                            source, dest);
    }
    if (!qmp_has_event(pair->source->qmp, "STOP", NULL, NULL) ||
        !qmp_has_event(pair->source->qmp, "MIGRATION_PASS", NULL, NULL)) {
        return harness_fail(errp, "STOP or MIGRATION_PASS is missing");
    }
    return pair_resume(pair, errp) && pair_quit(pair, errp);
}

/* --- by which path --- */

/* "disk0 via file, ...", as the source has them. */
static char *source_paths(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) info = pair_query(pair, errp);
    JsonNode *disks = info ? json_at(info, "shmig.disks") : NULL;
    JsonArray *array = disks ? json_node_get_array(disks) : NULL;
    GString *text;

    if (!info) {
        return NULL;
    }
    text = g_string_new(NULL);
    for (unsigned i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *disk = json_array_get_element(array, i);

        g_string_append_printf(text, "%s via %s, ", json_text_at(disk, "id"),
                               json_text_at(disk, "path"));
    }
    return g_string_free(text, FALSE);
}

/* How each disk is read is what the row expects, how it is written its
 * data. */
static bool by_paths(Pair *pair, GError **errp)
{
    g_autofree char *said =
        qmp_hmp(pair->dest->qmp, "trace-event shmig_disk_open on", errp);
    g_autofree char *source = NULL, *dest = NULL;

    if (!said || !pair_migrate(pair, errp) || !pair_wait_moved(pair, errp)) {
        return false;
    }
    source = source_paths(pair, errp);
    dest = machine_stderr(pair->dest);
    return source && row_said(source, errp) &&
           row_said_words(dest, row_now()->data, errp) &&
           pair_arrive(pair, errp);
}

/* --- which memory --- */

/* Bytes in use of RAM block @name, as a machine sees it, or -1. */
static int64_t used_bytes(Machine *machine, const char *name, GError **errp)
{
    g_autofree char *text = qmp_hmp(machine->qmp, "info ramblock", errp);
    const char *at = text ? strstr(text, name) : NULL;
    uint64_t used;

    if (!text) {
        return -1;
    }
    if (!at ||
        sscanf(at + strlen(name), " %*s KiB 0x%*x 0x%" SCNx64, &used) != 1) {
        harness_fail(errp, "the %s has no RAM block %s: %s", machine->name,
                     name, text);
        return -1;
    }
    return used;
}

#define TABLES "/rom@etc/acpi/tables"

/* The destination's block takes the size of the source's, up or down. */
static bool resized(Pair *pair, GError **errp)
{
    int64_t source = used_bytes(pair->source, TABLES, errp);
    int64_t before = source < 0 ? -1 : used_bytes(pair->dest, TABLES, errp);
    int64_t after;

    if (before < 0) {
        return false;
    }
    if (source == before) {
        return harness_fail(errp, "both sides have %" PRId64 " bytes of tables",
                            source);
    }
    if (!pair_migrate(pair, errp) || !pair_wait_moved(pair, errp)) {
        return false;
    }
    after = used_bytes(pair->dest, TABLES, errp);
    if (after != source) {
        return after >= 0 &&
               harness_fail(errp,
                            "the source has %" PRId64
                            " bytes of tables, the destination %" PRId64,
                            source, after);
    }
    return pair_compare_disks(pair, errp) && pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* All that travels then: ROMs and the like. */
#define UNSHARED_BYTES (8 * 1024 * 1024)

/* Memory that both have open stays where it is. */
static bool ignore_shared(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) info = NULL;

    if (!pair_set_capability(pair, "x-ignore-shared", true, errp) ||
        !pair_migrate(pair, errp) || !pair_wait_moved(pair, errp)) {
        return false;
    }
    info = pair_query(pair, errp);
    if (!info) {
        return false;
    }
    if (json_int_at(info, "shmig.ram.sent") +
            json_int_at(info, "shmig.ram.zero") >
        UNSHARED_BYTES) {
        return harness_fail(errp, "%" PRId64 " bytes of RAM were sent",
                            json_int_at(info, "shmig.ram.sent"));
    }
    return pair_compare_disks(pair, errp) && pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* --- how fast, and when to stop --- */

#define LIMIT 4000000
/* What the channels may have taken at once before they wait. */
#define BURST 4000000

static bool is_past_burst(JsonNode *info)
{
    return json_int_at(info, "shmig.wire-bytes") > 3 * BURST;
}

/*
 * The bound is on the bytes, and time is taken after they were counted: a
 * busy host can only make this easier to hold.
 */
static bool bandwidth(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) info = NULL;
    int64_t start_us = loop_now_us(), bytes, allowed;

    if (!pair_set_parameter(pair->source,
                            "'max-bandwidth': " G_STRINGIFY(LIMIT), errp) ||
        !pair_migrate(pair, errp) ||
        !pair_wait_query(pair, is_past_burst, errp)) {
        return false;
    }
    info = pair_query(pair, errp);
    if (!info) {
        return false;
    }
    bytes = json_int_at(info, "shmig.wire-bytes");
    allowed = (loop_now_us() - start_us) * LIMIT / G_USEC_PER_SEC + BURST;
    if (bytes > allowed) {
        return harness_fail(
            errp, "%" PRId64 " bytes were sent where %" PRId64 " are allowed",
            bytes, allowed);
    }
    return pair_hurry(pair, errp) && pair_arrive(pair, errp);
}

static bool has_gone_round(JsonNode *info)
{
    return json_int_at(info, "ram.dirty-sync-count") >= 4;
}

/* A guest too fast for the link moves once its downtime may be long. */
static bool downtime_limit(Pair *pair, GError **errp)
{
    return pair_set_parameter(pair->source,
                              "'max-bandwidth': 8000000, 'downtime-limit': 1",
                              errp) &&
           pair_migrate(pair, errp) &&
           pair_wait_query(pair, has_gone_round, errp) &&
           pair_set_parameter(pair->source, "'downtime-limit': 20000", errp) &&
           pair_arrive(pair, errp);
}

static bool is_throttled(JsonNode *info)
{
    return json_int_at(info, "cpu-throttle-percentage") > 0;
}

static bool auto_converge(Pair *pair, GError **errp)
{
    return pair_set_capability(pair, "auto-converge", true, errp) &&
           pair_set_parameter(pair->source,
                              "'max-bandwidth': 4000000, 'downtime-limit': 1",
                              errp) &&
           pair_migrate(pair, errp) &&
           pair_wait_query(pair, is_throttled, errp) &&
           pair_set_parameter(pair->source, "'downtime-limit': 20000", errp) &&
           pair_hurry(pair, errp) && pair_arrive(pair, errp);
}

/* clang-format off */
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define SHARED { .format = "raw", .same_file = true, .drive = "cache=none" }
#define SHARED_QCOW2 \
    { .format = "qcow2", .same_file = true, .drive = "cache=none" }
#define DEVICE(model_, options_) \
    { .format = "raw", .model = model_, .device = options_ }
#define DRIVE(format_, drive_) { .format = format_, .drive = drive_ }
#define FROM_TO(source_, dest_) \
    { .format = "raw", .source_storage = STORAGE_##source_, \
      .dest_storage = STORAGE_##dest_ }
#define F(disk_) "disk" disk_ " via file"
#define B(disk_) "disk" disk_ " via block-layer"
#define KVM .accel = "kvm", .vcpus = 2, .guest = ROW_BUSY
#define TCG .accel = "tcg", .vcpus = 2, .guest = ROW_BUSY
#define EAGER .accel = "kvm", .vcpus = 2, .guest = "dirty=max"
#define OPTIONS "/qemu/options/"
#define RAM_FILE \
    "-machine memory-backend=ram0 " \
    "-object memory-backend-file,id=ram0,size=64M,mem-path=/dev/shm,share=on"
#define RAM_SHARED \
    "-machine memory-backend=ram0 " \
    "-object memory-backend-file,id=ram0,size=64M,mem-path={dir}/ram,share=on"
/* More ACPI tables than what QEMU rounds them up to without. */
#define TABLE(name_) "-acpitable sig=" name_ ",data={dir}/table "
#define TABLES_MORE TABLE("OEM1") TABLE("OEM2") TABLE("OEM3")
#define RAM_HUGE \
    "-machine memory-backend=ram0 " \
    "-object memory-backend-memfd,id=ram0,size=64M,hugetlb=on"
#define ROMS "-device VGA -device e1000 -device virtio-net-pci"

static const Row rows[] = {
    { OPTIONS "incoming-defer",
      { TCG, .disks = { RAW }, .defer = true }, pair_move },
    { OPTIONS "structured-channels",
      { TCG, .disks = { RAW }, .no_listen = true }, structured },
    { OPTIONS "hmp",
      { TCG, .disks = { QCOW2 }, .no_listen = true }, hmp },

    { OPTIONS "vsock",
      { TCG, .disks = { RAW, QCOW2 }, .no_listen = true }, vsock },

    { OPTIONS "destination-runs-at-once",
      { KVM, .disks = { RAW, QCOW2 }, .dest_runs = true }, pair_move },
    { OPTIONS "pause-before-switchover",
      { KVM, .disks = { RAW, QCOW2 } }, pause_before_switchover },
    { OPTIONS "late-block-activate",
      { TCG, .disks = { RAW, SHARED_QCOW2 }, .select = "disk0" },
      late_block_activate },
    { OPTIONS "events", { TCG, .disks = { RAW } }, events },

    { OPTIONS "max-bandwidth",
      { TCG, .disks = { { .format = "raw", .content = IMAGE_FULL } } },
      bandwidth },
    { OPTIONS "downtime-limit", { EAGER, .disks = { RAW } }, downtime_limit },
    { OPTIONS "auto-converge", { EAGER, .disks = { RAW } }, auto_converge },

    { OPTIONS "disks-selected",
      { TCG, .disks = { RAW, SHARED, QCOW2 }, .select = "disk0;disk2" },
      pair_move },
    { OPTIONS "disks-none",
      { TCG, .disks = { SHARED }, .select = "none" }, pair_move },

    { OPTIONS "iothread",
      { KVM, .arguments = "-object iothread,id=io0 -object iothread,id=io1",
        .disks = { { .format = "raw", .device = "iothread=io0" },
                   { .format = "qcow2", .device = "iothread=io1" } } },
      pair_move },
    { OPTIONS "many-disks",
      { TCG, .machine = "q35",
        .arguments = "-device virtio-scsi-pci,id=scsi",
        .disks = { RAW, QCOW2,
                   DEVICE("scsi-hd", "bus=scsi.0"),
                   DEVICE("scsi-hd", "bus=scsi.0,lun=5"),
                   DEVICE("scsi-hd", "bus=scsi.0,lun=6"),
                   DEVICE("ide-hd", "bus=ide.0"),
                   DEVICE("ide-hd", "bus=ide.1"),
                   DEVICE("ide-hd", "bus=ide.2") } }, pair_move },
    { OPTIONS "odd-size",
      { TCG, .disks = { RAW, QCOW2 }, .disk_odd_bytes = 1536 }, pair_move },
    { OPTIONS "read-only-disk",
      { TCG, .arguments = "-device virtio-scsi-pci,id=scsi",
        .disks = { RAW, { .format = "raw", .same_file = true,
                          .model = "scsi-hd", .device = "bus=scsi.0",
                          .drive = "readonly=on" } } }, pair_move },
    { OPTIONS "cache-and-aio",
      { TCG, .disks = { DRIVE("raw", "cache=none,aio=io_uring"),
                        DRIVE("qcow2", "cache=none,aio=native"),
                        DRIVE("raw", "cache=unsafe"),
                        DRIVE("raw", "cache=directsync") } },
      by_paths, F("0") "|" B("1") "|" F("2") "|" F("3"),
      F("0") "|" B("1") "|" F("2") "|" F("3") },
    { OPTIONS "protocol-above-the-file",
      { TCG, .disks = { DRIVE("raw", "file.driver=blkdebug,"
                                     "file.image.filename={image}") } },
      by_paths, B("0"), B("0") },

    { OPTIONS "host-device",
      { TCG, .disks = { FROM_TO(DEVICE, DEVICE), FROM_TO(DEVICE, FILE),
                        FROM_TO(FILE, DEVICE) } },
      by_paths, F("0") "|" F("1") "|" F("2"), F("0") "|" F("1") "|" F("2") },
    { OPTIONS "host-device/direct",
      { TCG, .disks = { { .format = "raw", .drive = "cache=none",
                          .source_storage = STORAGE_DEVICE,
                          .dest_storage = STORAGE_DEVICE } } },
      by_paths, F("0"), F("0") },
    { OPTIONS "network-disk",
      { TCG, .disks = { FROM_TO(EXPORT, EXPORT), FROM_TO(EXPORT, FILE),
                        FROM_TO(FILE, EXPORT) } },
      by_paths, B("0") "|" B("1") "|" F("2"), B("0") "|" F("1") "|" B("2") },

    { OPTIONS "file-backed-memory",
      { KVM, .arguments = RAM_FILE, .disks = { RAW } }, pair_move },
    { OPTIONS "file-backed-memory/tcg",
      { TCG, .arguments = RAM_FILE, .disks = { RAW } }, pair_move },
    { OPTIONS "ignore-shared",
      { KVM, .arguments = RAM_SHARED, .disks = { RAW } }, ignore_shared },
    { OPTIONS "ignore-shared/tcg",
      { TCG, .arguments = RAM_SHARED, .disks = { RAW } }, ignore_shared },
    { OPTIONS "resizable-memory/grows",
      { TCG, .source_arguments = TABLES_MORE, .disks = { RAW } }, resized },
    { OPTIONS "resizable-memory/shrinks",
      { TCG, .dest_arguments = TABLES_MORE, .disks = { RAW } }, resized },
    { OPTIONS "memory-above-4-gib",
      { KVM, .memory_mib = 5120, .disks = { RAW } }, pair_move },
    { OPTIONS "virtio-mem",
      { KVM, .memory_more = "maxmem=1G",
        .arguments = "-object memory-backend-ram,id=vm0,size=256M "
                     "-device virtio-mem-pci,id=vm,memdev=vm0",
        .disks = { RAW } }, pair_move },
    { OPTIONS "balloon",
      { TCG, .arguments = "-object iothread,id=io0 -device "
                          "virtio-balloon-pci,free-page-hint=on,iothread=io0",
        .disks = { RAW } }, pair_move },
    { OPTIONS "vga-and-roms",
      { KVM, .arguments = ROMS, .disks = { RAW } }, pair_move },
    { OPTIONS "vga-and-roms/tcg",
      { TCG, .arguments = ROMS, .disks = { RAW } }, pair_move },
    { OPTIONS "kvm-dirty-ring",
      { .accel = ROW_KVM_RING, .vcpus = 2, .guest = ROW_BUSY,
        .disks = { RAW } }, pair_move },
    { OPTIONS "kvm-dirty-ring/small",
      { .accel = "kvm,dirty-ring-size=1024", .vcpus = 2, .guest = "dirty=200",
        .disks = { RAW } }, small_ring, "dirty ring was overrun" },
};

static const Row huge_rows[] = {
    { OPTIONS "hugepages",
      { KVM, .arguments = RAM_HUGE, .disks = { RAW } }, pair_move },
    { OPTIONS "hugepages/tcg",
      { TCG, .arguments = RAM_HUGE, .disks = { RAW } }, pair_move },
};
/* clang-format on */

/* Of a pair: 64 MiB on each side. */
#define HUGE_MIB 128

static char *no_hugepages;

static void skip_hugepages(void)
{
    g_test_skip(no_hugepages);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int result;

    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    if (hugepages_reserve(HUGE_MIB, &error)) {
        rows_add(huge_rows, G_N_ELEMENTS(huge_rows));
    } else {
        no_hugepages = error->message;
        g_test_add_func("/qemu/options/hugepages", skip_hugepages);
    }
    result = g_test_run();
    hugepages_release();
    return result;
}
