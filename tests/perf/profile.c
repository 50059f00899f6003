/* SPDX-License-Identifier: GPL-2.0-or-later */
/* perf record, told when to begin and when to end. */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "profile.h"

/* As perf sees them. */
#define CONTROL_FD 3
#define ACK_FD 4

struct Profile {
    GSubprocess *perf;
    int control, ack;
};

/* perf answers once the command is in force. */
static bool tell(Profile *profile, const char *command, GError **errp)
{
    size_t length = strlen(command);
    char answer[16];

    if (write(profile->control, command, length) != (ssize_t)length ||
        read(profile->ack, answer, sizeof(answer)) <= 0) {
        return harness_fail(errp, "perf record ended at once; is it "
                                  "installed (linux-perf)?");
    }
    return true;
}

static bool spawn(Profile *profile, const char *path, const char *pids,
                  const int far[2], GError **errp)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDERR_SILENCE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE);

    g_subprocess_launcher_take_fd(launcher, far[0], CONTROL_FD);
    g_subprocess_launcher_take_fd(launcher, far[1], ACK_FD);
    /* The clock's event works in virtual machines, too. */
    profile->perf = g_subprocess_launcher_spawn(
        launcher, errp, "perf", "record", "-e", "cpu-clock", "-F", "1999", "-g",
        "-D", "-1", "--control", "fd:3,4", "-o", path, "-p", pids, NULL);
    return profile->perf != NULL;
}

static void profile_free(Profile *profile)
{
    if (profile->perf) {
        g_subprocess_force_exit(profile->perf);
        g_subprocess_wait(profile->perf, NULL, NULL);
        g_object_unref(profile->perf);
    }
    close(profile->control);
    close(profile->ack);
    g_free(profile);
}

Profile *profile_start(const char *path, const Machine *source,
                       const Machine *dest, GError **errp)
{
    g_autofree char *pids =
        g_strdup_printf("%d,%d", machine_pid(source), machine_pid(dest));
    Profile *profile;
    int control[2], ack[2];

    if (!g_unix_open_pipe(control, FD_CLOEXEC, errp)) {
        return NULL;
    }
    if (!g_unix_open_pipe(ack, FD_CLOEXEC, errp)) {
        close(control[0]);
        close(control[1]);
        return NULL;
    }
    profile = g_new0(Profile, 1);
    profile->control = control[1];
    profile->ack = ack[0];
    if (!spawn(profile, path, pids, (int[2]) { control[0], ack[1] }, errp) ||
        !tell(profile, "enable\n", errp)) {
        profile_free(profile);
        return NULL;
    }
    return profile;
}

bool profile_stop(Profile *profile, GError **errp)
{
    bool done = tell(profile, "disable\n", errp);

    if (done) {
        g_subprocess_send_signal(profile->perf, SIGINT);
        done = g_subprocess_wait(profile->perf, NULL, errp);
    }
    profile_free(profile);
    return done;
}
