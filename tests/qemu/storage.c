/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loop devices and NBD exports.
 *
 * A loop device goes with the last descriptor of it, and the server with this
 * process: nothing stays behind when a test is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/loop.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"
#include "machine.h"
#include "rows.h"
#include "storage.h"

/* Between asking for a free device and taking it, others may take it. */
#define LOOP_ATTEMPTS 16
/* Where sd_listen_fds(3) has the first descriptor. */
#define LISTEN_FD 3

struct Storage {
    char *path;
    int device;          /* or -1 */
    GSubprocess *server; /* or NULL */
};

/* --- loop devices --- */

/* A descriptor of the device with the number @n that has @fd now; -errno. */
static int configure_loop(int n, int fd)
{
    g_autofree char *path = g_strdup_printf("/dev/loop%d", n);
    struct loop_config config = {
        .fd = fd,
        .info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR,
    };
    int device = open(path, O_RDWR | O_CLOEXEC);
    int err;

    if (device < 0) {
        return -errno;
    }
    if (ioctl(device, LOOP_CONFIGURE, &config) < 0) {
        err = errno;
        close(device);
        return -err;
    }
    return device;
}

static int take_loop(Storage *storage, int fd)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int device = -EBUSY;

    if (control < 0) {
        return -errno;
    }
    for (unsigned i = 0; i < LOOP_ATTEMPTS && device == -EBUSY; i++) {
        int n = ioctl(control, LOOP_CTL_GET_FREE);

        device = n < 0 ? -errno : configure_loop(n, fd);
        g_free(storage->path);
        storage->path = g_strdup_printf("/dev/loop%d", n);
    }
    close(control);
    return device;
}

static bool reads_past_cache(int device)
{
    struct loop_info64 info;

    return ioctl(device, LOOP_GET_STATUS64, &info) == 0 &&
           (info.lo_flags & LO_FLAGS_DIRECT_IO);
}

static bool open_device(Storage *storage, const char *file, GError **errp)
{
    int fd = open(file, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        return harness_fail(errp, "%s: %s", file, g_strerror(errno));
    }
    storage->device = take_loop(storage, fd);
    close(fd);
    if (storage->device < 0) {
        return row_skip(errp, "no loop device can be had here: %s",
                        g_strerror(-storage->device));
    }
    if (!reads_past_cache(storage->device)) {
        return row_skip(errp, "%s: its file system has no direct I/O", file);
    }
    return true;
}

/* --- exports --- */

static int listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, SOMAXCONN) < 0) {
        int err = errno;

        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static void before_exec(void *parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    if (getppid() != GPOINTER_TO_INT(parent)) {
        raise(SIGKILL);
    }
}

/* With a socket that listens already, nobody has to wait for the server.  It
 * wants to be told its own number. */
static bool open_export(Storage *storage, const char *file, GError **errp)
{
    g_autofree char *path = g_strconcat(file, ".nbd", NULL);
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    const char *const argv[] = {
        "/bin/sh",
        "-c",
        "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"",
        machine_qemu_nbd(),
        "--persistent",
        "--shared=0",
        "--format=raw",
        "--discard=unmap",
        file,
        NULL,
    };
    int fd = listen_at(path);

    if (fd < 0) {
        return harness_fail(errp, "%s: %s", path, g_strerror(errno));
    }
    g_subprocess_launcher_take_fd(launcher, fd, LISTEN_FD);
    g_subprocess_launcher_set_child_setup(launcher, before_exec,
                                          GINT_TO_POINTER(getpid()), NULL);
    storage->server = g_subprocess_launcher_spawnv(launcher, argv, errp);
    storage->path = g_strdup_printf("nbd+unix:///?socket=%s", path);
    return storage->server != NULL;
}

Storage *storage_new(StorageKind kind, const char *file, GError **errp)
{
    Storage *storage = g_new0(Storage, 1);
    bool opened = true;

    storage->device = -1;
    switch (kind) {
    case STORAGE_FILE:
        storage->path = g_strdup(file);
        break;
    case STORAGE_DEVICE:
        opened = open_device(storage, file, errp);
        break;
    case STORAGE_EXPORT:
        opened = open_export(storage, file, errp);
        break;
    }
    if (!opened) {
        g_clear_pointer(&storage, storage_free);
    }
    return storage;
}

void storage_free(Storage *storage)
{
    if (!storage) {
        return;
    }
    if (storage->device >= 0) {
        close(storage->device);
    }
    if (storage->server) {
        g_subprocess_force_exit(storage->server);
        g_subprocess_wait(storage->server, NULL, NULL);
        g_object_unref(storage->server);
    }
    g_free(storage->path);
    g_free(storage);
}

const char *storage_path(const Storage *storage)
{
    return storage->path;
}
