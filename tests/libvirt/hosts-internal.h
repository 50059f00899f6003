/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hosts.c and virsh.c share. */
#ifndef TESTS_LIBVIRT_HOSTS_INTERNAL_H
#define TESTS_LIBVIRT_HOSTS_INTERNAL_H

#include <gio/gio.h>

#include "hosts.h"

struct Hosts {
    char *dir;
    GSubprocess *process; /* of hosts.sh up: its standard input is the lease */
};

/* For programs that end with the test. */
GSubprocessLauncher *hosts_launcher(GSubprocessFlags flags);

/* hosts.sh COMMAND DIR HOST */
bool hosts_script(const Hosts *hosts, Host host, const char *command,
                  GError **errp);

#endif
