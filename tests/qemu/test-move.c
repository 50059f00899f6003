/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest moves with its disks, in the ways that differ in what runs. */
#include "rows.h"

/* Such that a guest that writes all it can is always in the way. */
#define EAGER "'max-bandwidth': 16000000, 'downtime-limit': 1"
#define WORK_SECONDS 60

static bool all_mirrored(JsonNode *info)
{
    JsonNode *disks = json_at(info, "shmig.disks");
    JsonArray *array = disks ? json_node_get_array(disks) : NULL;

    for (unsigned i = 0; array && i < json_array_get_length(array); i++) {
        if (!json_int_at(json_array_get_element(array, i), "mirrored")) {
            return false;
        }
    }
    return array != NULL;
}

static bool ram_was_resent(JsonNode *info)
{
    return json_int_at(info, "shmig.ram.resent") > 0;
}

/* It is not let go before it has got in the way: writes of each disk were
 * mirrored, among much else that disks can do, and RAM was sent again. */
static bool move_busy(Pair *pair, GError **errp)
{
    Guest *guest = pair->source->guest;

    return guest_set(guest, "dirty=max", errp) &&
           pair_set_parameter(pair->source, EAGER, errp) &&
           guest_forget_work(guest, errp) && pair_migrate(pair, errp) &&
           guest_wait_work(guest, pair->disks, WORK_SECONDS, errp) &&
           pair_wait_query(pair, all_mirrored, errp) &&
           pair_wait_query(pair, ram_was_resent, errp) &&
           guest_set(guest, "dirty=500", errp) && pair_hurry(pair, errp) &&
           pair_set_parameter(pair->source, "'downtime-limit': 20000", errp) &&
           pair_arrive(pair, errp);
}

/* clang-format off */
#define RAW { .format = "raw" }
#define RAW_FULL { .format = "raw", .content = IMAGE_FULL }
#define RAW_DIRECT { .format = "raw", .drive = "cache=none" }
#define QCOW2 { .format = "qcow2" }
#define RAW_TO_QCOW2 { .format = "raw", .dest_format = "qcow2" }
#define QCOW2_TO_RAW { .format = "qcow2", .dest_format = "raw" }

#define ROW(fn_, accel_, vcpus_, channels_, address_, guest_, ...) \
    { \
        .options = { .accel = accel_, .vcpus = vcpus_, \
                     .channels = channels_, .address = PAIR_##address_, \
                     .guest = guest_, .disks = { __VA_ARGS__ } }, \
        .fn = fn_, \
    }

/*
 * Accelerator, CPUs and idle or busy are in all combinations, and each value
 * of these with each kind of address, with one channel and with four.  Images
 * and other numbers of channels are spread over them: all combinations of all
 * would take an hour.
 */
static const Row rows[] = {
    ROW(pair_move, "kvm", 1,  1, UNIX, ROW_IDLE, RAW),
    ROW(move_busy, "kvm", 2,  4, TCP4, ROW_BUSY, RAW, QCOW2),
    ROW(move_busy, "kvm", 1,  1, TCP6, ROW_BUSY, RAW_FULL),
    ROW(move_busy, "kvm", 1,  4, UNIX, ROW_BUSY, QCOW2),
    ROW(pair_move, "kvm", 2,  4, TCP6, ROW_IDLE, RAW, QCOW2, RAW_FULL, QCOW2),
    ROW(move_busy, "kvm", 2,  2, UNIX, ROW_BUSY, RAW_DIRECT),
    ROW(move_busy, "kvm", 1, 16, UNIX, ROW_BUSY, RAW),
    ROW(move_busy, "kvm", 2,  1, TCP4, ROW_BUSY),
    ROW(move_busy, "kvm", 1,  2, UNIX, ROW_BUSY, RAW_TO_QCOW2, QCOW2_TO_RAW),
    ROW(move_busy, "tcg", 1,  1, TCP4, ROW_BUSY, RAW, QCOW2),
    ROW(move_busy, "tcg", 2,  4, UNIX, ROW_BUSY, RAW),
    ROW(pair_move, "tcg", 2,  1, TCP6, ROW_IDLE, QCOW2),
    ROW(pair_move, "tcg", 1,  4, TCP4, ROW_IDLE),
    ROW(move_busy, "tcg", 2,  2, TCP4, ROW_BUSY, RAW_DIRECT, QCOW2_TO_RAW),
    ROW(move_busy, "tcg", 2, 64, UNIX, ROW_BUSY, RAW, QCOW2),
};
/* clang-format on */

static void append_disk(GString *text, const PairDisk *disk)
{
    g_string_append_printf(text, "%s%s%s%s%s%s", text->len ? "+" : "",
                           disk->format, disk->dest_format ? "-to-" : "",
                           disk->dest_format ? disk->dest_format : "",
                           disk->content == IMAGE_FULL ? "-full" : "",
                           disk->drive ? "-direct" : "");
}

/* "kvm/2-vcpus/4-channels/tcp4/raw+qcow2/busy" */
static char *name_of(const PairOptions *row)
{
    static const char *const address[] = { "unix", "tcp4", "tcp6" };
    g_autoptr(GString) disks = g_string_new(NULL);

    for (unsigned i = 0; i < PAIR_MAX_DISKS && row->disks[i].format; i++) {
        append_disk(disks, &row->disks[i]);
    }
    return g_strdup_printf("/qemu/move/%s/%u-vcpus/%u-channels/%s/%s/%s",
                           row->accel, row->vcpus, row->channels,
                           address[row->address],
                           disks->len ? disks->str : "no-disk",
                           g_str_equal(row->guest, ROW_IDLE) ? "idle" : "busy");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = name_of(&rows[i].options);

        row_add(path, &rows[i]);
    }
    return g_test_run();
}
