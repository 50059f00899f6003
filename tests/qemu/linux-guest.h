/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Linux guest that writes a file system, as its serial line shows it;
 * linux/init is what it runs.
 */
#ifndef TESTS_QEMU_LINUX_GUEST_H
#define TESTS_QEMU_LINUX_GUEST_H

#include <glib.h>
#include <stdbool.h>

typedef struct LinuxGuest LinuxGuest;

/*
 * Makes vmlinuz and initrd in @dir.  False and an error if that fails; or, in
 * *@missing, a sentence on what the host lacks.
 */
bool linux_guest_make(const char *dir, char **missing, GError **errp);

/* Connects to the serial line that QEMU offers at @path.  @name is how errors
 * call this side. */
LinuxGuest *linux_guest_new(const char *path, const char *name, GError **errp);
void linux_guest_free(LinuxGuest *guest);

/* How many files it has written, as far as this side was told. */
unsigned linux_guest_files(const LinuxGuest *guest);

/* Waits until it has written @files; fails at once if it gives up. */
bool linux_guest_wait_files(LinuxGuest *guest, unsigned files, double seconds,
                            GError **errp);

/* Ends the writing, has all files verified and their number returned; the
 * guest then powers off.  0 if they are not good. */
unsigned linux_guest_verify(LinuxGuest *guest, double seconds, GError **errp);

#endif
