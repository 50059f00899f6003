/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the command ends. */
#include "exit.h"

G_DEFINE_QUARK(shmig - cli - error - quark, cli_error)

void cli_error_set_code(GError **errp, CliExit code)
{
    if (errp && *errp) {
        (*errp)->domain = CLI_ERROR;
        (*errp)->code = code;
    }
}
