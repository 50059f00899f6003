/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text from and for a peer. */
#ifndef SHMIG_WIRE_TEXT_H
#define SHMIG_WIRE_TEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#include "shmig/wire/limits.h"

/*
 * The sentence that @bytes (any @length, NULL for 0) are, fit to be sent and
 * to be shown: UTF-8, one line, printable, 1 to SHMIG_MAX_TEXT bytes.  What
 * cannot be shown becomes "?", what is too long is cut, and nothing becomes
 * "no reason given".  Used on what a peer says and on what is said to one.
 */
char *shmig_text_clean(const void *bytes, size_t length);

/* Whether @name is UTF-8 and printable throughout. */
bool shmig_text_is_name(const char *name);

#endif
