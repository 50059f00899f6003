/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU running the test guest.
 *
 * QEMU connects to two unix sockets of ours, so there is nothing to retry.
 * The reader thread splits both streams into lines and sorts them: replies
 * and events of QMP, serial lines, heartbeats.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "vm.h"
#include "../guest-protocol.h"

#define READ_BYTES 4096

typedef struct Stream {
    int fd;
    GString *partial;
    void (*line)(Vm *vm, char *line); /* takes the line */
} Stream;

struct Vm {
    char *name;
    char *directory;
    GPid pid; /* 0: has ended */
    int exit_code;

    /* Reader thread alone. */
    Stream qmp, serial;

    int stop_pipe[2]; /* closing [1] ends the reader */
    GThread *reader;

    /* Filled by the reader, emptied by the test. */
    GAsyncQueue *replies, *events, *lines;

    /* Under `lock`. */
    GMutex lock;
    GCond ticked;
    VmTick first_tick, last_tick;
};

const char *vm_qemu(void)
{
    const char *given = g_getenv("SHMIG_QEMU");
    static char *found;

    if (given) {
        return given;
    }
    if (!found) {
        found = g_find_program_in_path("qemu-system-x86_64");
    }
    return found;
}

bool vm_can(const char *accel)
{
    return strcmp(accel, "kvm") || access("/dev/kvm", R_OK | W_OK) == 0;
}

static void serial_line(Vm *vm, char *line)
{
    VmTick tick = { .seen = true, .arrival_us = g_get_monotonic_time() };
    guint32 gap;

    if (sscanf(line, GUEST_SCAN_TICK, &tick.number, &tick.guest_ms, &gap) !=
        3) {
        g_test_message("%s: %s", vm->name, line);
        g_async_queue_push(vm->lines, line);
        return;
    }
    g_free(line);
    g_mutex_lock(&vm->lock);
    if (!vm->first_tick.seen) {
        vm->first_tick = tick;
    }
    vm->last_tick = tick;
    g_cond_broadcast(&vm->ticked);
    g_mutex_unlock(&vm->lock);
}

static void qmp_line(Vm *vm, char *line)
{
    bool reply = g_str_has_prefix(line, "{\"return\"") ||
                 g_str_has_prefix(line, "{\"error\"") ||
                 g_str_has_prefix(line, "{\"QMP\"");

    g_async_queue_push(reply ? vm->replies : vm->events, line);
}

/* False at the end of the stream. */
static bool stream_read(Vm *vm, Stream *s)
{
    char buffer[READ_BYTES];
    ssize_t n = read(s->fd, buffer, sizeof(buffer));

    if (n <= 0) {
        return n < 0 && errno == EINTR;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buffer[i] == '\n') {
            s->line(vm, g_strdup(s->partial->str));
            g_string_truncate(s->partial, 0);
        } else if (buffer[i] != '\r') {
            g_string_append_c(s->partial, buffer[i]);
        }
    }
    return true;
}

static void *reader_main(void *opaque)
{
    Vm *vm = opaque;
    struct pollfd fds[] = {
        { .fd = vm->qmp.fd, .events = POLLIN },
        { .fd = vm->serial.fd, .events = POLLIN },
        { .fd = vm->stop_pipe[0], .events = POLLIN },
    };

    while (!fds[2].revents) {
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0) {
            continue;
        }
        if (fds[0].revents && !stream_read(vm, &vm->qmp)) {
            fds[0].fd = -1;
        }
        if (fds[1].revents && !stream_read(vm, &vm->serial)) {
            fds[1].fd = -1;
        }
    }
    return NULL;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpuint(strlen(path), <, sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==,
                    0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

static int accept_from(Vm *vm, int listener)
{
    struct pollfd pfd = { .fd = listener, .events = POLLIN };
    int fd;

    if (poll(&pfd, 1, VM_TIMEOUT_S * 1000) != 1) {
        g_error("%s: QEMU did not connect in %d s; see its messages above",
                vm->name, VM_TIMEOUT_S);
    }
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    close(listener);
    return fd;
}

static char **command_line(Vm *vm, const char *accel, unsigned cpus,
                           const char *append, const char *arguments)
{
    const char *guest = g_getenv("SHMIG_GUEST");
    g_autofree char *fixed = NULL;
    g_auto(GStrv) front = NULL, back = g_strsplit(arguments, " ", -1);
    g_autoptr(GPtrArray) all = g_ptr_array_new();

    if (!guest) {
        g_error("SHMIG_GUEST must name the test guest's ELF file");
    }
    fixed = g_strdup_printf(
        "%s -name %s -accel %s -cpu qemu64,-pni -smp %u -display none "
        "-nodefaults -no-reboot -chardev socket,id=qmp,path=%s/qmp "
        "-mon qmp,mode=control -chardev socket,id=com1,path=%s/serial "
        "-serial chardev:com1 -kernel %s -append",
        vm_qemu(), vm->name, accel, cpus, vm->directory, vm->directory, guest);
    front = g_strsplit(fixed, " ", -1);
    for (char **a = front; *a; a++) {
        g_ptr_array_add(all, g_strdup(*a));
    }
    g_ptr_array_add(all, g_strdup(append));
    for (char **a = back; *a; a++) {
        if (**a) {
            g_ptr_array_add(all, g_strdup(*a));
        }
    }
    g_ptr_array_add(all, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&all), FALSE);
}

/* A test that aborts leaves nobody behind who keeps its output open. */
static void die_with_parent(void *parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != GPOINTER_TO_INT(parent)) {
        raise(SIGKILL);
    }
}

static void spawn(Vm *vm, char **argv)
{
    g_autoptr(GError) error = NULL;

    if (!g_spawn_async(
            NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
            die_with_parent, GINT_TO_POINTER(getpid()), &vm->pid, &error)) {
        g_error("%s: %s", vm->name, error->message);
    }
}

static Vm *vm_new(const char *name)
{
    Vm *vm = g_new0(Vm, 1);

    vm->name = g_strdup(name);
    vm->directory = g_dir_make_tmp("shmig-vm-XXXXXX", NULL);
    g_assert_nonnull(vm->directory);
    vm->qmp.partial = g_string_new(NULL);
    vm->qmp.line = qmp_line;
    vm->serial.partial = g_string_new(NULL);
    vm->serial.line = serial_line;
    vm->replies = g_async_queue_new_full(g_free);
    vm->events = g_async_queue_new_full(g_free);
    vm->lines = g_async_queue_new_full(g_free);
    g_mutex_init(&vm->lock);
    g_cond_init(&vm->ticked);
    g_assert_cmpint(pipe(vm->stop_pipe), ==, 0);
    return vm;
}

static char *pop(Vm *vm, GAsyncQueue *queue, const char *what)
{
    char *item =
        g_async_queue_timeout_pop(queue, VM_TIMEOUT_S * G_USEC_PER_SEC);

    if (!item) {
        g_error("%s: %s did not come in %d s", vm->name, what, VM_TIMEOUT_S);
    }
    return item;
}

Vm *vm_start(const char *name, const char *accel, unsigned cpus,
             const char *append, const char *arguments)
{
    Vm *vm = vm_new(name);
    g_autofree char *qmp = g_build_filename(vm->directory, "qmp", NULL);
    g_autofree char *serial = g_build_filename(vm->directory, "serial", NULL);
    g_auto(GStrv) argv = command_line(vm, accel, cpus, append, arguments);
    int qmp_listener = listen_at(qmp), serial_listener = listen_at(serial);

    spawn(vm, argv);
    vm->qmp.fd = accept_from(vm, qmp_listener);
    vm->serial.fd = accept_from(vm, serial_listener);
    g_unlink(qmp);
    g_unlink(serial);
    g_rmdir(vm->directory);
    vm->reader = g_thread_new(name, reader_main, vm);
    g_free(pop(vm, vm->replies, "QMP's greeting"));
    vm_qmp_ok(vm, "{'execute': 'qmp_capabilities'}");
    return vm;
}

int vm_wait_exit(Vm *vm)
{
    int status;

    if (vm->pid) {
        g_assert_cmpint(waitpid(vm->pid, &status, 0), ==, vm->pid);
        g_spawn_close_pid(vm->pid);
        vm->pid = 0;
        vm->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    return vm->exit_code;
}

void vm_free(Vm *vm)
{
    if (!vm) {
        return;
    }
    if (vm->pid) {
        kill(vm->pid, SIGKILL);
        vm_wait_exit(vm);
    }
    close(vm->stop_pipe[1]);
    g_thread_join(vm->reader);
    close(vm->stop_pipe[0]);
    close(vm->qmp.fd);
    close(vm->serial.fd);
    g_string_free(vm->qmp.partial, TRUE);
    g_string_free(vm->serial.partial, TRUE);
    g_async_queue_unref(vm->replies);
    g_async_queue_unref(vm->events);
    g_async_queue_unref(vm->lines);
    g_mutex_clear(&vm->lock);
    g_cond_clear(&vm->ticked);
    g_free(vm->directory);
    g_free(vm->name);
    g_free(vm);
}

static void send_all(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left) {
        ssize_t n = send(fd, text, left, MSG_NOSIGNAL);

        g_assert_cmpint(n, >, 0);
        text += n;
        left -= n;
    }
}

static char *qmp_run(Vm *vm, const char *format, va_list args)
{
    g_autofree char *json = g_strdup_vprintf(format, args);
    char *reply;

    send_all(vm->qmp.fd, json);
    reply = pop(vm, vm->replies, json);
    g_test_message("%s: %s -> %.200s", vm->name, json, reply);
    return reply;
}

char *vm_qmp(Vm *vm, const char *format, ...)
{
    va_list args;
    char *reply;

    va_start(args, format);
    reply = qmp_run(vm, format, args);
    va_end(args);
    return reply;
}

void vm_qmp_ok(Vm *vm, const char *format, ...)
{
    g_autofree char *reply = NULL;
    va_list args;

    va_start(args, format);
    reply = qmp_run(vm, format, args);
    va_end(args);
    if (!g_str_has_prefix(reply, "{\"return\"")) {
        g_error("%s: %s -> %s", vm->name, format, reply);
    }
}

char *vm_event(Vm *vm, const char *text)
{
    for (;;) {
        char *event = pop(vm, vm->events, text);

        if (strstr(event, text)) {
            return event;
        }
        g_free(event);
    }
}

char *vm_line(Vm *vm, const char *prefix)
{
    for (;;) {
        char *line = pop(vm, vm->lines, prefix);

        if (g_str_has_prefix(line, prefix)) {
            return line;
        }
        g_free(line);
    }
}

char *vm_command(Vm *vm, const char *command)
{
    g_autofree char *text = g_strdup_printf("%s\n", command);
    g_autofree char *done = g_strdup_printf("DONE %c", command[0]);
    g_autoptr(GString) reply = g_string_new(NULL);

    send_all(vm->serial.fd, text);
    for (;;) {
        g_autofree char *line = pop(vm, vm->lines, done);

        if (!strcmp(line, done)) {
            return g_string_free(g_steal_pointer(&reply), FALSE);
        }
        g_string_append_printf(reply, "%s\n", line);
    }
}

gint64 vm_number(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    if (!at) {
        g_error("no \"%s\" in: %s", key, text);
    }
    return g_ascii_strtoll(at + strlen(key), NULL, 10);
}

VmTick vm_first_tick(Vm *vm)
{
    VmTick tick;

    g_mutex_lock(&vm->lock);
    tick = vm->first_tick;
    g_mutex_unlock(&vm->lock);
    return tick;
}

VmTick vm_last_tick(Vm *vm)
{
    VmTick tick;

    g_mutex_lock(&vm->lock);
    tick = vm->last_tick;
    g_mutex_unlock(&vm->lock);
    return tick;
}

void vm_wait_tick(Vm *vm, guint32 number)
{
    gint64 end = g_get_monotonic_time() + VM_TIMEOUT_S * G_USEC_PER_SEC;

    g_mutex_lock(&vm->lock);
    while (!vm->last_tick.seen || vm->last_tick.number < number) {
        if (!g_cond_wait_until(&vm->ticked, &vm->lock, end)) {
            g_error("%s: heartbeat %u did not come in %d s", vm->name, number,
                    VM_TIMEOUT_S);
        }
    }
    g_mutex_unlock(&vm->lock);
}
