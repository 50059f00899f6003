/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU running the test guest, for test programs: its process, QMP, and the
 * guest's serial line.
 *
 * A thread of its own reads both sockets, so that heartbeats are stamped when
 * they arrive; everything else is called from the test's thread.  What goes
 * wrong ends the test with a message (g_error); nothing waits longer than
 * VM_TIMEOUT_S.
 */
#ifndef GUEST_HOST_VM_H
#define GUEST_HOST_VM_H

#include <stdbool.h>
#include <glib.h>

#define VM_TIMEOUT_S 120

typedef struct Vm Vm;

/* The last heartbeat seen, or in vm_first_tick() the first. */
typedef struct VmTick {
    bool seen;
    guint32 number;
    guint32 guest_ms;
    gint64 arrival_us; /* monotonic */
} VmTick;

/* $SHMIG_QEMU, or qemu-system-x86_64 in PATH; NULL if there is none. */
const char *vm_qemu(void);

/* Whether `accel` ("kvm", "tcg") can be used here. */
bool vm_can(const char *accel);

/*
 * Starts vm_qemu() with the test guest ($SHMIG_GUEST), QMP and serial line.
 * `arguments` are separated by blanks; the guest's options go in `append`.
 * Returns when QMP is ready.
 */
Vm *vm_start(const char *name, const char *accel, unsigned cpus,
             const char *append, const char *arguments);

/* Quits QEMU if it still runs, waits for its end and frees. */
void vm_free(Vm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vm, vm_free)

/* Runs a QMP command given as JSON; returns the reply, error or not. */
char *vm_qmp(Vm *vm, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The same; an error reply ends the test. */
void vm_qmp_ok(Vm *vm, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Waits for the next QMP event that contains `text`, which it returns. */
char *vm_event(Vm *vm, const char *text);

/* Waits for the next line that begins with `prefix`; returns it. */
char *vm_line(Vm *vm, const char *prefix);

/*
 * Sends a command; returns all lines of the reply, heartbeats left out, up to
 * DONE, joined by newlines.
 */
char *vm_command(Vm *vm, const char *command);

/* The number after `key` ("errors=") in `text`; the key must be there. */
gint64 vm_number(const char *text, const char *key);

VmTick vm_first_tick(Vm *vm);
VmTick vm_last_tick(Vm *vm);

/* Waits until heartbeat `number` or a later one has arrived. */
void vm_wait_tick(Vm *vm, guint32 number);

/* Waits for QEMU to end by itself; returns its exit code. */
int vm_wait_exit(Vm *vm);

#endif
