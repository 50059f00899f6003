/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The test guest's serial line. */
#include <stdio.h>
#include <string.h>

#include "guest.h"
#include "guest-protocol.h"
#include "line.h"
#include "loop.h"

#define COMMAND_SECONDS 20
/* Where each instruction is interpreted, a MiB takes 0.1 s and more. */
#define VERIFY_SECONDS 120
/* The line of the very first may have begun on the other side. */
#define FIRST_BEATS 3

struct Guest {
    char *name;
    LineReader *reader;
    bool ready;
    GuestBeats beats;
    unsigned io_errors;
    char *last_error; /* the last line of that kind */
    GString *reply;   /* lines since the command */
    char done;        /* the command's letter */
};

static void take_beat(Guest *guest, unsigned number, unsigned gap_us)
{
    int64_t now = loop_now_us();

    if (!guest->beats.count++) {
        guest->beats.first = number;
        guest->beats.first_us = now;
    }
    if (guest->beats.count <= FIRST_BEATS) {
        guest->beats.first_gap_us = MAX(guest->beats.first_gap_us, gap_us);
    }
    guest->beats.last = number;
    guest->beats.last_us = now;
}

static void take_line(void *opaque, const char *line)
{
    Guest *guest = opaque;
    unsigned number, clock_ms, gap_us;

    if (!line) {
        return;
    }
    if (sscanf(line, GUEST_SCAN_TICK, &number, &clock_ms, &gap_us) == 3) {
        take_beat(guest, number, gap_us);
    } else if (g_str_has_prefix(line, GUEST_LINE_READY)) {
        guest->ready = true;
    } else if (sscanf(line, GUEST_SCAN_DONE, &guest->done) != 1) {
        if (g_str_has_prefix(line, GUEST_LINE_IOERR)) {
            guest->io_errors++;
        }
        if (g_str_has_prefix(line, GUEST_LINE_IOERR) ||
            g_str_has_prefix(line, GUEST_LINE_ERROR)) {
            g_free(guest->last_error);
            guest->last_error = g_strdup(line);
        }
        g_string_append_printf(guest->reply, "%s\n", line);
    }
}

Guest *guest_new(int fd, const char *name)
{
    Guest *guest = g_new0(Guest, 1);

    guest->name = g_strdup(name);
    guest->reply = g_string_new(NULL);
    guest->reader = line_reader_new(fd, take_line, guest);
    return guest;
}

void guest_free(Guest *guest)
{
    if (guest) {
        line_reader_free(guest->reader);
        g_string_free(guest->reply, TRUE);
        g_free(guest->last_error);
        g_free(guest->name);
        g_free(guest);
    }
}

static bool is_ready(void *opaque)
{
    Guest *guest = opaque;

    return guest->ready || guest->last_error ||
           line_reader_closed(guest->reader);
}

bool guest_wait_ready(Guest *guest, double seconds, GError **errp)
{
    loop_wait(is_ready, guest, seconds);
    if (!guest->ready) {
        return harness_fail(
            errp, "the guest on the %s is not ready: %s", guest->name,
            guest->last_error ? guest->last_error : guest->reply->str);
    }
    return true;
}

void guest_reboots(Guest *guest)
{
    guest->ready = false;
    g_clear_pointer(&guest->last_error, g_free);
}

static bool is_done(void *opaque)
{
    Guest *guest = opaque;

    return guest->done || line_reader_closed(guest->reader);
}

char *guest_command(Guest *guest, const char *command, double seconds,
                    GError **errp)
{
    g_autofree char *line = g_strconcat(command, "\n", NULL);

    g_string_truncate(guest->reply, 0);
    g_clear_pointer(&guest->last_error, g_free);
    guest->done = 0;
    if (!line_send(guest->reader, line, errp)) {
        return NULL;
    }
    loop_wait(is_done, guest, seconds);
    if (guest->done != command[0]) {
        harness_fail(errp,
                     "the guest on the %s does not answer \"%s\"; "
                     "it said: %s",
                     guest->name, command, guest->reply->str);
        return NULL;
    }
    if (guest->last_error) {
        harness_fail(errp, "the guest on the %s: %s", guest->name,
                     guest->last_error);
        return NULL;
    }
    return g_strdup(guest->reply->str);
}

bool guest_set(Guest *guest, const char *option, GError **errp)
{
    g_autofree char *command = g_strdup_printf("%c %s", GUEST_CMD_SET, option);
    g_autofree char *reply =
        guest_command(guest, command, COMMAND_SECONDS, errp);

    return reply != NULL;
}

static bool memory_is_good(const char *reply)
{
    return strstr(reply, GUEST_LINE_MEM_OK) &&
           !strstr(reply, GUEST_LINE_MEM_BAD);
}

static bool disks_are_good(const char *reply, unsigned disks)
{
    g_auto(GStrv) lines = g_strsplit(reply, "\n", -1);
    unsigned good = 0;

    for (unsigned i = 0; lines[i]; i++) {
        unsigned number;
        char word[8];

        if (sscanf(lines[i], GUEST_SCAN_DISK, &number, word) == 2) {
            if (!g_str_equal(word, "ok") || guest_value(lines[i], "errors")) {
                return false;
            }
            good++;
        }
    }
    return good == disks;
}

bool guest_verify(Guest *guest, unsigned disks, GError **errp)
{
    g_autofree char *memory = NULL, *disk = NULL;
    char command[2] = { GUEST_CMD_VERIFY_MEM, 0 };

    memory = guest_command(guest, command, VERIFY_SECONDS, errp);
    if (!memory) {
        return false;
    }
    if (!memory_is_good(memory)) {
        return harness_fail(errp, "the guest's memory on the %s: %s",
                            guest->name, memory);
    }
    command[0] = GUEST_CMD_VERIFY_DISK;
    disk = guest_command(guest, command, VERIFY_SECONDS, errp);
    if (!disk) {
        return false;
    }
    if (!disks_are_good(disk, disks)) {
        return harness_fail(errp, "the guest's %u disks on the %s: %s", disks,
                            guest->name, disk);
    }
    return true;
}

int64_t guest_value(const char *reply, const char *key)
{
    g_autofree char *word = g_strdup_printf(" %s=", key);
    const char *at = strstr(reply, word);

    return at ? g_ascii_strtoll(at + strlen(word), NULL, 10) : -1;
}

typedef struct BeatWait {
    Guest *guest;
    unsigned count;
} BeatWait;

static bool has_beaten(void *opaque)
{
    BeatWait *wait = opaque;

    return wait->guest->beats.count >= wait->count ||
           line_reader_closed(wait->guest->reader);
}

bool guest_wait_beats(Guest *guest, unsigned n, double seconds, GError **errp)
{
    BeatWait wait = { guest, guest->beats.count + n };

    loop_wait(has_beaten, &wait, seconds);
    if (guest->beats.count < wait.count) {
        return harness_fail(errp, "the guest on the %s has no heartbeat",
                            guest->name);
    }
    return true;
}

bool guest_has_run(const Guest *guest)
{
    return guest->beats.count > 1;
}

const GuestBeats *guest_beats(const Guest *guest)
{
    return &guest->beats;
}

unsigned guest_io_errors(const Guest *guest)
{
    return guest->io_errors;
}

bool guest_forget_work(Guest *guest, GError **errp)
{
    const char command[2] = { GUEST_CMD_CLEAR_STATS, 0 };
    g_autofree char *reply =
        guest_command(guest, command, COMMAND_SECONDS, errp);

    return reply != NULL;
}

/* How many disks of the statistics had one of each. */
static unsigned disks_at_work(const char *reply)
{
    g_auto(GStrv) lines = g_strsplit(reply, "\n", -1);
    unsigned count = 0;

    for (unsigned i = 0; lines[i]; i++) {
        count += guest_value(lines[i], "flushes") > 0 &&
                 guest_value(lines[i], "zeroes") > 0 &&
                 guest_value(lines[i], "discards") > 0;
    }
    return count;
}

bool guest_wait_work(Guest *guest, unsigned disks, double seconds,
                     GError **errp)
{
    const char command[2] = { GUEST_CMD_STATS, 0 };
    int64_t deadline = loop_now_us() + seconds * G_USEC_PER_SEC;

    while (loop_now_us() < deadline) {
        g_autofree char *reply =
            guest_command(guest, command, COMMAND_SECONDS, errp);

        if (!reply) {
            return false;
        }
        if (disks_at_work(reply) >= disks) {
            return true;
        }
        if (!guest_wait_beats(guest, 10, COMMAND_SECONDS, errp)) {
            return false;
        }
    }
    return harness_fail(errp, "the guest on the %s does not use its %u disks",
                        guest->name, disks);
}

bool guest_power_off(Guest *guest, GError **errp)
{
    const char command[2] = { GUEST_CMD_QUIT, 0 };
    g_autofree char *reply =
        guest_command(guest, command, COMMAND_SECONDS, errp);

    return reply != NULL;
}
