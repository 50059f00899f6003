/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What cannot work is refused with a sentence that names it, and nothing has
 * happened: the guest goes on, its disks are as it left them, both QEMUs can
 * be used. */
#include <string.h>

#include "loop.h"
#include "rows.h"

/* The destination takes nothing, and still waits for somebody. */
static bool dest_still_waits(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) status =
        qmp_call(pair->dest->qmp, errp, "query-status", NULL);

    if (!status) {
        return false;
    }
    if (!g_str_equal(json_text_at(status, "status"), "inmigrate")) {
        return harness_fail(errp, "the destination is \"%s\"",
                            json_text_at(status, "status"));
    }
    return true;
}

/* The destination refuses the offer. */
static bool by_dest(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL;

    if (!pair_migrate(pair, errp)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    return sentence && row_said(sentence, errp) &&
           dest_still_waits(pair, errp) && pair_source_unharmed(pair, errp) &&
           pair_quit(pair, errp);
}

/* A refusal leaves the destination as it was: the same one takes the guest
 * without the disk that it objected to. */
static bool by_dest_for_once(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL, *uri = pair->uri;

    if (!pair_migrate(pair, errp)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    if (!sentence || !row_said(sentence, errp) ||
        !pair_source_unharmed(pair, errp)) {
        return false;
    }
    qmp_forget_events(pair->source->qmp);
    pair->options.select = row_now()->data;
    pair->uri = g_strdup_printf("%s,disks=%s", uri, pair->options.select);
    return pair_move(pair, errp);
}

/* QEMU's answer to a command that has to fail; takes @result and @error. */
static bool command_said(JsonNode *result, GError *error, GError **errp)
{
    bool said;

    if (result) {
        json_node_unref(result);
        return harness_fail(errp, "it was not refused");
    }
    said = row_said(error->message, errp);
    g_error_free(error);
    return said;
}

/* The command migrate itself fails; that it could be repeated says that it
 * left nothing behind. */
static bool migrate_refused(Pair *pair, const char *uri, GError **errp)
{
    for (unsigned i = 0; i < 2; i++) {
        GError *error = NULL;
        JsonNode *result = qmp_call(pair->source->qmp, &error, "migrate",
                                    "{'uri': '%s'}", uri);

        if (!command_said(result, error, errp)) {
            return false;
        }
    }
    return pair_source_unharmed(pair, errp) && pair_quit(pair, errp);
}

static bool at_once(Pair *pair, GError **errp)
{
    const char *uri = row_now()->data;

    return migrate_refused(pair, uri ? uri : pair->uri, errp);
}

/* What only looks like something to be refused.  Images are not compared: the
 * source's is not the same without what is below it. */
static bool not_at_all(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) && pair_wait_moved(pair, errp) &&
           pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* The same for migrate-incoming; another address works afterwards. */
static bool incoming_at_once(Pair *pair, GError **errp)
{
    GError *error = NULL;
    JsonNode *result = qmp_call(pair->dest->qmp, &error, "migrate-incoming",
                                "{'uri': '%s'}", (const char *)row_now()->data);
    g_autofree char *path = g_strdup_printf("%s/move", pair->dir);

    if (!command_said(result, error, errp) ||
        !qmp_run(pair->dest->qmp, errp, "migrate-incoming",
                 "{'uri': 'shmig:unix:%s'}", path)) {
        return false;
    }
    g_free(pair->uri);
    pair->uri = g_strdup_printf("shmig:unix:%s", path);
    return pair_move(pair, errp);
}

/* Nobody is there. */
static bool no_peer(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL;

    if (!qmp_run(pair->source->qmp, errp, "migrate", "{'uri': '%s'}",
                 (const char *)row_now()->data)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    return sentence && row_said(sentence, errp) &&
           pair_source_unharmed(pair, errp) && pair_quit(pair, errp);
}

/* A number that only the structured form can give. */
static bool structured_at_once(Pair *pair, GError **errp)
{
    GError *error = NULL;
    JsonNode *result =
        qmp_call(pair->source->qmp, &error, "migrate",
                 "{'channels': [{'channel-type': 'main', 'addr': "
                 "{'transport': 'shmig', 'channels': %s, 'address': "
                 "{'type': 'unix', 'path': '/nonexistent/socket'}}}]}",
                 (const char *)row_now()->data);

    return command_said(result, error, errp) &&
           pair_source_unharmed(pair, errp) && pair_quit(pair, errp);
}

/* --- images that somebody else uses --- */

/* A job's disk does not travel before the job has ended. */
static bool job_running(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) event = NULL;
    GError *error = NULL;
    JsonNode *result;

    if (!qmp_run(pair->source->qmp, errp, "drive-mirror",
                 "{'device': 'drive0', 'job-id': 'job0', 'sync': 'full', "
                 "'format': 'raw', 'target': '%s/copy', 'speed': 65536}",
                 pair->dir)) {
        return false;
    }
    result = qmp_call(pair->source->qmp, &error, "migrate", "{'uri': '%s'}",
                      pair->uri);
    if (!command_said(result, error, errp) ||
        !pair_source_unharmed(pair, errp) ||
        !qmp_run(pair->source->qmp, errp, "block-job-cancel",
                 "{'device': 'job0', 'force': true}")) {
        return false;
    }
    event = qmp_wait_event(pair->source->qmp, "BLOCK_JOB_CANCELLED", NULL, NULL,
                           PAIR_MOVE_SECONDS, errp);
    qmp_forget_events(pair->source->qmp);
    return event && pair_move(pair, errp);
}

/* A machine that has @image, or NULL. */
static Machine *start_other(const Pair *pair, const Image *image, GError **errp)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
    const char *const words[] = { "-machine", "pc", "-accel",
                                  "tcg",      "-S", "-drive" };

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        g_ptr_array_add(args, g_strdup(words[i]));
    }
    g_ptr_array_add(args, g_strdup_printf("if=virtio,format=%s,file=%s",
                                          image->format, image->path));
    return machine_start("other", pair->dir, args, errp);
}

/* Another guest has the destination's image; once it has left, the same
 * destination takes ours. */
static bool image_in_use(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL;
    Machine *other = start_other(pair, pair->dest_disks[0], errp);
    bool refused;

    if (!other) {
        return false;
    }
    refused = pair_migrate(pair, errp) &&
              (sentence = pair_wait_failed(pair, errp)) &&
              row_said(sentence, errp) && dest_still_waits(pair, errp) &&
              pair_source_unharmed(pair, errp) && machine_quit(other, errp);
    machine_free(other);
    qmp_forget_events(pair->source->qmp);
    return refused && pair_move(pair, errp);
}

/* --- capabilities and parameters --- */

typedef struct Refused {
    const char *name;
    const char *needs; /* another capability */
} Refused;

static bool set_capability(Machine *machine, const char *name, bool on,
                           GError **errp)
{
    return qmp_run(machine->qmp, errp, "migrate-set-capabilities",
                   "{'capabilities': [{'capability': '%s', 'state': %s}]}",
                   name, on ? "true" : "false");
}

/* @command with one capability on. */
static bool refuses(Machine *machine, const char *command, const char *uri,
                    const Refused *refused, GError **errp)
{
    g_autoptr(GError) error = NULL;
    bool set = (!refused->needs ||
                set_capability(machine, refused->needs, true, NULL)) &&
               set_capability(machine, refused->name, true, NULL);

    if (!set) {
        return row_skip(errp, "%s cannot be switched on here", refused->name);
    }
    if (qmp_run(machine->qmp, &error, command, "{'uri': '%s'}", uri)) {
        return harness_fail(errp, "%s with %s was not refused", command,
                            refused->name);
    }
    if (!strstr(error->message,
                refused->needs ? refused->needs : refused->name)) {
        return harness_fail(errp, "%s with %s: \"%s\"", command, refused->name,
                            error->message);
    }
    return set_capability(machine, refused->name, false, errp) &&
           (!refused->needs ||
            set_capability(machine, refused->needs, false, errp));
}

static bool by_capability(Pair *pair, GError **errp)
{
    g_autofree char *uri = g_strdup_printf("shmig:unix:%s/move", pair->dir);
    const Refused *refused = row_now()->data;

    return refuses(pair->source, "migrate", uri, refused, errp) &&
           refuses(pair->dest, "migrate-incoming", uri, refused, errp) &&
           pair_quit(pair, errp);
}

/* Switched off again, it is in nobody's way. */
static bool by_capability_for_once(Pair *pair, GError **errp)
{
    g_autofree char *uri = g_strdup_printf("shmig:unix:%s/move", pair->dir);
    const Refused *refused = row_now()->data;

    if (!refuses(pair->source, "migrate", uri, refused, errp) ||
        !refuses(pair->dest, "migrate-incoming", uri, refused, errp) ||
        !qmp_run(pair->dest->qmp, errp, "migrate-incoming", "{'uri': '%s'}",
                 uri)) {
        return false;
    }
    pair->uri = g_steal_pointer(&uri);
    return pair_move(pair, errp);
}

static bool by_parameter(Pair *pair, GError **errp)
{
    return pair_set_parameter(pair->source, row_now()->data, errp) &&
           migrate_refused(pair, pair->uri, errp);
}

/* --- more than one at a time --- */

static bool second_incoming(Pair *pair, GError **errp)
{
    GError *error = NULL;
    JsonNode *result = qmp_call(pair->dest->qmp, &error, "migrate-incoming",
                                "{'uri': 'shmig:unix:%s/another'}", pair->dir);

    return command_said(result, error, errp) && pair_move(pair, errp);
}

static bool is_copying_disks(JsonNode *info)
{
    return json_int_at(info, "shmig.wire-bytes") > PAIR_SLOW_BYTES / 2;
}

/* Another source comes to a destination that has one. */
static bool second_source(Pair *pair, GError **errp)
{
    PairOptions options = pair->options;
    g_autofree char *sentence = NULL;
    Pair *other;
    bool refused;

    options.no_dest = true;
    other = pair_new(&options, errp);
    if (!other) {
        return false;
    }
    refused = pair_migrate(pair, errp) &&
              pair_wait_query(pair, is_copying_disks, errp) &&
              qmp_run(other->source->qmp, errp, "migrate", "{'uri': '%s'}",
                      pair->uri) &&
              (sentence = pair_wait_failed(other, errp)) &&
              row_said(sentence, errp) && pair_source_unharmed(other, errp) &&
              pair_quit(other, errp);
    pair_free(other);
    return refused && pair_hurry(pair, errp) && pair_wait_moved(pair, errp) &&
           pair_compare_disks(pair, errp) && pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* clang-format off */
#define RAW { .format = "raw" }
#define QCOW2 { .format = "qcow2" }
#define ONLY_SOURCE { .format = "raw", .only_source = true }
#define ONLY_DEST { .format = "raw", .only_dest = true }
#define SAME(format_) \
    { .format = format_, .same_file = true, .drive = "cache=none" }
#define SAME_ON(storage_) \
    { .format = "raw", .same_file = true, .drive = "cache=none", \
      .source_storage = STORAGE_##storage_ }
#define KVM .accel = "kvm", .vcpus = 2, .guest = ROW_BUSY
#define TCG .accel = "tcg", .vcpus = 2, .guest = ROW_BUSY
#define REFUSE "/qemu/refuse/"
#define RAM_IN_DIR                    \
    "-machine memory-backend=ram0 " \
    "-object memory-backend-file,id=ram0,size=64M,mem-path={dir}/ram,share=on"
#define NOWHERE "shmig:127.0.0.1:1"
#define CAPABILITY(name_, needs_)                                      \
    { REFUSE "capability/" name_, { TCG_IDLE, .no_listen = true }, \
      by_capability, NULL, &(const Refused) { name_, needs_ } }
#define TCG_IDLE .accel = "tcg", .guest = ROW_IDLE
#define SCSI "-device virtio-scsi-pci,id=scsi "
/* Storage without a file, of a size. */
#define NODE(name_, size_) \
    "-blockdev driver=null-co,read-zeroes=on,node-name=" name_ ",size=" size_ " "
#define SCSI_DISK(id_, node_) \
    "-device scsi-hd,bus=scsi.0,share-rw=on,id=" id_ ",drive=" node_ " "

#define SAME_BY(link_, ...) \
    { .format = "raw", .same_file = PAIR_SAME_##link_, \
      .drive = "cache=none", __VA_ARGS__ }
#define ON_TEMPLATE \
    "backing.driver=raw,backing.file.driver=file," \
    "backing.file.filename={dir}/template"
#define ON_SOURCE1 \
    { .format = "raw", .drive = "cache=none", \
      .dest_drive = "file={dir}/source1.raw,cache=none" }

static const Row rows[] = {
    { REFUSE "disk-missing", { TCG, .disks = { RAW, ONLY_SOURCE } },
      by_dest, "\"disk1\"|no such disk|40 MiB" },
    { REFUSE "disk-missing/kvm", { KVM, .disks = { RAW, ONLY_SOURCE } },
      by_dest, "\"disk1\"|no such disk|40 MiB" },
    { REFUSE "disk-too-small",
      { TCG, .disks = { RAW, { .format = "qcow2", .dest_mib = 39 } } },
      by_dest, "\"disk1\"|39 MiB|40 MiB" },
    { REFUSE "disk-too-large",
      { TCG, .disks = { { .format = "raw", .dest_mib = 41 } } },
      by_dest, "\"disk0\"|41 MiB|40 MiB" },
    { REFUSE "disk-same-file", { TCG, .disks = { SAME("raw") } },
      by_dest, "\"disk0\"|very same file" },
    { REFUSE "disk-same-file/for-once",
      { TCG, .disks = { RAW, SAME("raw"), QCOW2 } },
      by_dest_for_once, "\"disk1\"|very same file", "disk0;disk2" },
    { REFUSE "disk-same-file/qcow2", { TCG, .disks = { SAME("qcow2") } },
      by_dest, "\"disk0\"|very same file" },
    { REFUSE "disk-same-device", { TCG, .disks = { RAW, SAME_ON(DEVICE) } },
      by_dest, "\"disk1\"|very same file or device" },
    { REFUSE "disk-same-export", { TCG, .disks = { RAW, SAME_ON(EXPORT) } },
      by_dest, "\"disk1\"|very same file or device" },
    { REFUSE "disk-read-only",
      { TCG, .arguments = "-device virtio-scsi-pci,id=scsi",
        .disks = { RAW, { .format = "raw", .model = "scsi-hd",
                          .device = "bus=scsi.0",
                          .dest_drive = "readonly=on" } } },
      by_dest, "\"disk1\"|read-only" },
    { REFUSE "disk-too-many", { TCG, .disks = { RAW, ONLY_DEST } },
      by_dest, "\"disk1\"|source has no" },
    { REFUSE "disk-empty",
      { TCG_IDLE, .no_dest = true,
        .arguments = SCSI NODE("n0", "0") SCSI_DISK("none", "n0") },
      at_once, "\"none\"|its image is empty" },
    { REFUSE "disk-empty/destination",
      { TCG_IDLE, .disks = { { .format = "raw", .model = "floppy",
                               .only_source = true } },
        .dest_arguments = "-device floppy,id=disk0" },
      by_dest, "\"disk0\"|drive is empty" },
    { REFUSE "disk-shared",
      { TCG_IDLE, .no_dest = true,
        .arguments = SCSI NODE("n0", "1048576") SCSI_DISK("one", "n0")
                     SCSI_DISK("two", "n0") },
      at_once, "\"one\"|\"two\"|one and the same image" },
    { REFUSE "disk-shared/destination",
      { TCG_IDLE, .arguments = SCSI NODE("n0", "1048576") NODE("n1", "1048576"),
        .source_arguments = SCSI_DISK("one", "n0") SCSI_DISK("two", "n1"),
        .dest_arguments = SCSI_DISK("one", "n0") SCSI_DISK("two", "n0") },
      by_dest, "\"one\"|\"two\"|give each its own" },
    { REFUSE "disk-in-a-job", { TCG, .disks = { RAW } },
      job_running, "\"disk0\"|mirror|wait for it or cancel it" },
    { REFUSE "disk-in-use", { TCG, .disks = { QCOW2 } },
      image_in_use, "\"disk0\"|cannot write its image|lock" },
    { REFUSE "disk-in-use/raw", { TCG, .disks = { RAW } },
      image_in_use, "\"disk0\"|cannot write its image|lock" },
    { REFUSE "several-problems",
      { TCG, .dest_memory_mib = 96,
        .disks = { { .format = "raw", .dest_mib = 8 }, ONLY_SOURCE,
                   ONLY_DEST } },
      by_dest, "\"disk0\"|\"disk1\"|\"disk2\"|pc.ram" },
    { REFUSE "memory-size", { TCG, .disks = { RAW }, .dest_memory_mib = 96 },
      by_dest, "pc.ram|65536 KiB|98304 KiB" },
    { REFUSE "memory-size/smaller",
      { TCG, .disks = { RAW }, .dest_memory_mib = 48 },
      by_dest, "pc.ram|65536 KiB|49152 KiB" },
    { REFUSE "memory-only-source",
      { TCG, .disks = { RAW }, .source_arguments = "-device VGA,id=vga" },
      by_dest, "vga.vram|destination has none" },
    { REFUSE "memory-only-destination",
      { TCG, .disks = { RAW }, .dest_arguments = "-device VGA,id=vga" },
      by_dest, "vga.vram|only the destination has it" },
    { REFUSE "memory-same-file",
      { TCG, .disks = { RAW }, .arguments = RAM_IN_DIR },
      by_dest, "ram0|very same|x-ignore-shared" },
    { REFUSE "machine-type", { TCG, .dest_machine = "q35", .disks = { RAW } },
      by_dest, "machine type|pc-q35|pc-i440fx" },

    { REFUSE "unknown-disk",
      { TCG, .disks = { RAW }, .select = "disk0;disk7" },
      at_once, "\"disk7\"|\"disk0\"" },
    { REFUSE "disks-read-only",
      { TCG, .no_dest = true, .arguments = SCSI, .select = "disk0;disk1",
        .disks = { RAW, { .format = "raw", .model = "scsi-hd",
                          .device = "bus=scsi.0",
                          .drive = "readonly=on" } } },
      at_once, "disk \"disk1\" is not writable|disks are: \"disk0\"",
      NOWHERE ",disks=disk0;disk1" },
    { REFUSE "disks-empty", { TCG, .no_dest = true, .disks = { RAW } },
      at_once, "disks=", NOWHERE ",disks=" },
    { REFUSE "channels-0", { TCG, .no_dest = true, .disks = { RAW } },
      at_once, "channels=0|1 to 64", NOWHERE ",channels=0" },
    { REFUSE "channels-65", { TCG, .no_dest = true, .disks = { RAW } },
      at_once, "channels=65|1 to 64", NOWHERE ",channels=65" },
    { REFUSE "channels-word", { TCG, .no_dest = true, .disks = { RAW } },
      at_once, "channels=many|1 to 64", NOWHERE ",channels=many" },
    { REFUSE "channels-0/structured",
      { TCG, .no_dest = true, .disks = { RAW } },
      structured_at_once, "0 channels|1 to 64", "0" },
    { REFUSE "channels-65/structured",
      { TCG, .no_dest = true, .disks = { RAW } },
      structured_at_once, "65 channels|1 to 64", "65" },
    { REFUSE "unknown-option", { TCG, .no_dest = true, .disks = { RAW } },
      at_once, "\"speed=9\"", NOWHERE ",channels=2,speed=9" },
    { REFUSE "no-address", { TCG, .no_dest = true, .disks = { RAW } },
      at_once, "address is missing", "shmig:" },
    { REFUSE "file-descriptor", { TCG, .no_dest = true, .disks = { RAW } },
      at_once, "type fd", "shmig:fd:3" },
    { REFUSE "tls", { TCG, .no_dest = true, .disks = { RAW } },
      by_parameter, "tls-creds|there is no object|\"none\"", "'tls-creds': 'none'" },
    { REFUSE "mode", { TCG, .no_dest = true, .disks = { RAW } },
      by_parameter, "cpr-reboot", "'mode': 'cpr-reboot'" },
    /* A VFIO device blocks migration as these do, and cannot be had without
     * giving it one of the host's. */
    { REFUSE "unmigratable-device",
      { TCG, .disks = { RAW }, .arguments = "-device nvme,serial=1,id=bad" },
      at_once, "non-migratable device|nvme" },
    { REFUSE "unmigratable-device/blocker",
      { TCG, .disks = { RAW },
        .arguments = "-object memory-backend-ram,id=shared,size=1M -device "
                     "ivshmem-plain,memdev=shared,master=off,id=bad" },
      at_once, "peer mode|ivshmem" },
    { REFUSE "unmigratable-cpu",
      { KVM, .disks = { RAW }, .arguments = "-cpu qemu64,pni=off,invtsc=on" },
      at_once, "non-migratable CPU|invtsc" },
    { REFUSE "capability/xbzrle",
      { TCG, .disks = { RAW }, .no_listen = true }, by_capability_for_once,
      NULL, &(const Refused) { "xbzrle" } },
    CAPABILITY("postcopy-ram", NULL),
    CAPABILITY("postcopy-preempt", "postcopy-ram"),
    CAPABILITY("postcopy-blocktime", NULL),
    CAPABILITY("x-colo", NULL),
    CAPABILITY("multifd", NULL),
    CAPABILITY("zero-copy-send", "multifd"),
    CAPABILITY("mapped-ram", NULL),
    CAPABILITY("background-snapshot", NULL),
    CAPABILITY("release-ram", NULL),
    CAPABILITY("rdma-pin-all", NULL),
    CAPABILITY("dirty-bitmaps", NULL),
    /* QEMU has it with a dirty ring only. */
    { REFUSE "capability/dirty-limit",
      { .accel = ROW_KVM_RING, .disks = { RAW }, .no_listen = true },
      by_capability, NULL, &(const Refused) { "dirty-limit" } },

    { REFUSE "incoming/option-of-the-source",
      { TCG, .disks = { RAW }, .no_listen = true },
      incoming_at_once, "\"channels\"", "shmig:127.0.0.1:0,channels=2" },
    { REFUSE "incoming/disks",
      { TCG, .disks = { RAW }, .no_listen = true },
      incoming_at_once, "\"disks\" is for the source",
      "shmig:127.0.0.1:0,disks=disk0" },
    { REFUSE "incoming/address-of-another-host",
      { TCG, .disks = { RAW }, .no_listen = true },
      incoming_at_once, "Failed to bind", "shmig:192.0.2.1:9" },
    { REFUSE "incoming/second", { TCG, .disks = { RAW } },
      second_incoming, "incoming migration" },
    { REFUSE "incoming/second-source",
      { TCG, .disks = { RAW }, .slow = true },
      second_source, "another migration" },

    { REFUSE "dead-port/tcp", { TCG, .no_dest = true, .disks = { RAW } },
      no_peer, "127.0.0.1|refused", NOWHERE },
    { REFUSE "dead-port/unix", { TCG, .no_dest = true, .disks = { RAW } },
      no_peer, "/nonexistent/socket|No such file",
      "shmig:unix:/nonexistent/socket" },
    { REFUSE "dead-port/vsock",
      { TCG, .no_dest = true, .disks = { RAW } },
      no_peer, "Failed to ", "shmig:vsock:1:9" },

    { REFUSE "disk-same-file/hard-link",
      { TCG, .disks = { RAW, SAME_BY(HARD_LINK) } },
      by_dest, "\"disk1\"|very same file" },
    { REFUSE "disk-same-file/symlink",
      { TCG, .disks = { RAW, SAME_BY(SYMLINK) } },
      by_dest, "\"disk1\"|very same file" },
    { REFUSE "disk-same-file/loop-device",
      { TCG, .disks = { RAW, SAME_BY(HARD_LINK, .dest_storage = STORAGE_DEVICE)
        } },
      by_dest, "\"disk1\"|very same file" },
    { REFUSE "disk-same-file/of-another-disk",
      { TCG, .disks = { ON_SOURCE1, { .format = "raw", .drive = "cache=none" }
        } },
      by_dest, "\"disk0\"|very same file|source's disk \"disk1\"" },
    { REFUSE "disk-kept/left-out",
      { TCG, .select = "disk0",
        .disks = { ON_SOURCE1, { .format = "raw", .only_source = true,
                                 .drive = "cache=none" } } },
      by_dest, "\"disk0\"|very same file|left out" },
    { REFUSE "disk-kept/read-only",
      { TCG, .arguments = SCSI,
        .disks = { ON_SOURCE1, { .format = "raw", .model = "scsi-hd",
                                 .device = "bus=scsi.0", .only_source = true,
                                 .drive = "readonly=on,cache=none" } } },
      by_dest, "\"disk0\"|very same file|read-only" },
    { REFUSE "disk-kept/backing-file",
      { TCG, .arguments = SCSI,
        .disks = { { .format = "raw", .dest_drive = "file={dir}/template" },
                   { .format = "qcow2", .model = "scsi-hd",
                     .device = "bus=scsi.0", .source_drive = ON_TEMPLATE } } },
      by_dest, "\"disk0\"|very same file|backing file" },
    { REFUSE "disk-kept/backing-file-of-both",
      { TCG, .arguments = SCSI,
        .disks = { RAW, { .format = "qcow2", .model = "scsi-hd",
                          .device = "bus=scsi.0", .drive = ON_TEMPLATE } } },
      not_at_all },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    return g_test_run();
}
