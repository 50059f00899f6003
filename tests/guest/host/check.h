/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks, on the host, everything a test guest knows: its memory from a dump
 * and its disks from raw images.
 *
 * The dump is guest-physical memory from address 0 on, taken (QMP pmemsave)
 * while the VM is stopped or the guest's writers pause: what was in flight then
 * is allowed to be of the version before or after.  Nothing in the dump is
 * trusted to be in range.
 */
#ifndef GUEST_HOST_CHECK_H
#define GUEST_HOST_CHECK_H

#include <stdbool.h>
#include <glib.h>

typedef struct GuestDump GuestDump;

typedef struct GuestCheck {
    guint64 checked; /* pages or sectors compared */
    guint64 zero;    /* expected to be zero, and compared */
    guint64 unknown; /* sectors of which nothing is expected */
    guint64 bad;
    guint64 first_bad; /* page number, or LBA */
} GuestCheck;

/* Maps a dump; fails if there is no state of a test guest in it. */
GuestDump *guest_dump_open(const char *path, GError **errp);
void guest_dump_free(GuestDump *dump);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestDump, guest_dump_free)

unsigned guest_dump_disks(const GuestDump *dump);

/*
 * False when the check could not be made.  Bad content is no error: it is
 * counted in *result.
 */
bool guest_check_memory(const GuestDump *dump, GuestCheck *result,
                        GError **errp);
bool guest_check_disk(const GuestDump *dump, unsigned disk, const char *image,
                      GuestCheck *result, GError **errp);

#endif
