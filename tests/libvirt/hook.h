/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A point in the destination daemon's preparations at which it stands still:
 * libvirt calls a hook script there, and ours does not return before it is
 * told to.
 */
#ifndef TESTS_LIBVIRT_HOOK_H
#define TESTS_LIBVIRT_HOOK_H

#include "hosts.h"

typedef struct Hook Hook;

/* @operation is libvirt's name: "prepare", "start", "started".  The daemon of
 * @host is started anew, with the hook. */
Hook *hook_new(Hosts *hosts, Host host, const char *operation, GError **errp);
/* Whoever waits there goes on; the daemon has to be started anew for it to
 * know nothing of the hook. */
void hook_free(Hook *hook);

bool hook_wait(Hook *hook, double seconds, GError **errp);

#endif
