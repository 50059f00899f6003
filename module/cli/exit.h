/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the command ends: the code of a CLI_ERROR is the exit status. */
#ifndef SHMIG_CLI_EXIT_H
#define SHMIG_CLI_EXIT_H

#include <glib.h>

typedef enum CliExit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* it began, and could not be finished */
    CLI_USAGE = 2,  /* it was asked for what cannot be */
    CLI_CANNOT = 77 /* this machine lacks something */
} CliExit;

#define CLI_ERROR (cli_error_quark())
GQuark cli_error_quark(void);

/* *@errp, set by the library, as the command's own. */
void cli_error_set_code(GError **errp, CliExit code);

#endif
