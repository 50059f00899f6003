/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hello, frame headers and records: every fixed-size piece of the protocol,
 * between bytes and structures.  docs/protocol.md is the specification; what
 * the numbers here must be within is checked here, once.
 *
 * Decoders take untrusted bytes: they return 0, or -EPROTO with a constant
 * sentence in *why; outputs are untouched then.
 */
#ifndef SHMIG_WIRE_FRAME_H
#define SHMIG_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shmig/wire/limits.h"

typedef struct ShmigHello {
    uint16_t version_min;
    uint16_t version_max;
    bool refused; /* replies only: an ERROR frame follows */
    uint8_t session[SHMIG_SESSION_ID_BYTES];
    uint16_t channel; /* index of this connection */
    uint16_t channels;
} ShmigHello;

void shmig_hello_encode(const ShmigHello *hello,
                        uint8_t out[SHMIG_HELLO_BYTES]);
int shmig_hello_decode(const uint8_t in[SHMIG_HELLO_BYTES], ShmigHello *hello,
                       const char **why);
/* The version both ranges allow, or 0. */
uint16_t shmig_hello_version(const ShmigHello *ours, const ShmigHello *theirs);

typedef enum ShmigFrameType {
    SHMIG_FRAME_OFFER = 1,    /* S→D, channel 0: body is the offer */
    SHMIG_FRAME_ANSWER = 2,   /* D→S, channel 0: body is the answer */
    SHMIG_FRAME_GO = 3,       /* D→S, channel 0: RAM is in place, send */
    SHMIG_FRAME_DATA = 4,     /* S→D: records and their payload */
    SHMIG_FRAME_DRAIN = 5,    /* S→D, every channel: value is the number */
    SHMIG_FRAME_DRAINED = 6,  /* D→S, same channel: all before is applied */
    SHMIG_FRAME_STREAM = 7,   /* both, channel 0: bytes of the stream */
    SHMIG_FRAME_CREDIT = 8,   /* both, channel 0: value is bytes */
    SHMIG_FRAME_READY = 9,    /* D→S, channel 0 */
    SHMIG_FRAME_COMMIT = 10,  /* S→D, channel 0 */
    SHMIG_FRAME_RUNNING = 11, /* D→S, channel 0 */
    SHMIG_FRAME_ERROR = 12,   /* both: body is a UTF-8 sentence; the end */
    SHMIG_FRAME_APPLIED = 13, /* D→S, every channel: value is bytes */
} ShmigFrameType;

#define SHMIG_FRAME_FINAL 0x1 /* DRAIN/DRAINED: the last, and durable */
#define SHMIG_FRAME_EOF 0x2   /* STREAM: its end, no more of it follows */

typedef struct ShmigFrame {
    uint8_t type;
    uint16_t flags;
    uint32_t records;  /* DATA only, else 0 */
    uint32_t body;     /* bytes that follow: the body, or records × 24 */
    uint32_t payload;  /* DATA only: bytes after the records, else 0 */
    uint64_t value;    /* DRAIN, DRAINED: its number; else: bytes */
    uint32_t sequence; /* of this direction of this connection, from 0 */
} ShmigFrame;

void shmig_frame_encode(const ShmigFrame *frame,
                        uint8_t out[SHMIG_FRAME_BYTES]);
/* Checks magic, type, flags, that body, payload and value keep the type's
 * limits, and that @sequence is the expected one. */
int shmig_frame_decode(const uint8_t in[SHMIG_FRAME_BYTES], uint32_t sequence,
                       ShmigFrame *frame, const char **why);
const char *shmig_frame_name(uint8_t type);

typedef enum ShmigRecordKind {
    SHMIG_RECORD_DATA = 1, /* @length bytes of the payload */
    /*
     * Zeroes.  May span many stripes, of which it means those that belong to
     * the channel it came on.
     */
    SHMIG_RECORD_ZERO = 2,
} ShmigRecordKind;

typedef struct ShmigRecord {
    uint32_t region;
    uint8_t kind;
    uint64_t offset;
    uint64_t length;
} ShmigRecord;

void shmig_record_encode(const ShmigRecord *record,
                         uint8_t out[SHMIG_RECORD_BYTES]);
int shmig_record_decode(const uint8_t in[SHMIG_RECORD_BYTES],
                        ShmigRecord *record, const char **why);

/* What a receiver knows about its regions. */
typedef struct ShmigRegionInfo {
    bool disk; /* else RAM */
    uint64_t length_bytes;
} ShmigRegionInfo;

/*
 * The one validator of a DATA frame's records: each region exists, all are
 * of one kind, ranges lie within the region and keep its alignment (RAM 4096,
 * disk 512, or the region's end), a DATA record lies within one stripe, a
 * DATA record's stripe (a ZERO record's first and last stripe) belongs to
 * @channel, and the lengths of the DATA records add up to @payload.
 */
int shmig_records_check(const ShmigRecord *records, uint32_t n,
                        uint32_t payload, const ShmigRegionInfo *regions,
                        uint32_t n_regions, unsigned channel, unsigned channels,
                        const char **why);

#endif
