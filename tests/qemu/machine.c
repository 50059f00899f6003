/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One QEMU process. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "machine.h"

/* A busy host may take that long to load QEMU. */
#define START_SECONDS 60
#define QUIT_SECONDS 30

/* Descriptors as QEMU sees them. */
#define QMP_FD 3
#define SERIAL_FD 4

typedef struct Process {
    Machine machine;
    GSubprocess *process;
    char *stderr_path;
    bool ended;
} Process;

static const char *program(const char *variable, const char *fallback)
{
    const char *value = g_getenv(variable);

    return value && *value ? value : fallback;
}

const char *machine_qemu(void)
{
    return program("SHMIG_QEMU", BUILD_DIR "/qemu/qemu-system-x86_64");
}

const char *machine_qemu_img(void)
{
    return program("SHMIG_QEMU_IMG", BUILD_DIR "/qemu/qemu-img");
}

const char *machine_qemu_io(void)
{
    return program("SHMIG_QEMU_IO", BUILD_DIR "/qemu/qemu-io");
}

const char *machine_qemu_nbd(void)
{
    return program("SHMIG_QEMU_NBD", BUILD_DIR "/qemu/qemu-nbd");
}

const char *machine_guest_elf(void)
{
    return program("SHMIG_GUEST", BUILD_DIR "/tests/guest/guest.elf");
}

char *machine_missing(const char *accel)
{
    const char *const files[] = { machine_qemu(), machine_qemu_img(),
                                  machine_guest_elf() };

    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        if (access(files[i], R_OK) < 0) {
            return g_strdup_printf("%s is not there; build it with "
                                   "scripts/build",
                                   files[i]);
        }
    }
    if (g_str_has_prefix(accel, "kvm") && access("/dev/kvm", R_OK | W_OK) < 0) {
        return g_strdup_printf("/dev/kvm: %s", g_strerror(errno));
    }
    return NULL;
}

static void ended(GObject *object, GAsyncResult *result, void *opaque)
{
    Process *process = opaque;

    g_subprocess_wait_finish(G_SUBPROCESS(object), result, NULL);
    process->ended = true;
}

static void before_exec(void *parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Ctrl-C is for the parent: it has something to take down. */
    setpgid(0, 0);
    if (getppid() != GPOINTER_TO_INT(parent)) {
        raise(SIGKILL);
    }
}

static GPtrArray *command_line(const GPtrArray *arguments)
{
    GPtrArray *argv = g_ptr_array_new();
    static const char *const own[] = {
        "-display",    "none",
        "-nodefaults", "-no-user-config",
        "-chardev",    "socket,id=qmp,fd=3",
        "-mon",        "chardev=qmp,mode=control",
        "-chardev",    "socket,id=serial,fd=4",
        "-serial",     "chardev:serial",
    };

    g_ptr_array_add(argv, (char *)machine_qemu());
    for (unsigned i = 0; i < G_N_ELEMENTS(own); i++) {
        g_ptr_array_add(argv, (char *)own[i]);
    }
    for (unsigned i = 0; i < arguments->len; i++) {
        g_ptr_array_add(argv, g_ptr_array_index(arguments, i));
    }
    g_ptr_array_add(argv, NULL);
    return argv;
}

static bool spawn(Process *process, const int far[2],
                  const GPtrArray *arguments, GError **errp)
{
    g_autoptr(GPtrArray) argv = command_line(arguments);
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE);

    g_subprocess_launcher_set_stderr_file_path(launcher, process->stderr_path);
    g_subprocess_launcher_take_fd(launcher, far[0], QMP_FD);
    g_subprocess_launcher_take_fd(launcher, far[1], SERIAL_FD);
    g_subprocess_launcher_set_child_setup(launcher, before_exec,
                                          GINT_TO_POINTER(getpid()), NULL);
    process->process = g_subprocess_launcher_spawnv(
        launcher, (const char *const *)argv->pdata, errp);
    if (process->process) {
        g_subprocess_wait_async(process->process, NULL, ended, process);
    }
    return process->process != NULL;
}

static bool make_line(int pair[2], GError **errp)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return harness_fail(errp, "no socket pair: %s", g_strerror(errno));
    }
    return true;
}

/* Adds what QEMU printed to the error: it usually is the reason. */
static void explain(const Machine *machine, GError **errp)
{
    g_autofree char *text = machine_stderr(machine);

    if (errp && *errp && *g_strstrip(text)) {
        g_autofree char *message = g_steal_pointer(&(*errp)->message);

        (*errp)->message = g_strdup_printf("%s; it printed: %s", message, text);
    }
}

Machine *machine_start(const char *name, const char *dir,
                       const GPtrArray *arguments, GError **errp)
{
    Process *process;
    int qmp[2], serial[2];

    if (!make_line(qmp, errp)) {
        return NULL;
    }
    if (!make_line(serial, errp)) {
        close(qmp[0]);
        close(qmp[1]);
        return NULL;
    }
    process = g_new0(Process, 1);
    process->machine.name = g_strdup(name);
    process->machine.qmp = qmp_new(qmp[0], name);
    process->machine.guest = guest_new(serial[0], name);
    process->stderr_path = g_strdup_printf("%s/%s.stderr", dir, name);
    if (!spawn(process, (int[2]) { qmp[1], serial[1] }, arguments, errp) ||
        !qmp_start(process->machine.qmp, START_SECONDS, errp)) {
        explain(&process->machine, errp);
        machine_free(&process->machine);
        return NULL;
    }
    return &process->machine;
}

static Process *process_of(const Machine *machine)
{
    return (Process *)machine;
}

char *machine_stderr(const Machine *machine)
{
    char *text = NULL;

    g_file_get_contents(process_of(machine)->stderr_path, &text, NULL, NULL);
    return text ? text : g_strdup("");
}

int machine_pid(const Machine *machine)
{
    const char *id = g_subprocess_get_identifier(process_of(machine)->process);

    return id ? atoi(id) : -1;
}

static bool has_ended(void *opaque)
{
    return ((Process *)opaque)->ended;
}

int machine_wait_exit(Machine *machine, double seconds, GError **errp)
{
    Process *process = process_of(machine);

    if (!loop_wait(has_ended, process, seconds)) {
        harness_fail(errp, "%s: QEMU does not end", machine->name);
        return -1;
    }
    if (!g_subprocess_get_if_exited(process->process)) {
        harness_fail(errp, "%s: QEMU was ended by signal %d", machine->name,
                     g_subprocess_get_term_sig(process->process));
        explain(machine, errp);
        return -1;
    }
    return g_subprocess_get_exit_status(process->process);
}

bool machine_quit(Machine *machine, GError **errp)
{
    int status;

    if (!qmp_run(machine->qmp, errp, "quit", NULL)) {
        explain(machine, errp);
        return false;
    }
    status = machine_wait_exit(machine, QUIT_SECONDS, errp);
    if (status > 0) {
        harness_fail(errp, "%s: QEMU quit with status %d", machine->name,
                     status);
        explain(machine, errp);
    }
    return status == 0;
}

void machine_free(Machine *machine)
{
    Process *process = process_of(machine);

    if (!machine) {
        return;
    }
    if (process->process) {
        g_subprocess_force_exit(process->process);
        g_subprocess_wait(process->process, NULL, NULL);
        /* The callback has our address. */
        while (!process->ended) {
            g_main_context_iteration(NULL, TRUE);
        }
        g_object_unref(process->process);
    }
    qmp_free(machine->qmp);
    guest_free(machine->guest);
    g_free(process->stderr_path);
    g_free(machine->name);
    g_free(process);
}
