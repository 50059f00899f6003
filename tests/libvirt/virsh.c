/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs in a host, of which virsh is the one that is asked most. */
#include <errno.h>
#include <gio/gio.h>
#include <gio/gunixinputstream.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "hosts-internal.h"
#include "loop.h"
#include "machine.h"

/* A migration that takes longer hangs. */
#define RUN_SECONDS 120

struct Virsh {
    GSubprocess *process;
    int fd;
    guint source; /* 0: it has closed its output */
    GString *output;
    bool ended;
};

static void with_parent(void *parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != GPOINTER_TO_INT(parent)) {
        raise(SIGKILL);
    }
}

GSubprocessLauncher *hosts_launcher(GSubprocessFlags flags)
{
    GSubprocessLauncher *launcher = g_subprocess_launcher_new(flags);

    g_subprocess_launcher_set_child_setup(launcher, with_parent,
                                          GINT_TO_POINTER(getpid()), NULL);
    g_subprocess_launcher_setenv(launcher, "LC_ALL", "C.UTF-8", TRUE);
    g_subprocess_launcher_setenv(launcher, "SHMIG_QEMU_IMG", machine_qemu_img(),
                                 TRUE);
    g_subprocess_launcher_setenv(launcher, "SHMIG_LIBVIRT", hosts_libvirt(),
                                 TRUE);
    return launcher;
}

static gboolean can_read(gint fd, GIOCondition condition, gpointer opaque)
{
    Virsh *virsh = opaque;
    char data[4096];
    ssize_t n = read(fd, data, sizeof(data));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n <= 0) {
        virsh->source = 0;
        return G_SOURCE_REMOVE;
    }
    g_string_append_len(virsh->output, data, n);
    return G_SOURCE_CONTINUE;
}

static void has_ended(GObject *object, GAsyncResult *result, void *opaque)
{
    Virsh *virsh = opaque;

    if (g_subprocess_wait_finish(G_SUBPROCESS(object), result, NULL)) {
        virsh->ended = true;
    }
    g_object_unref(object);
}

static Virsh *start(const char *const *argv, GError **errp)
{
    g_autoptr(GSubprocessLauncher) launcher = hosts_launcher(
        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
    g_autoptr(GSubprocess) process =
        g_subprocess_launcher_spawnv(launcher, argv, errp);
    Virsh *virsh;

    if (!process) {
        return NULL;
    }
    virsh = g_new0(Virsh, 1);
    virsh->output = g_string_new(NULL);
    virsh->fd = g_unix_input_stream_get_fd(
        G_UNIX_INPUT_STREAM(g_subprocess_get_stdout_pipe(process)));
    g_unix_set_fd_nonblocking(virsh->fd, true, NULL);
    virsh->source = g_unix_fd_add(virsh->fd, G_IO_IN | G_IO_HUP | G_IO_ERR,
                                  can_read, virsh);
    g_subprocess_wait_async(g_object_ref(process), NULL, has_ended, virsh);
    virsh->process = g_steal_pointer(&process);
    return virsh;
}

static bool is_over(void *opaque)
{
    Virsh *virsh = opaque;

    return virsh->ended && !virsh->source;
}

void virsh_kill(Virsh *virsh)
{
    g_subprocess_force_exit(virsh->process);
}

void virsh_free(Virsh *virsh)
{
    if (virsh) {
        virsh_kill(virsh);
        /* Its end is told to @virsh: not before that may it go. */
        while (!virsh->ended) {
            g_main_context_iteration(NULL, TRUE);
        }
        if (virsh->source) {
            g_source_remove(virsh->source);
        }
        g_object_unref(virsh->process);
        g_string_free(virsh->output, TRUE);
        g_free(virsh);
    }
}

bool virsh_ended(const Virsh *virsh)
{
    return virsh->ended;
}

const char *virsh_output(const Virsh *virsh)
{
    return virsh->output->str;
}

bool virsh_wait(Virsh *virsh, double seconds, GError **errp)
{
    if (!loop_wait(is_over, virsh, seconds)) {
        return harness_fail(errp, "it has not ended within %.0f s: %s", seconds,
                            virsh->output->str);
    }
    g_strchomp(virsh->output->str);
    if (!g_subprocess_get_successful(virsh->process)) {
        return harness_fail(errp, "%s", virsh->output->str);
    }
    return true;
}

static GPtrArray *words_new(const Hosts *hosts, Host host)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(argv, g_strdup(HOSTS_SH));
    g_ptr_array_add(argv, g_strdup("in"));
    g_ptr_array_add(argv, g_strdup(hosts->dir));
    g_ptr_array_add(argv, g_strdup(host == HOST_A ? "a" : "b"));
    return argv;
}

static Virsh *start_virsh(Hosts *hosts, Host host, const char *format,
                          va_list ap, GError **errp)
{
    g_autoptr(GPtrArray) argv = words_new(hosts, host);
    g_autofree char *command = g_strdup_vprintf(format, ap);
    g_auto(GStrv) words = g_strsplit(command, " ", -1);

    g_ptr_array_add(argv, g_strconcat(hosts_libvirt(), "/tools/virsh", NULL));
    g_ptr_array_add(argv, g_strdup("--quiet"));
    g_ptr_array_add(argv, g_strdup("--connect=qemu:///system"));
    for (unsigned i = 0; words[i]; i++) {
        if (*words[i]) {
            g_ptr_array_add(argv, g_strdup(words[i]));
        }
    }
    g_ptr_array_add(argv, NULL);
    return start((const char *const *)argv->pdata, errp);
}

Virsh *virsh_start(Hosts *hosts, Host host, GError **errp, const char *format,
                   ...)
{
    Virsh *virsh;
    va_list ap;

    va_start(ap, format);
    virsh = start_virsh(hosts, host, format, ap, errp);
    va_end(ap);
    return virsh;
}

/* Frees @virsh. */
static char *output_of(Virsh *virsh, GError **errp)
{
    char *output = NULL;

    if (virsh && virsh_wait(virsh, RUN_SECONDS, errp)) {
        output = g_strdup(virsh->output->str);
    }
    virsh_free(virsh);
    return output;
}

char *host_virsh(Hosts *hosts, Host host, GError **errp, const char *format,
                 ...)
{
    Virsh *virsh;
    va_list ap;

    va_start(ap, format);
    virsh = start_virsh(hosts, host, format, ap, errp);
    va_end(ap);
    return output_of(virsh, errp);
}

char *host_run(Hosts *hosts, Host host, GError **errp, const char *program, ...)
{
    g_autoptr(GPtrArray) argv = words_new(hosts, host);
    const char *word = program;
    va_list ap;

    va_start(ap, program);
    for (; word; word = va_arg(ap, const char *)) {
        g_ptr_array_add(argv, g_strdup(word));
    }
    va_end(ap);
    g_ptr_array_add(argv, NULL);
    return output_of(start((const char *const *)argv->pdata, errp), errp);
}

bool hosts_script(const Hosts *hosts, Host host, const char *command,
                  GError **errp)
{
    const char *const argv[] = { HOSTS_SH, command, hosts->dir,
                                 host == HOST_A ? "a" : "b", NULL };
    g_autofree char *output = output_of(start(argv, errp), errp);

    return output != NULL;
}
