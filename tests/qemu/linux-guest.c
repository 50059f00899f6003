/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Linux guest's serial line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "line.h"
#include "linux-guest.h"
#include "loop.h"

/* With which make-initramfs.sh says that something cannot be had. */
#define EXIT_MISSING 77

struct LinuxGuest {
    char *name;
    LineReader *reader;
    unsigned files;
    unsigned verified; /* 0: not yet, or not good */
    char *failure;     /* the line that tells it */
    char *last;        /* the last line of any kind */
};

bool linux_guest_make(const char *dir, char **missing, GError **errp)
{
    char *argv[] = { LINUX_DIR "/make-initramfs.sh", (char *)dir, NULL };
    g_autofree char *text = NULL;
    int status;

    if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
                      NULL, &text, &status, errp)) {
        return false;
    }
    g_strchomp(text);
    if (g_spawn_check_wait_status(status, NULL)) {
        return true;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MISSING) {
        *missing = g_steal_pointer(&text);
        return false;
    }
    return harness_fail(errp, "%s failed: %s", argv[0], text);
}

static void take_line(void *opaque, const char *line)
{
    LinuxGuest *guest = opaque;

    if (!line) {
        return;
    }
    g_free(guest->last);
    guest->last = g_strdup(line);
    if (sscanf(line, "LINUX FILE %u", &guest->files) == 1 ||
        sscanf(line, "LINUX OK files=%u", &guest->verified) == 1) {
        return;
    }
    if (!guest->failure &&
        (g_str_has_prefix(line, "LINUX BAD") || strstr(line, "Kernel panic"))) {
        guest->failure = g_strdup(line);
    }
}

static int connect_to(const char *path, GError **errp)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    if (fd < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        harness_fail(errp, "%s: %s", path, g_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

LinuxGuest *linux_guest_new(const char *path, const char *name, GError **errp)
{
    int fd = connect_to(path, errp);
    LinuxGuest *guest;

    if (fd < 0) {
        return NULL;
    }
    guest = g_new0(LinuxGuest, 1);
    guest->name = g_strdup(name);
    guest->reader = line_reader_new(fd, take_line, guest);
    return guest;
}

void linux_guest_free(LinuxGuest *guest)
{
    if (guest) {
        line_reader_free(guest->reader);
        g_free(guest->failure);
        g_free(guest->last);
        g_free(guest->name);
        g_free(guest);
    }
}

unsigned linux_guest_files(const LinuxGuest *guest)
{
    return guest->files;
}

static bool has_ended(const LinuxGuest *guest)
{
    return guest->failure || line_reader_closed(guest->reader);
}

/* Says that what was waited for did not come. */
static bool tell(const LinuxGuest *guest, const char *what, GError **errp)
{
    return harness_fail(errp, "Linux on the %s %s: %s", guest->name, what,
                        guest->failure ? guest->failure
                        : guest->last  ? guest->last
                                       : "it has said nothing");
}

typedef struct FilesWait {
    LinuxGuest *guest;
    unsigned files;
} FilesWait;

static bool has_written(void *opaque)
{
    FilesWait *wait = opaque;

    return wait->guest->files >= wait->files || has_ended(wait->guest);
}

bool linux_guest_wait_files(LinuxGuest *guest, unsigned files, double seconds,
                            GError **errp)
{
    FilesWait wait = { guest, files };

    loop_wait(has_written, &wait, seconds);
    if (guest->failure || guest->files < files) {
        return tell(guest, "does not go on writing", errp);
    }
    return true;
}

static bool has_verified(void *opaque)
{
    LinuxGuest *guest = opaque;

    return guest->verified || has_ended(guest);
}

unsigned linux_guest_verify(LinuxGuest *guest, double seconds, GError **errp)
{
    if (!line_send(guest->reader, "verify\n", errp)) {
        return 0;
    }
    loop_wait(has_verified, guest, seconds);
    if (guest->failure || !guest->verified) {
        tell(guest, "does not find its files good", errp);
        return 0;
    }
    return guest->verified;
}
