/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line on a terminal that says what is going on; nothing elsewhere. */
#ifndef SHMIG_CLI_PROGRESS_H
#define SHMIG_CLI_PROGRESS_H

#include <glib.h>

/* Replaces the line; the cursor stays on it. */
void progress_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Takes it away. */
void progress_end(void);

#endif
