/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What query-migrate and info migrate tell, while a guest moves and after. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "loop.h"
#include "rows.h"

#define MIB (1024 * 1024)
#define DISK_BYTES (40 * MIB)
#define CHANNELS 3

/* The info of disk @id, or NULL. */
static JsonNode *disk_info(JsonNode *info, const char *id)
{
    JsonNode *disks = json_at(info, "shmig.disks");
    JsonArray *array = disks ? json_node_get_array(disks) : NULL;

    for (unsigned i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *disk = json_array_get_element(array, i);

        if (g_str_equal(json_text_at(disk, "id"), id)) {
            return disk;
        }
    }
    return NULL;
}

static bool equal(JsonNode *info, const char *path, int64_t wanted,
                  GError **errp)
{
    int64_t value = json_int_at(info, path);

    if (!json_at(info, path) || value != wanted) {
        return harness_fail(errp, "%s is %" PRId64 ", not %" PRId64, path,
                            value, wanted);
    }
    return true;
}

static bool at_least(JsonNode *info, const char *path, int64_t least,
                     GError **errp)
{
    int64_t value = json_int_at(info, path);

    if (value < least) {
        return harness_fail(errp, "%s is %" PRId64 ", less than %" PRId64, path,
                            value, least);
    }
    return true;
}

static bool text_is(JsonNode *info, const char *path, const char *wanted,
                    GError **errp)
{
    if (!g_str_equal(json_text_at(info, path), wanted)) {
        return harness_fail(errp, "%s is \"%s\", not \"%s\"", path,
                            json_text_at(info, path), wanted);
    }
    return true;
}

/* The same rate in QEMU's units: libvirt shows it to users. */
static bool mbps_is_rate(JsonNode *info, GError **errp)
{
    JsonNode *mbps = json_at(info, "disk.mbps");
    double told = mbps ? json_node_get_double(mbps) : -1;
    double wanted = json_int_at(info, "shmig.rate") * 8.0 / 1000000;

    if (fabs(told - wanted) > 0.001) {
        return harness_fail(errp, "disk.mbps is %f, not %f", told, wanted);
    }
    return true;
}

/* What libvirt parses, and what is beside it. */
static bool total_is_right(JsonNode *info, GError **errp)
{
    return equal(info, "disk.total", 2 * DISK_BYTES, errp) &&
           equal(info, "shmig.channels", CHANNELS, errp) &&
           at_least(info, "disk.transferred", 1, errp) &&
           at_least(info, "shmig.wire-bytes", 1, errp) &&
           at_least(info, "ram.total", 64 * MIB, errp);
}

static bool disk_is_right(JsonNode *info, const char *id, const char *path,
                          GError **errp)
{
    JsonNode *disk = disk_info(info, id);

    if (!disk) {
        return harness_fail(errp, "\"%s\" is not among the disks", id);
    }
    return equal(disk, "size", DISK_BYTES, errp) &&
           text_is(disk, "path", path, errp);
}

/* What is left takes longer at that rate; QEMU's default is 300. */
#define MOVE_MS 1000

/* RAM may come along, since it is more than what is left of the disks. */
static bool is_copying_disks(JsonNode *info)
{
    return g_str_equal(json_text_at(info, "shmig.phase"), "ram") &&
           json_int_at(info, "disk.transferred") > PAIR_SLOW_BYTES / 2 &&
           json_int_at(info, "disk.remaining") > 0 &&
           json_int_at(info, "shmig.eta") > 0 &&
           json_int_at(info, "shmig.rate") > 0 &&
           json_int_at(info, "expected-downtime") > MOVE_MS;
}

#define HMP_WORDS                                                            \
    "Migration status: active|shmig: ram, 3 channels, tracker | MiB/s, | s " \
    "to go"                                                                  \
    "|shmig RAM: 64 MiB to go, 0 sent, 0 zero, "                             \
    "|shmig disk disk0 (file, 40 MiB, writes held back | ms): | MiB to go, " \
    "|shmig disk disk1 (block-layer, 40 MiB, writes held back "

static bool while_active(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) info = NULL;
    g_autofree char *text = NULL;

    if (!pair_wait_query(pair, is_copying_disks, errp)) {
        return false;
    }
    info = pair_query(pair, errp);
    text = info ? qmp_hmp(pair->source->qmp, "info migrate", errp) : NULL;
    if (!text) {
        return false;
    }
    return row_said_words(text, HMP_WORDS, errp) &&
           at_least(info, "shmig.eta", 1, errp) &&
           at_least(info, "shmig.rate", 1, errp) &&
           at_least(info, "expected-downtime", MOVE_MS, errp) &&
           mbps_is_rate(info, errp) &&
           text_is(info, "status", "active", errp) &&
           total_is_right(info, errp) &&
           at_least(info, "disk.remaining", 1, errp) &&
           at_least(info, "shmig.ram.remaining", 64 * MIB, errp) &&
           disk_is_right(info, "disk0", "file", errp) &&
           disk_is_right(info, "disk1", "block-layer", errp);
}

/* All bytes are accounted for: data, zeroes, or mirrored in time. */
static bool disk_is_complete(JsonNode *info, const char *id, GError **errp)
{
    JsonNode *disk = disk_info(info, id);
    int64_t bytes = json_int_at(disk, "sent") + json_int_at(disk, "zero") +
                    json_int_at(disk, "mirrored");

    if (bytes < DISK_BYTES) {
        return harness_fail(errp, "%s: only %" PRId64 " bytes are counted", id,
                            bytes);
    }
    return equal(disk, "remaining", 0, errp);
}

static bool afterwards(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) info = pair_query(pair, errp);

    return info && text_is(info, "status", "completed", errp) &&
           total_is_right(info, errp) &&
           text_is(info, "shmig.phase", "ended", errp) &&
           text_is(info, "shmig.tracker", row_now()->expect, errp) &&
           equal(info, "disk.remaining", 0, errp) &&
           equal(info, "shmig.ram.remaining", 0, errp) &&
           at_least(info, "shmig.ram.sent", 8 * MIB, errp) &&
           at_least(info, "shmig.ram.zero", 8 * MIB, errp) &&
           at_least(info, "total-time", 1, errp) &&
           at_least(info, "shmig.wire-bytes",
                    json_int_at(disk_info(info, "disk0"), "sent") +
                        json_int_at(disk_info(info, "disk1"), "sent") +
                        json_int_at(info, "shmig.ram.sent"),
                    errp) &&
           disk_is_complete(info, "disk0", errp) &&
           disk_is_complete(info, "disk1", errp);
}

static bool informed(Pair *pair, GError **errp)
{
    return pair_migrate(pair, errp) && while_active(pair, errp) &&
           pair_hurry(pair, errp) && pair_wait_moved(pair, errp) &&
           afterwards(pair, errp) && pair_quit(pair, errp);
}

/* The schema says whether this QEMU can do it at all. */
static bool schema(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) all =
        qmp_call(pair->source->qmp, errp, "query-qmp-schema", NULL);
    g_autofree char *text = all ? json_to_string(all, FALSE) : NULL;

    if (!text) {
        return false;
    }
    if (!strstr(text, "\"case\":\"shmig\"")) {
        return harness_fail(errp, "the schema does not have shmig");
    }
    return machine_quit(pair->source, errp);
}

/* clang-format off */
#define DISKS { { .format = "raw" }, { .format = "qcow2" } }
#define OPTIONS \
    .vcpus = 2, .disks = DISKS, .channels = CHANNELS, .slow = true
/* Of a slow link, the guest leaves most to the copy that is looked at. */
#define BUSY OPTIONS, \
    .guest = "dirty=500 write=20 wsize=4096 wz=20 discard=31"
/* Such that no ring is run over while it takes its time: see ROW_KVM_RING. */
#define QUIET OPTIONS, .guest = "dirty=10 write=5"

static const Row rows[] = {
    { "/qemu/info/kvm", { .accel = "kvm", BUSY }, informed, "kvm-bitmap" },
    { "/qemu/info/kvm-ring", { .accel = ROW_KVM_RING, QUIET }, informed,
      "kvm-ring" },
    { "/qemu/info/tcg", { .accel = "tcg", BUSY }, informed, "generic" },
    { "/qemu/info/schema", { .accel = "tcg", .no_dest = true }, schema },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    return g_test_run();
}
