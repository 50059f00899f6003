/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scripts/run starts what was built from any directory, in the user's own
 * environment, and QEMU finds its firmware. */
#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"
#include "qmp.h"

#define RUN SOURCE_DIR "/scripts/run"
#define QEMU "qemu-system-x86_64"
#define START_SECONDS 60

/* A PATH that no script would come upon by itself. */
#define OWN_PATH "/usr/bin:/bin:/nonexistent/own"

static GSubprocessLauncher *launcher_in(const char *dir, GSubprocessFlags flags)
{
    GSubprocessLauncher *launcher = g_subprocess_launcher_new(flags);

    g_subprocess_launcher_set_cwd(launcher, dir);
    g_subprocess_launcher_setenv(launcher, "PATH", OWN_PATH, TRUE);
    return launcher;
}

/* Runs @argv in / and returns what it printed; asserts how it ended. */
static char *output(const char *const *argv, bool well)
{
    g_autoptr(GSubprocessLauncher) launcher = launcher_in(
        "/", G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) process =
        g_subprocess_launcher_spawnv(launcher, argv, &error);
    char *text = NULL;

    g_assert_no_error(error);
    g_subprocess_communicate_utf8(process, NULL, NULL, &text, NULL, &error);
    g_assert_no_error(error);
    g_test_message("%s", text);
    g_assert_cmpint(g_subprocess_get_successful(process), ==, well);
    return text;
}

static bool is_built(void)
{
    if (access(SOURCE_DIR "/build/qemu/" QEMU, X_OK) < 0) {
        g_test_skip("QEMU is not built; build it with scripts/build");
        return false;
    }
    return true;
}

static void lists_machines(void)
{
    const char *const argv[] = { RUN, QEMU, "-M", "help", NULL };
    g_autofree char *text = NULL;

    if (is_built()) {
        text = output(argv, true);
        g_assert_nonnull(strstr(text, "\npc "));
        g_assert_nonnull(strstr(text, "\nq35 "));
    }
}

/* Words arrive as they were given. */
static void hands_on_words(void)
{
    g_autofree char *dir = g_dir_make_tmp("shmig run XXXXXX", NULL);
    g_autofree char *image = g_strconcat(dir, "/a  b.raw", NULL);
    const char *const argv[] = { RUN,   "qemu-img", "create", "-f",
                                 "raw", image,      "3M",     NULL };
    g_autofree char *text = NULL;

    if (is_built()) {
        text = output(argv, true);
        g_assert_true(g_file_test(image, G_FILE_TEST_EXISTS));
        unlink(image);
    }
    rmdir(dir);
}

static void names_what_is_not_built(void)
{
    const char *const argv[] = { RUN, "qemu-system-s390x", NULL };
    g_autofree char *text = output(argv, false);

    g_assert_nonnull(strstr(text, "qemu-system-s390x is not built"));
    g_assert_nonnull(strstr(text, "scripts/build"));
}

/* The variable of process @pid, as it was given it. */
static char *environment_of(const char *pid, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/environ", pid);
    g_autofree char *prefix = g_strconcat(name, "=", NULL);
    g_autofree char *text = NULL;
    size_t length = 0;

    g_assert_true(g_file_get_contents(path, &text, &length, NULL));
    for (size_t i = 0; i < length; i += strlen(text + i) + 1) {
        if (g_str_has_prefix(text + i, prefix)) {
            return g_strdup(text + i + strlen(prefix));
        }
    }
    return NULL;
}

/* The firmware and the ROM of a graphics card are found, or QEMU would
 * not get as far as its monitor; and the process is QEMU itself. */
static void starts_a_machine(void)
{
    const char *const argv[] = { RUN,           QEMU,
                                 "-M",          "pc",
                                 "-accel",      "tcg",
                                 "-display",    "none",
                                 "-nodefaults", "-S",
                                 "-device",     "VGA",
                                 "-chardev",    "socket,id=qmp,fd=3",
                                 "-mon",        "chardev=qmp,mode=control",
                                 NULL };
    g_autoptr(GSubprocessLauncher) launcher =
        launcher_in("/", G_SUBPROCESS_FLAGS_NONE);
    g_autoptr(GSubprocess) process = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL, *roms = NULL;
    int line[2];
    Qmp *qmp;

    if (!is_built()) {
        return;
    }
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line),
                    ==, 0);
    g_subprocess_launcher_take_fd(launcher, line[1], 3);
    process = g_subprocess_launcher_spawnv(launcher, argv, &error);
    g_assert_no_error(error);
    g_object_unref(g_steal_pointer(&launcher));
    qmp = qmp_new(line[0], "QEMU");
    qmp_start(qmp, START_SECONDS, &error);
    g_assert_no_error(error);
    path = environment_of(g_subprocess_get_identifier(process), "PATH");
    g_assert_cmpstr(path, ==, OWN_PATH);
    roms = qmp_hmp(qmp, "info roms", &error);
    g_assert_no_error(error);
    g_assert_nonnull(strstr(roms, "bios"));
    qmp_run(qmp, &error, "quit", NULL);
    g_assert_no_error(error);
    g_assert_true(g_subprocess_wait_check(process, NULL, NULL));
    qmp_free(qmp);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qemu/run/lists-machines", lists_machines);
    g_test_add_func("/qemu/run/hands-on-words", hands_on_words);
    g_test_add_func("/qemu/run/names-what-is-not-built",
                    names_what_is_not_built);
    g_test_add_func("/qemu/run/starts-a-machine", starts_a_machine);
    return g_test_run();
}
