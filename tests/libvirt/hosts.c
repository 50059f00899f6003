/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two libvirt hosts: their life and their configuration. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hosts-internal.h"
#include "images.h"
#include "loop.h"
#include "machine.h"
#include "tls-files.h"

/* Below the host's /var/lib/libvirt: hosts have QEMUs of their own, and
 * libvirt changes the owner of a kernel. */
#define EMULATOR "qemu-system-x86_64"
#define KERNEL "guest.elf"

const char *host_name(Host host)
{
    return host == HOST_A ? "host-a" : "host-b";
}

static const char *letter(Host host)
{
    return host == HOST_A ? "a" : "b";
}

const char *hosts_libvirt(void)
{
    const char *value = g_getenv("SHMIG_LIBVIRT");

    return value && *value ? value : BUILD_DIR "/libvirt";
}

char *hosts_missing(void)
{
    g_autofree char *daemon =
        g_strconcat(hosts_libvirt(), "/src/libvirtd", NULL);

    if (access(daemon, X_OK) < 0) {
        return g_strdup_printf("%s is not there; build it with "
                               "scripts/build libvirt",
                               daemon);
    }
    if (geteuid() != 0) {
        return g_strdup("hosts with networks of their own take root");
    }
    return machine_missing("tcg");
}

char *host_path(const Hosts *hosts, Host host, const char *name)
{
    return g_strdup_printf("%s/%s/lib/%s", hosts->dir, letter(host), name);
}

static bool put_files(Hosts *hosts, Host host, GError **errp)
{
    g_autofree char *lib = host_path(hosts, host, "");
    g_autofree char *emulator = host_path(hosts, host, EMULATOR);
    g_autofree char *kernel = host_path(hosts, host, KERNEL);

    if (g_mkdir_with_parents(lib, 0755) < 0 ||
        symlink(machine_qemu(), emulator) < 0) {
        return harness_fail(errp, "%s: %s", lib, g_strerror(errno));
    }
    return image_run_program(errp, "cp", machine_guest_elf(), kernel, NULL);
}

/* What the test makes of certificates and keys, for both hosts. */
static bool put_keys(Hosts *hosts, GError **errp)
{
    char *keys = tls_files_new(errp);
    bool put = keys != NULL;

    for (Host host = HOST_A; put && host < HOSTS; host++) {
        g_autofree char *path = host_path(hosts, host, "pki");

        put = image_run_program(errp, "cp", "-R", keys, path, NULL);
    }
    tls_files_free(keys);
    return put;
}

/* Waits for the word that says that both hosts are there. */
static bool is_up(Hosts *hosts, GError **errp)
{
    g_autoptr(GDataInputStream) lines =
        g_data_input_stream_new(g_subprocess_get_stdout_pipe(hosts->process));
    g_autofree char *line =
        g_data_input_stream_read_line(lines, NULL, NULL, NULL);

    if (g_strcmp0(line, "ready") != 0) {
        return harness_fail(errp, "the hosts cannot be set up: hosts.sh says "
                                  "why above");
    }
    return true;
}

Hosts *hosts_new(GError **errp)
{
    g_autoptr(GSubprocessLauncher) launcher = hosts_launcher(
        G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE);
    Hosts *hosts = g_new0(Hosts, 1);

    hosts->dir = g_dir_make_tmp("shmig-hosts-XXXXXX", errp);
    if (!hosts->dir || !put_files(hosts, HOST_A, errp) ||
        !put_files(hosts, HOST_B, errp) || !put_keys(hosts, errp)) {
        hosts_free(hosts);
        return NULL;
    }
    hosts->process = g_subprocess_launcher_spawn(launcher, errp, HOSTS_SH, "up",
                                                 hosts->dir, NULL);
    if (!hosts->process || !is_up(hosts, errp)) {
        hosts_free(hosts);
        return NULL;
    }
    return hosts;
}

void hosts_free(Hosts *hosts)
{
    if (!hosts) {
        return;
    }
    if (hosts->process) {
        g_output_stream_close(g_subprocess_get_stdin_pipe(hosts->process), NULL,
                              NULL);
        g_subprocess_wait(hosts->process, NULL, NULL);
        g_object_unref(hosts->process);
    }
    if (hosts->dir && !g_getenv("SHMIG_KEEP")) {
        image_run_program(NULL, "rm", "-rf", hosts->dir, NULL);
    }
    g_free(hosts->dir);
    g_free(hosts);
}

bool host_kill_daemon(Hosts *hosts, Host host, GError **errp)
{
    return hosts_script(hosts, host, "kill", errp);
}

bool host_start_daemon(Hosts *hosts, Host host, GError **errp)
{
    return hosts_script(hosts, host, "start", errp);
}

/* What follows this line is not of hosts.sh. */
#define OWN "# the test's own:\n"

bool host_configure(Hosts *hosts, Host host, const char *lines, GError **errp)
{
    g_autofree char *path =
        g_strdup_printf("%s/%s/etc/qemu.conf", hosts->dir, letter(host));
    g_autofree char *before = NULL, *after = NULL;
    char *own;

    if (!g_file_get_contents(path, &before, NULL, errp)) {
        return false;
    }
    own = strstr(before, OWN);
    if (own) {
        *own = 0;
    }
    after = g_strconcat(before, OWN, lines, lines ? "\n" : NULL, NULL);
    return g_file_set_contents(path, after, -1, errp) &&
           host_kill_daemon(hosts, host, errp) &&
           host_start_daemon(hosts, host, errp);
}
