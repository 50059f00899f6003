/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines from a socket, handed out as they arrive. */
#ifndef TESTS_QEMU_LINE_H
#define TESTS_QEMU_LINE_H

#include <glib.h>
#include <stdbool.h>

typedef struct LineReader LineReader;

/* A line without its end; NULL: the other side closed. */
typedef void (*LineFn)(void *opaque, const char *line);

/* Reads @fd, which it takes, from the default main context. */
LineReader *line_reader_new(int fd, LineFn fn, void *opaque);
void line_reader_free(LineReader *reader);

bool line_reader_closed(const LineReader *reader);

/* Writes @text as it is.  Both sides' buffers are far larger than anything
 * that is ever sent here, so it does not wait. */
bool line_send(LineReader *reader, const char *text, GError **errp);

#endif
