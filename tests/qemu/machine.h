/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One QEMU: its process, monitor, guest and standard error.
 *
 * The monitor and the serial line are socket pairs made before QEMU starts,
 * so that nothing has to be waited for or found by name.  QEMU dies with the
 * process that started it, whatever happens to that.
 */
#ifndef TESTS_QEMU_MACHINE_H
#define TESTS_QEMU_MACHINE_H

#include "guest.h"
#include "qmp.h"

typedef struct Machine Machine;

struct Machine {
    char *name; /* "source" or "destination" */
    Qmp *qmp;
    Guest *guest;
};

/* The programs, from the environment or else the build directory. */
const char *machine_qemu(void);
const char *machine_qemu_img(void);
const char *machine_qemu_io(void);
const char *machine_qemu_nbd(void);
const char *machine_guest_elf(void);

/* NULL, or what a machine with @accel lacks to be started here. */
char *machine_missing(const char *accel);

/*
 * Starts QEMU with @arguments besides those for the monitor and the serial
 * line, and waits for its monitor.  Its standard error goes to a file in
 * @dir.  NULL on failure, with what it printed.
 */
Machine *machine_start(const char *name, const char *dir,
                       const GPtrArray *arguments, GError **errp);

/* What it printed on standard error so far. */
char *machine_stderr(const Machine *machine);

/* Waits for the process to end by itself; returns its exit status, or -1 and
 * an error if it does not or a signal ended it. */
int machine_wait_exit(Machine *machine, double seconds, GError **errp);

/* Tells it to quit; fails unless it does, with status 0. */
bool machine_quit(Machine *machine, GError **errp);

int machine_pid(const Machine *machine);

/* Ends the process if it still runs. */
void machine_free(Machine *machine);

#endif
