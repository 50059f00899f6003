/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the shmig command and keeps what it said. */
#ifndef FUNCTIONAL_COMMAND_H
#define FUNCTIONAL_COMMAND_H

#include <glib.h>

typedef struct Said {
    int status; /* exit status; -1: it ended otherwise */
    char *out, *err;
} Said;

/* @line: words after "shmig", none of them with a blank in it. */
Said command_run(const char *line);

/* As the user nobody; the test has to run as root. */
Said command_run_as_nobody(const char *line);

/* With that PATH. */
Said command_run_with_path(const char *line, const char *path);

/*
 * With standard error on a terminal: sends SIGINT as soon as @text was read
 * from there.  Said.err is what the terminal got.
 */
Said command_interrupt_at(const char *line, const char *text);

void said_clear(Said *said);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Said, said_clear)

#endif
