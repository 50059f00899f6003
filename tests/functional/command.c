/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the shmig command and keeps what it said. */
#include <errno.h>
#include <grp.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

#define NOBODY 65534

static char **split(const char *line)
{
    const char *command = g_getenv("SHMIG_COMMAND");
    g_autofree char *all = NULL;

    g_assert_nonnull(command);
    all = g_strconcat(command, " ", line, NULL);
    return g_strsplit(all, " ", -1);
}

static Said run(const char *line, char **env, GSpawnChildSetupFunc setup)
{
    g_auto(GStrv) argv = split(line);
    g_autoptr(GError) err = NULL;
    Said said = { 0 };
    int status;

    g_spawn_sync(NULL, argv, env, G_SPAWN_DEFAULT, setup, NULL, &said.out,
                 &said.err, &status, &err);
    g_assert_no_error(err);
    said.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return said;
}

Said command_run(const char *line)
{
    return run(line, NULL, NULL);
}

static void become_nobody(void *unused)
{
    if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0) {
        _exit(99);
    }
}

Said command_run_as_nobody(const char *line)
{
    return run(line, NULL, become_nobody);
}

Said command_run_with_path(const char *line, const char *path)
{
    g_auto(GStrv) env = g_environ_setenv(g_get_environ(), "PATH", path, TRUE);

    return run(line, env, NULL);
}

/* Reads until the terminal is closed; EIO is how Linux says that. */
static void read_terminal(int fd, GString *all, const char *text, pid_t pid)
{
    char buffer[512];
    bool sent = false;
    ssize_t n;

    while ((n = read(fd, buffer, sizeof(buffer))) > 0 ||
           (n < 0 && errno == EINTR)) {
        g_string_append_len(all, buffer, MAX(n, 0));
        if (!sent && strstr(all->str, text)) {
            g_assert_cmpint(kill(pid, SIGINT), ==, 0);
            sent = true;
        }
    }
    g_assert_true(sent);
}

static char *read_all(int fd)
{
    GString *all = g_string_new(NULL);
    char buffer[4096];
    ssize_t n;

    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        g_string_append_len(all, buffer, n);
    }
    return g_string_free(all, FALSE);
}

Said command_interrupt_at(const char *line, const char *text)
{
    g_auto(GStrv) argv = split(line);
    GString *terminal = g_string_new(NULL);
    Said said = { 0 };
    int out[2], master, slave, status;
    pid_t pid;

    g_assert_cmpint(pipe(out), ==, 0);
    g_assert_cmpint(openpty(&master, &slave, NULL, NULL, NULL), ==, 0);
    pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(slave, STDERR_FILENO);
        close(out[0]);
        close(out[1]);
        close(master);
        close(slave);
        execv(argv[0], argv);
        _exit(99);
    }
    g_assert_cmpint(pid, >, 0);
    close(out[1]);
    close(slave);
    /* The table fits a pipe: nobody has to read both at once. */
    read_terminal(master, terminal, text, pid);
    said.out = read_all(out[0]);
    said.err = g_string_free(terminal, FALSE);
    close(out[0]);
    close(master);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    said.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return said;
}

void said_clear(Said *said)
{
    g_free(said->out);
    g_free(said->err);
}
