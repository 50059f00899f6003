/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU's devices write into the memory of a guest that is stopped for
 * the switch-over arrives with it, and memory that goes meanwhile fails it.
 *
 * The destination is kept from reading while the last bytes go out, so that
 * the switch-over lasts until the test lets it end.  The qtest line writes to
 * memory as a device does, and to ports as a guest does.
 */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <signal.h>
#include <string.h>

#include "loop.h"
#include "rows.h"

/* Memory that the test guest leaves alone. */
#define ADDRESS "0x3000000"
#define BYTES "0x8"
#define VALUE "0x0123456789abcdef"

/* One command on a machine's qtest line; its answer, or NULL. */
static char *qtest(const Pair *pair, const char *side, const char *command,
                   GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/%s.qtest", pair->dir, side);
    g_autofree char *line = g_strconcat(command, "\n", NULL);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) connection = NULL;
    g_autoptr(GDataInputStream) in = NULL;

    g_socket_client_set_timeout(client, 30);
    connection = g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address),
                                         NULL, errp);
    if (!connection ||
        !g_output_stream_write_all(
            g_io_stream_get_output_stream(G_IO_STREAM(connection)), line,
            strlen(line), NULL, NULL, errp)) {
        return NULL;
    }
    in = g_data_input_stream_new(
        g_io_stream_get_input_stream(G_IO_STREAM(connection)));
    return g_data_input_stream_read_line(in, NULL, NULL, errp);
}

static bool qtest_says(const Pair *pair, const char *side, const char *command,
                       const char *expect, GError **errp)
{
    g_autofree char *said = qtest(pair, side, command, errp);

    if (!said) {
        return false;
    }
    if (!g_str_equal(said, expect)) {
        return harness_fail(errp, "%s: \"%s\" gave \"%s\", not \"%s\"", side,
                            command, said, expect);
    }
    return true;
}

static bool in_switchover(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) info = pair_query(pair, errp);

    if (!info) {
        return false;
    }
    if (!g_str_equal(json_text_at(info, "shmig.phase"), "switchover")) {
        return harness_fail(errp, "the source is in phase \"%s\"",
                            json_text_at(info, "shmig.phase"));
    }
    return true;
}

/* While the last bytes cannot go out, a device writes. */
static bool write_meanwhile(Pair *pair, GError **errp)
{
    return qmp_run(pair->source->qmp, errp, "migrate-continue",
                   "{'state': 'pre-switchover'}") &&
           pair_wait_status(pair, "device", errp) &&
           in_switchover(pair, errp) &&
           qtest_says(pair, "source", "write " ADDRESS " " BYTES " " VALUE,
                      "OK", errp) &&
           in_switchover(pair, errp);
}

static bool device_writes(Pair *pair, GError **errp)
{
    bool written;

    if (!pair_set_capability(pair, "pause-before-switchover", true, errp) ||
        !pair_set_parameter(pair->source,
                            "'max-bandwidth': 8000000, 'downtime-limit': 20000",
                            errp) ||
        !pair_migrate(pair, errp) ||
        !pair_wait_status(pair, "pre-switchover", errp)) {
        return false;
    }
    kill(machine_pid(pair->dest), SIGSTOP);
    written = write_meanwhile(pair, errp);
    kill(machine_pid(pair->dest), SIGCONT);
    return written && pair_wait_moved(pair, errp) &&
           qtest_says(pair, "destination", "read " ADDRESS " " BYTES,
                      "OK " VALUE, errp) &&
           pair_resume(pair, errp) &&
           pair_verify(pair->dest, pair->disks, errp) && pair_quit(pair, errp);
}

/* Of ACPI, by which a guest lets go of memory: the DIMM's slot, and a bit. */
#define EJECT_SLOT_0 "outl 0xa00 0x0"
#define EJECT "outb 0xa14 0x8"

static bool is_copying_disks(JsonNode *info)
{
    return json_int_at(info, "shmig.wire-bytes") > PAIR_SLOW_BYTES / 2;
}

/* The guest gives memory away that is being copied. */
static bool unplugged(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL;

    if (!pair_migrate(pair, errp) ||
        !pair_wait_query(pair, is_copying_disks, errp) ||
        !qtest_says(pair, "source", EJECT_SLOT_0, "OK", errp) ||
        !qtest_says(pair, "source", EJECT, "OK", errp) ||
        !pair_hurry(pair, errp)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    return sentence && row_said(sentence, errp) &&
           pair_source_unharmed(pair, errp) && machine_quit(pair->source, errp);
}

/* clang-format off */
#define QTEST(side_) \
    "-qtest unix:{dir}/" side_ ".qtest,server=on,wait=off -qtest-log none"
#define LATE(accel_) \
    { .accel = accel_, .vcpus = 2, .guest = "dirty=max", \
      .disks = { { .format = "raw" } }, \
      .source_arguments = QTEST("source"), \
      .dest_arguments = QTEST("destination") }

static const Row rows[] = {
    { "/qemu/late/device-writes", LATE("kvm"), device_writes },
    { "/qemu/late/device-writes/tcg", LATE("tcg"), device_writes },
    { "/qemu/late/memory-unplugged",
      { .accel = "tcg", .guest = "dirty=500 write=100", .slow = true,
        .memory_more = "slots=2,maxmem=1G",
        .arguments = "-object memory-backend-ram,id=m0,size=64M "
                     "-device pc-dimm,id=dimm0,memdev=m0",
        .source_arguments = QTEST("source"), .disks = { { .format = "raw" } } },
      unplugged, "memory of 64 MiB was unplugged|migrate again" },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    return g_test_run();
}
