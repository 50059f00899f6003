/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A piece of QEMU's migration stream in memory, and what is said about it. */
#include "qemu/osdep.h"

#include "io/channel-buffer.h"
#include "monitor/monitor.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"

#include "stream.h"

GByteArray *stream_new(void)
{
    return g_byte_array_new();
}

void stream_put_u32(GByteArray *stream, uint32_t value)
{
    uint32_t be = cpu_to_be32(value);

    g_byte_array_append(stream, (const uint8_t *)&be, sizeof(be));
}

void stream_put_u64(GByteArray *stream, uint64_t value)
{
    uint64_t be = cpu_to_be64(value);

    g_byte_array_append(stream, (const uint8_t *)&be, sizeof(be));
}

void stream_put_name(GByteArray *stream, const char *name)
{
    uint8_t length = strlen(name);

    g_byte_array_append(stream, &length, 1);
    g_byte_array_append(stream, (const uint8_t *)name, length);
}

QEMUFile *stream_open(const GByteArray *stream, size_t length)
{
    QIOChannelBuffer *buffer = qio_channel_buffer_new(length);
    QEMUFile *f;

    g_assert_cmpuint(length, <=, stream->len);
    if (length) {
        memcpy(buffer->data, stream->data, length);
    }
    buffer->usage = length;
    f = qemu_file_new_input(QIO_CHANNEL(buffer));
    object_unref(OBJECT(buffer));
    return f;
}

/* --- in place of QEMU's, which print --- */

static GString *said;

int error_vprintf(const char *fmt, va_list ap)
{
    if (!said) {
        said = g_string_new(NULL);
    }
    g_string_append_vprintf(said, fmt, ap);
    return 0;
}

int error_vprintf_unless_qmp(const char *fmt, va_list ap)
{
    return error_vprintf(fmt, ap);
}

char *stream_said(void)
{
    char *text = said ? g_string_free(said, FALSE) : g_strdup("");

    said = NULL;
    return text;
}
