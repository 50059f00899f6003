/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest moves with its disks, in the ways that differ in what runs. */
#include "rows.h"

/* clang-format off */
#define RAW { .format = "raw" }
#define RAW_FULL { .format = "raw", .content = IMAGE_FULL }
#define RAW_DIRECT { .format = "raw", .drive = "cache=none" }
#define QCOW2 { .format = "qcow2" }
#define RAW_TO_QCOW2 { .format = "raw", .dest_format = "qcow2" }
#define QCOW2_TO_RAW { .format = "qcow2", .dest_format = "raw" }

#define ROW(accel_, vcpus_, channels_, address_, guest_, ...) \
    { \
        .options = { .accel = accel_, .vcpus = vcpus_, \
                     .channels = channels_, .address = PAIR_##address_, \
                     .guest = guest_, .disks = { __VA_ARGS__ } }, \
        .fn = pair_move, \
    }

/*
 * Each value of each column meets each value of each other one at least once;
 * all combinations would take an hour.
 */
static const Row rows[] = {
    ROW("kvm", 1,  1, UNIX, ROW_IDLE, RAW),
    ROW("kvm", 2,  4, TCP4, ROW_BUSY, RAW, QCOW2),
    ROW("kvm", 2,  1, TCP6, ROW_BUSY, RAW_FULL),
    ROW("kvm", 1,  4, UNIX, ROW_BUSY, QCOW2),
    ROW("kvm", 1,  4, TCP6, ROW_IDLE, RAW, QCOW2, RAW_FULL, QCOW2),
    ROW("kvm", 2,  2, UNIX, ROW_BUSY, RAW_DIRECT),
    ROW("kvm", 1, 16, UNIX, ROW_BUSY, RAW),
    ROW("kvm", 2,  1, TCP4, ROW_BUSY),
    ROW("kvm", 1,  2, UNIX, ROW_BUSY, RAW_TO_QCOW2, QCOW2_TO_RAW),
    ROW("tcg", 1,  1, TCP4, ROW_BUSY, RAW, QCOW2),
    ROW("tcg", 2,  4, UNIX, ROW_BUSY, RAW),
    ROW("tcg", 2,  1, TCP6, ROW_IDLE, QCOW2),
    ROW("tcg", 1,  4, UNIX, ROW_IDLE),
    ROW("tcg", 2,  2, TCP4, ROW_BUSY, RAW_DIRECT, QCOW2_TO_RAW),
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
