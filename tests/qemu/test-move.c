/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest moves with its disks, in the ways that differ in what runs. */
#include "rows.h"

#define BUSY "dirty=500 write=100 wsize=mixed wz=20 discard=31 read=10"
#define IDLE "dirty=0 write=0"

#define RAW             \
    {                   \
        .format = "raw" \
    }
#define RAW_FULL                               \
    {                                          \
        .format = "raw", .content = IMAGE_FULL \
    }
#define RAW_DIRECT                             \
    {                                          \
        .format = "raw", .drive = "cache=none" \
    }
#define QCOW2             \
    {                     \
        .format = "qcow2" \
    }

/*
 * Each value of each column meets each value of each other one at least once;
 * all combinations would take an hour.
 */
static const PairOptions rows[] = {
    { .accel = "kvm",
      .vcpus = 1,
      .channels = 1,
      .guest = IDLE,
      .disks = { RAW },
      .address = PAIR_UNIX },
    { .accel = "kvm",
      .vcpus = 2,
      .channels = 4,
      .guest = BUSY,
      .disks = { RAW, QCOW2 },
      .address = PAIR_TCP4 },
    { .accel = "kvm",
      .vcpus = 2,
      .channels = 1,
      .guest = BUSY,
      .disks = { RAW_FULL },
      .address = PAIR_TCP6 },
    { .accel = "kvm",
      .vcpus = 1,
      .channels = 4,
      .guest = BUSY,
      .disks = { QCOW2 },
      .address = PAIR_UNIX },
    { .accel = "kvm",
      .vcpus = 1,
      .channels = 4,
      .guest = IDLE,
      .disks = { RAW, QCOW2, RAW_FULL, QCOW2 },
      .address = PAIR_TCP6 },
    { .accel = "kvm",
      .vcpus = 2,
      .channels = 2,
      .guest = BUSY,
      .disks = { RAW_DIRECT },
      .address = PAIR_UNIX },
    { .accel = "kvm",
      .vcpus = 1,
      .channels = 16,
      .guest = BUSY,
      .disks = { RAW },
      .address = PAIR_UNIX },
    { .accel = "kvm",
      .vcpus = 2,
      .channels = 1,
      .guest = BUSY,
      .address = PAIR_TCP4 },
    { .accel = "tcg",
      .vcpus = 1,
      .channels = 1,
      .guest = BUSY,
      .disks = { RAW, QCOW2 },
      .address = PAIR_TCP4 },
    { .accel = "tcg",
      .vcpus = 2,
      .channels = 4,
      .guest = BUSY,
      .disks = { RAW },
      .address = PAIR_UNIX },
    { .accel = "tcg",
      .vcpus = 2,
      .channels = 1,
      .guest = IDLE,
      .disks = { QCOW2 },
      .address = PAIR_TCP6 },
    { .accel = "tcg",
      .vcpus = 1,
      .channels = 4,
      .guest = IDLE,
      .address = PAIR_UNIX },
};

/* "kvm/2-vcpus/4-channels/tcp4/raw+qcow2/busy" */
static char *name_of(const PairOptions *row)
{
    static const char *const address[] = { "unix", "tcp4", "tcp6" };
    g_autoptr(GString) disks = g_string_new(NULL);

    for (unsigned i = 0; i < PAIR_MAX_DISKS && row->disks[i].format; i++) {
        const PairDisk *disk = &row->disks[i];

        g_string_append_printf(disks, "%s%s%s%s", i ? "+" : "", disk->format,
                               disk->content == IMAGE_FULL ? "-full" : "",
                               disk->drive ? "-direct" : "");
    }
    return g_strdup_printf("/qemu/move/%s/%u-vcpus/%u-channels/%s/%s/%s",
                           row->accel, row->vcpus, row->channels,
                           address[row->address],
                           disks->len ? disks->str : "no-disk",
                           g_str_equal(row->guest, IDLE) ? "idle" : "busy");
}

static bool move(Pair *pair, GError **errp)
{
    return pair_move(pair, errp);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = name_of(&rows[i]);

        row_add(path, &rows[i], move);
    }
    return g_test_run();
}
