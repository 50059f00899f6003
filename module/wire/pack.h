/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between raw bytes and numbers or strings.  Nothing else in the project
 * touches bytes that came from a peer.
 *
 * Messages of a fixed layout use get and put on arrays of known size; those
 * of variable length use a reader, which never leaves its buffer, and a
 * writer, which grows.
 */
#ifndef SHMIG_WIRE_PACK_H
#define SHMIG_WIRE_PACK_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void shmig_put_u16(uint8_t *p, uint16_t value)
{
    uint16_t le = GUINT16_TO_LE(value);

    memcpy(p, &le, sizeof(le));
}

static inline void shmig_put_u32(uint8_t *p, uint32_t value)
{
    uint32_t le = GUINT32_TO_LE(value);

    memcpy(p, &le, sizeof(le));
}

static inline void shmig_put_u64(uint8_t *p, uint64_t value)
{
    uint64_t le = GUINT64_TO_LE(value);

    memcpy(p, &le, sizeof(le));
}

static inline uint16_t shmig_get_u16(const uint8_t *p)
{
    uint16_t le;

    memcpy(&le, p, sizeof(le));
    return GUINT16_FROM_LE(le);
}

static inline uint32_t shmig_get_u32(const uint8_t *p)
{
    uint32_t le;

    memcpy(&le, p, sizeof(le));
    return GUINT32_FROM_LE(le);
}

static inline uint64_t shmig_get_u64(const uint8_t *p)
{
    uint64_t le;

    memcpy(&le, p, sizeof(le));
    return GUINT64_FROM_LE(le);
}

/*
 * Reads a message from front to back.  What does not fit makes it fail for
 * good: from then on numbers are 0 and strings NULL, so that a caller may
 * check once after several reads.
 */
typedef struct ShmigReader {
    const uint8_t *next;
    size_t left;
    bool failed;
} ShmigReader;

void shmig_reader_init(ShmigReader *reader, const void *bytes, size_t length);
uint32_t shmig_reader_u32(ShmigReader *reader);
uint64_t shmig_reader_u64(ShmigReader *reader);

/* A string of at most @max bytes, in the reader's buffer and not terminated;
 * its length goes to *@length. */
const char *shmig_reader_bytes(ShmigReader *reader, size_t max, size_t *length);
/* The same, copied and terminated; one that holds a 0 byte fails. */
char *shmig_reader_string(ShmigReader *reader, size_t max);

/* Whether nothing failed and nothing is left. */
bool shmig_reader_done(const ShmigReader *reader);

/* Append to @out. */
void shmig_write_u32(GByteArray *out, uint32_t value);
void shmig_write_u64(GByteArray *out, uint64_t value);
/* @length is at most UINT16_MAX. */
void shmig_write_string(GByteArray *out, const char *text, size_t length);

#endif
