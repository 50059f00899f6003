/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading and writing messages of variable length. */
#include "shmig/wire/pack.h"

void shmig_reader_init(ShmigReader *reader, const void *bytes, size_t length)
{
    reader->next = bytes;
    reader->left = length;
    reader->failed = false;
}

/* The next @n bytes, or NULL: the one place that checks and advances. */
static const uint8_t *take(ShmigReader *reader, size_t n)
{
    const uint8_t *p = reader->next;

    if (reader->failed || n > reader->left) {
        reader->failed = true;
        return NULL;
    }
    if (n > 0) {
        reader->next += n;
        reader->left -= n;
    }
    return p;
}

uint32_t shmig_reader_u32(ShmigReader *reader)
{
    const uint8_t *p = take(reader, sizeof(uint32_t));

    return p ? shmig_get_u32(p) : 0;
}

uint64_t shmig_reader_u64(ShmigReader *reader)
{
    const uint8_t *p = take(reader, sizeof(uint64_t));

    return p ? shmig_get_u64(p) : 0;
}

const char *shmig_reader_bytes(ShmigReader *reader, size_t max, size_t *length)
{
    const uint8_t *p = take(reader, sizeof(uint16_t));
    uint16_t n;

    if (!p) {
        return NULL;
    }
    n = shmig_get_u16(p);
    if (n > max) {
        reader->failed = true;
        return NULL;
    }
    p = take(reader, n);
    if (p) {
        *length = n;
    }
    return (const char *)p;
}

char *shmig_reader_string(ShmigReader *reader, size_t max)
{
    size_t length;
    const char *p = shmig_reader_bytes(reader, max, &length);

    if (!p) {
        return NULL;
    }
    if (memchr(p, '\0', length)) {
        reader->failed = true;
        return NULL;
    }
    return g_strndup(p, length);
}

bool shmig_reader_done(const ShmigReader *reader)
{
    return !reader->failed && reader->left == 0;
}

void shmig_write_u32(GByteArray *out, uint32_t value)
{
    uint8_t bytes[sizeof(value)];

    shmig_put_u32(bytes, value);
    g_byte_array_append(out, bytes, sizeof(bytes));
}

void shmig_write_u64(GByteArray *out, uint64_t value)
{
    uint8_t bytes[sizeof(value)];

    shmig_put_u64(bytes, value);
    g_byte_array_append(out, bytes, sizeof(bytes));
}

void shmig_write_string(GByteArray *out, const char *text, size_t length)
{
    uint8_t bytes[sizeof(uint16_t)];

    g_assert(length <= UINT16_MAX);
    shmig_put_u16(bytes, length);
    g_byte_array_append(out, bytes, sizeof(bytes));
    g_byte_array_append(out, (const uint8_t *)text, length);
}
