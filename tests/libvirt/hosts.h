/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two libvirt hosts on one machine, as hosts.sh makes them, and programs that
 * run in them.  Everything is below one temporary folder and ends with the
 * test, however that ends.
 */
#ifndef TESTS_LIBVIRT_HOSTS_H
#define TESTS_LIBVIRT_HOSTS_H

#include <glib.h>
#include <stdbool.h>

typedef enum Host {
    HOST_A,
    HOST_B,
} Host;

#define HOSTS 2

typedef struct Hosts Hosts;

static inline Host host_other(Host host)
{
    return host == HOST_A ? HOST_B : HOST_A;
}

/* The host's name on the network: "host-a". */
const char *host_name(Host host);

/* The directory of libvirt's build. */
const char *hosts_libvirt(void);

/* A sentence that says why there can be no hosts here, or NULL. */
char *hosts_missing(void);

/* Returns once both daemons answer. */
Hosts *hosts_new(GError **errp);
void hosts_free(Hosts *hosts);

/* Where the outside sees the host's /var/lib/libvirt/NAME. */
char *host_path(const Hosts *hosts, Host host, const char *name);

/* Runs a program in the host to its end and returns what it printed, or NULL
 * if it failed.  The main loop goes on meanwhile. */
char *host_run(Hosts *hosts, Host host, GError **errp, const char *program,
               ...) G_GNUC_NULL_TERMINATED;

/* The same for virsh, which talks to the host's own daemon; words are split
 * at blanks. */
char *host_virsh(Hosts *hosts, Host host, GError **errp, const char *format,
                 ...) G_GNUC_PRINTF(4, 5);

bool host_kill_daemon(Hosts *hosts, Host host, GError **errp);
bool host_start_daemon(Hosts *hosts, Host host, GError **errp);

/* Starts the daemon anew with more lines in its qemu.conf; NULL: none. */
bool host_configure(Hosts *hosts, Host host, const char *lines, GError **errp);

/* A virsh that runs while the test goes on. */
typedef struct Virsh Virsh;

Virsh *virsh_start(Hosts *hosts, Host host, GError **errp, const char *format,
                   ...) G_GNUC_PRINTF(4, 5);
/* Kills it if it runs. */
void virsh_free(Virsh *virsh);
void virsh_kill(Virsh *virsh);
bool virsh_ended(const Virsh *virsh);
/* Waits for its end; whether that was a good one. */
bool virsh_wait(Virsh *virsh, double seconds, GError **errp);
/* What it has printed so far, errors included. */
const char *virsh_output(const Virsh *virsh);

#endif
