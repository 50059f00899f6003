/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines from a socket. */
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "line.h"
#include "loop.h"

struct LineReader {
    int fd;
    guint source; /* 0: closed */
    LineFn fn;
    void *opaque;
    GString *partial;
};

static void close_reader(LineReader *reader)
{
    if (reader->source) {
        g_source_remove(reader->source);
        reader->source = 0;
        close(reader->fd);
    }
}

static void take_lines(LineReader *reader)
{
    char *end;

    while ((end = strchr(reader->partial->str, '\n'))) {
        size_t length = end - reader->partial->str;
        g_autofree char *line = g_strndup(reader->partial->str, length);

        g_string_erase(reader->partial, 0, length + 1);
        g_strchomp(line);
        reader->fn(reader->opaque, line);
    }
}

static gboolean can_read(gint fd, GIOCondition condition, gpointer opaque)
{
    LineReader *reader = opaque;
    char data[4096];
    ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n <= 0) {
        close_reader(reader);
        reader->fn(reader->opaque, NULL);
        return G_SOURCE_REMOVE;
    }
    /* A NUL would hide what follows it; nobody sends one on purpose. */
    for (ssize_t i = 0; i < n; i++) {
        if (data[i]) {
            g_string_append_c(reader->partial, data[i]);
        }
    }
    take_lines(reader);
    return reader->source ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

LineReader *line_reader_new(int fd, LineFn fn, void *opaque)
{
    LineReader *reader = g_new0(LineReader, 1);

    reader->fd = fd;
    reader->fn = fn;
    reader->opaque = opaque;
    reader->partial = g_string_new(NULL);
    reader->source =
        g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, can_read, reader);
    return reader;
}

void line_reader_free(LineReader *reader)
{
    if (reader) {
        close_reader(reader);
        g_string_free(reader->partial, TRUE);
        g_free(reader);
    }
}

bool line_reader_closed(const LineReader *reader)
{
    return !reader->source;
}

bool line_send(LineReader *reader, const char *text, GError **errp)
{
    size_t length = strlen(text);

    if (!reader->source) {
        return harness_fail(errp, "the other side has closed the line");
    }
    while (length) {
        ssize_t n = send(reader->fd, text, length, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return harness_fail(errp, "cannot send: %s", g_strerror(errno));
        }
        text += n;
        length -= n;
    }
    return true;
}
