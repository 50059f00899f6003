/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frame headers; docs/protocol.md, "Frames".  What each type may hold is one
 * row of a table.
 */
#include "shmig/wire/frame.h"

#include <errno.h>
#include <string.h>

#include "shmig/wire/pack.h"

static const uint8_t magic[4] = { 'S', 'H', 'M', 'F' };

enum {
    AT_TYPE = 4,
    AT_RESERVED = 5,
    AT_FLAGS = 6,
    AT_SEQUENCE = 8,
    AT_RECORDS = 12,
    AT_BODY = 16,
    AT_PAYLOAD = 20,
    AT_VALUE = 24,
};

typedef struct FrameRule {
    const char *name;
    uint16_t flags; /* that it may have */
    uint32_t body_min;
    uint32_t body_max;
    uint64_t value_min;
    uint64_t value_max;
    bool data; /* has records and a payload */
} FrameRule;

static const FrameRule rules[] = {
    [SHMIG_FRAME_OFFER] = { "OFFER", .body_min = 1,
                            .body_max = SHMIG_MAX_BODY },
    [SHMIG_FRAME_ANSWER] = { "ANSWER", .body_min = 1,
                             .body_max = SHMIG_MAX_BODY },
    [SHMIG_FRAME_GO] = { "GO" },
    [SHMIG_FRAME_DATA] = { "DATA", .data = true, .body_min = SHMIG_RECORD_BYTES,
                           .body_max = SHMIG_MAX_RECORDS * SHMIG_RECORD_BYTES },
    [SHMIG_FRAME_DRAIN] = { "DRAIN", .flags = SHMIG_FRAME_FINAL,
                            .value_max = UINT64_MAX },
    [SHMIG_FRAME_DRAINED] = { "DRAINED", .flags = SHMIG_FRAME_FINAL,
                              .value_max = UINT64_MAX },
    /* Without EOF at least one byte: see frame_problem(). */
    [SHMIG_FRAME_STREAM] = { "STREAM", .flags = SHMIG_FRAME_EOF,
                             .body_max = SHMIG_MAX_STREAM_BODY },
    [SHMIG_FRAME_CREDIT] = { "CREDIT", .value_min = 1,
                             .value_max = SHMIG_STREAM_WINDOW },
    [SHMIG_FRAME_READY] = { "READY" },
    [SHMIG_FRAME_COMMIT] = { "COMMIT" },
    [SHMIG_FRAME_RUNNING] = { "RUNNING" },
    [SHMIG_FRAME_ERROR] = { "ERROR", .body_min = 1,
                            .body_max = SHMIG_MAX_TEXT },
    [SHMIG_FRAME_APPLIED] = { "APPLIED", .value_min = 1,
                              .value_max = UINT64_MAX },
};

static const FrameRule *rule_of(uint8_t type)
{
    return type < G_N_ELEMENTS(rules) && rules[type].name ? &rules[type] : NULL;
}

const char *shmig_frame_name(uint8_t type)
{
    const FrameRule *rule = rule_of(type);

    return rule ? rule->name : "unknown";
}

void shmig_frame_encode(const ShmigFrame *frame, uint8_t out[SHMIG_FRAME_BYTES])
{
    memcpy(out, magic, sizeof(magic));
    out[AT_TYPE] = frame->type;
    out[AT_RESERVED] = 0;
    shmig_put_u16(out + AT_FLAGS, frame->flags);
    shmig_put_u32(out + AT_SEQUENCE, frame->sequence);
    shmig_put_u32(out + AT_RECORDS, frame->records);
    shmig_put_u32(out + AT_BODY, frame->body);
    shmig_put_u32(out + AT_PAYLOAD, frame->payload);
    shmig_put_u64(out + AT_VALUE, frame->value);
}

static const char *frame_problem(const ShmigFrame *frame)
{
    const FrameRule *rule = rule_of(frame->type);

    if (!rule) {
        return "frame: unknown type";
    }
    if (frame->flags & ~rule->flags) {
        return "frame: a flag that its type does not have";
    }
    if (frame->body < rule->body_min || frame->body > rule->body_max) {
        return "frame: the length of its body is out of range";
    }
    if (frame->value < rule->value_min || frame->value > rule->value_max) {
        return "frame: its value is out of range";
    }
    if (!rule->data && (frame->records || frame->payload)) {
        return "frame: records or payload where its type has none";
    }
    /* In 64 bits, where the product of the wire's number cannot wrap. */
    if (rule->data &&
        (uint64_t)frame->records * SHMIG_RECORD_BYTES != frame->body) {
        return "frame: body and number of records do not match";
    }
    if (frame->payload > SHMIG_MAX_PAYLOAD) {
        return "frame: the payload is too long";
    }
    if (frame->type == SHMIG_FRAME_STREAM && frame->body == 0 &&
        !(frame->flags & SHMIG_FRAME_EOF)) {
        return "frame: an empty STREAM without EOF";
    }
    return NULL;
}

int shmig_frame_decode(const uint8_t in[SHMIG_FRAME_BYTES], uint32_t sequence,
                       ShmigFrame *frame, const char **why)
{
    ShmigFrame f = {
        .type = in[AT_TYPE],
        .flags = shmig_get_u16(in + AT_FLAGS),
        .records = shmig_get_u32(in + AT_RECORDS),
        .body = shmig_get_u32(in + AT_BODY),
        .payload = shmig_get_u32(in + AT_PAYLOAD),
        .value = shmig_get_u64(in + AT_VALUE),
        .sequence = shmig_get_u32(in + AT_SEQUENCE),
    };
    const char *problem;

    if (memcmp(in, magic, sizeof(magic)) != 0) {
        problem = "frame: wrong magic; the connection is out of step";
    } else if (in[AT_RESERVED] != 0) {
        problem = "frame: a reserved byte is not zero";
    } else if (f.sequence != sequence) {
        problem = "frame: wrong sequence; a frame is lost or doubled";
    } else {
        problem = frame_problem(&f);
    }
    if (problem) {
        *why = problem;
        return -EPROTO;
    }
    *frame = f;
    return 0;
}
