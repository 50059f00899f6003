/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hook script between two FIFOs: it says "here" and waits for the end. */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hook.h"
#include "loop.h"

#define SCRIPT "/etc/libvirt/hooks/qemu"

struct Hook {
    Hosts *hosts;
    Host host;
    char *here, *go_on; /* the FIFOs */
    int fd;             /* of the first */
    guint source;
    bool reached;
};

static gboolean somebody_is_here(gint fd, GIOCondition condition,
                                 gpointer opaque)
{
    Hook *hook = opaque;

    hook->reached = true;
    hook->source = 0;
    return G_SOURCE_REMOVE;
}

static bool put_script(Hook *hook, const char *operation, GError **errp)
{
    g_autofree char *commands =
        g_strdup_printf("mkdir -p /etc/libvirt/hooks\n"
                        "cat >" SCRIPT " <<'END'\n"
                        "#!/bin/sh\n"
                        "[ \"$2\" = %s ] || exit 0\n"
                        "echo here >/var/lib/libvirt/hook-here\n"
                        "read -r end </var/lib/libvirt/hook-go-on || exit 0\n"
                        "END\n"
                        "chmod +x " SCRIPT "\n",
                        operation);
    g_autofree char *output =
        host_run(hook->hosts, hook->host, errp, "sh", "-ec", commands, NULL);

    return output && host_kill_daemon(hook->hosts, hook->host, errp) &&
           host_start_daemon(hook->hosts, hook->host, errp);
}

Hook *hook_new(Hosts *hosts, Host host, const char *operation, GError **errp)
{
    Hook *hook = g_new0(Hook, 1);

    hook->hosts = hosts;
    hook->host = host;
    hook->here = host_path(hosts, host, "hook-here");
    hook->go_on = host_path(hosts, host, "hook-go-on");
    hook->fd = -1;
    if (mkfifo(hook->here, 0600) < 0 || mkfifo(hook->go_on, 0600) < 0 ||
        (hook->fd = open(hook->here, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
        harness_fail(errp, "%s: %s", hook->here, g_strerror(errno));
        hook_free(hook);
        return NULL;
    }
    hook->source = g_unix_fd_add(hook->fd, G_IO_IN, somebody_is_here, hook);
    if (!put_script(hook, operation, errp)) {
        hook_free(hook);
        return NULL;
    }
    return hook;
}

void hook_free(Hook *hook)
{
    int fd;

    if (!hook) {
        return;
    }
    /* Opened and closed, it has an end. */
    fd = open(hook->go_on, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    g_free(host_run(hook->hosts, hook->host, NULL, "rm", "-f", SCRIPT, NULL));
    if (hook->source) {
        g_source_remove(hook->source);
    }
    if (hook->fd >= 0) {
        close(hook->fd);
    }
    unlink(hook->here);
    unlink(hook->go_on);
    g_free(hook->here);
    g_free(hook->go_on);
    g_free(hook);
}

static bool is_reached(void *opaque)
{
    Hook *hook = opaque;

    return hook->reached;
}

bool hook_wait(Hook *hook, double seconds, GError **errp)
{
    if (!loop_wait(is_reached, hook, seconds)) {
        return harness_fail(errp, "%s never came to the hook",
                            host_name(hook->host));
    }
    return true;
}
