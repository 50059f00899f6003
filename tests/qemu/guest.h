/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest as its serial line shows it: commands, verification, and
 * when its heartbeats arrived.  tests/guest/README.md explains the line.
 */
#ifndef TESTS_QEMU_GUEST_H
#define TESTS_QEMU_GUEST_H

#include <glib.h>
#include <stdbool.h>

typedef struct Guest Guest;

/* Takes @fd.  @name is how errors call this side. */
Guest *guest_new(int fd, const char *name);
void guest_free(Guest *guest);

bool guest_wait_ready(Guest *guest, double seconds, GError **errp);
/* It is about to boot: guest_wait_ready() waits for the next time. */
void guest_reboots(Guest *guest);

/* Runs a command and returns the lines of its reply, or NULL. */
char *guest_command(Guest *guest, const char *command, double seconds,
                    GError **errp);

/* It ends, and its machine with it. */
bool guest_power_off(Guest *guest, GError **errp);

/* Changes an option: "dirty=5000". */
bool guest_set(Guest *guest, const char *option, GError **errp);

/*
 * The guest reads back all its memory and the region of each of its @disks.
 * False if a byte is not what it wrote, or a request ever failed.
 */
bool guest_verify(Guest *guest, unsigned disks, GError **errp);

/* Waits until each of its @disks had a flush, a write-zeroes and a discard
 * since guest_forget_work(). */
bool guest_forget_work(Guest *guest, GError **errp);
bool guest_wait_work(Guest *guest, unsigned disks, double seconds,
                     GError **errp);

/* The value of KEY=VALUE in @reply, else -1. */
int64_t guest_value(const char *reply, const char *key);

/* Waits for @n heartbeats from now on. */
bool guest_wait_beats(Guest *guest, unsigned n, double seconds, GError **errp);

/* Heartbeats: how many arrived here, the number of the first and last, and
 * when they arrived (loop_now_us()). */
typedef struct GuestBeats {
    unsigned count;
    unsigned first, last;
    int64_t first_us, last_us;
    /* The longest gap that the guest saw before one of the first few: what a
     * switch-over was like for it, as far as its clock went on. */
    unsigned first_gap_us;
} GuestBeats;

const GuestBeats *guest_beats(const Guest *guest);

/*
 * Whether it has run on this QEMU.  One heartbeat is no sign of it: what the
 * source's serial port could not send yet, up to 16 bytes, the destination's
 * sends as soon as its state is loaded.
 */
bool guest_has_run(const Guest *guest);

/* Requests of the guest that failed. */
unsigned guest_io_errors(const Guest *guest);

#endif
