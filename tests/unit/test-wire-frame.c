/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of frame headers: exact bytes, and the limits of each type. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "shmig/wire/frame.h"

#define ANY UINT64_MAX

static const ShmigFrame sample = {
    .type = SHMIG_FRAME_DATA,
    .records = 0x0102,
    .body = 0x0102 * SHMIG_RECORD_BYTES,
    .payload = 0x0a0b0c,
    .sequence = 0xf1f2f3f4,
};

static const uint8_t sample_bytes[SHMIG_FRAME_BYTES] = {
    'S', 'H', 'M', 'F', 4,    0,    0, 0, 0xf4, 0xf3, 0xf2, 0xf1,
    2,   1,   0,   0,   0x30, 0x18, 0, 0, 0x0c, 0x0b, 0x0a, 0,
};

static bool taken(const ShmigFrame *frame)
{
    uint8_t bytes[SHMIG_FRAME_BYTES];
    ShmigFrame out;
    const char *why = NULL;
    int ret;

    shmig_frame_encode(frame, bytes);
    ret = shmig_frame_decode(bytes, frame->sequence, &out, &why);
    if (ret == 0) {
        g_assert_null(why);
        g_assert_cmpuint(out.type, ==, frame->type);
        g_assert_cmpuint(out.flags, ==, frame->flags);
        g_assert_cmpuint(out.records, ==, frame->records);
        g_assert_cmpuint(out.body, ==, frame->body);
        g_assert_cmpuint(out.payload, ==, frame->payload);
        g_assert_cmpuint(out.value, ==, frame->value);
        return true;
    }
    g_assert_cmpint(ret, ==, -EPROTO);
    g_assert_nonnull(why);
    return false;
}

/* The limits of each type once more, as in docs/protocol.md. */
static const struct Limits {
    uint8_t type;
    uint16_t flags;
    uint32_t body_min, body_max;
    uint64_t value_min, value_max;
} limits[] = {
    { SHMIG_FRAME_OFFER, 0, 1, 1048576, 0, 0 },
    { SHMIG_FRAME_ANSWER, 0, 1, 1048576, 0, 0 },
    { SHMIG_FRAME_GO, 0, 0, 0, 0, 0 },
    { SHMIG_FRAME_DRAIN, SHMIG_FRAME_FINAL, 0, 0, 0, ANY },
    { SHMIG_FRAME_DRAINED, SHMIG_FRAME_FINAL, 0, 0, 0, ANY },
    { SHMIG_FRAME_STREAM, SHMIG_FRAME_EOF, 1, 65536, 0, 0 },
    { SHMIG_FRAME_CREDIT, 0, 0, 0, 1, 1048576 },
    { SHMIG_FRAME_READY, 0, 0, 0, 0, 0 },
    { SHMIG_FRAME_COMMIT, 0, 0, 0, 0, 0 },
    { SHMIG_FRAME_RUNNING, 0, 0, 0, 0, 0 },
    { SHMIG_FRAME_ERROR, 0, 1, 1024, 0, 0 },
    { SHMIG_FRAME_APPLIED, 0, 0, 0, 1, ANY },
};

static ShmigFrame smallest(const struct Limits *l)
{
    return (ShmigFrame) { .type = l->type,
                          .body = l->body_min,
                          .value = l->value_min };
}

static void test_bytes(void)
{
    uint8_t bytes[SHMIG_FRAME_BYTES];

    memset(bytes, 0xff, sizeof(bytes));
    shmig_frame_encode(&sample, bytes);
    g_assert_cmpmem(bytes, sizeof(bytes), sample_bytes, sizeof(sample_bytes));
}

static void test_bytes_of_value_and_flags(void)
{
    ShmigFrame frame = { .type = SHMIG_FRAME_DRAIN,
                         .flags = SHMIG_FRAME_FINAL,
                         .value = 0x0102030405060708 };
    uint8_t bytes[SHMIG_FRAME_BYTES];
    static const uint8_t expected[SHMIG_FRAME_BYTES] = {
        'S', 'H', 'M', 'F', 5, 0, 1, 0, [24] = 8, 7, 6, 5, 4, 3, 2, 1,
    };

    shmig_frame_encode(&frame, bytes);
    g_assert_cmpmem(bytes, sizeof(bytes), expected, sizeof(expected));
    g_assert_true(taken(&frame));
}

static void test_sequence(void)
{
    ShmigFrame out;
    const char *why = NULL;

    g_assert_cmpint(shmig_frame_decode(sample_bytes, 0xf1f2f3f4, &out, &why),
                    ==, 0);
    g_assert_cmpint(shmig_frame_decode(sample_bytes, 0xf1f2f3f3, &out, &why),
                    ==, -EPROTO);
    g_assert_cmpint(shmig_frame_decode(sample_bytes, 0xf1f2f3f5, &out, &why),
                    ==, -EPROTO);
}

/* Magic and reserved byte, bit by bit; the output stays as it was. */
static void test_reserved_bits(void)
{
    for (size_t bit = 0; bit < 48; bit++) {
        uint8_t bytes[SHMIG_FRAME_BYTES];
        ShmigFrame out, before;
        const char *why = NULL;

        if (bit / 8 == 4) {
            continue;
        }
        memcpy(bytes, sample_bytes, sizeof(bytes));
        bytes[bit / 8] ^= 1u << (bit % 8);
        memset(&out, 0x5a, sizeof(out));
        before = out;
        g_assert_cmpint(shmig_frame_decode(bytes, sample.sequence, &out, &why),
                        ==, -EPROTO);
        g_assert_cmpmem(&out, sizeof(out), &before, sizeof(before));
    }
}

static void test_unknown_type(void)
{
    for (unsigned type = 0; type <= UINT8_MAX; type++) {
        ShmigFrame frame = { .type = type, .body = 1 };
        bool known = type >= SHMIG_FRAME_OFFER && type <= SHMIG_FRAME_APPLIED;

        if (!known) {
            g_assert_false(taken(&frame));
        }
        g_assert_cmpint(strcmp(shmig_frame_name(type), "unknown") != 0, ==,
                        known);
    }
}

static void test_flags(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        for (unsigned bit = 0; bit < 16; bit++) {
            ShmigFrame frame = smallest(&limits[i]);

            frame.flags = 1u << bit;
            g_assert_cmpint(taken(&frame), ==,
                            (frame.flags & limits[i].flags) != 0);
        }
    }
}

static void test_body_limits(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        const struct Limits *l = &limits[i];
        ShmigFrame frame = smallest(l);

        g_assert_true(taken(&frame));
        if (l->body_max > l->body_min) {
            frame.body = l->body_max - 1;
            g_assert_true(taken(&frame));
        }
        frame.body = l->body_max;
        g_assert_true(taken(&frame));
        frame.body = l->body_max + 1;
        g_assert_false(taken(&frame));
        frame.body = UINT32_MAX;
        g_assert_false(taken(&frame));
        if (l->body_min > 0) {
            frame.body = l->body_min - 1;
            g_assert_false(taken(&frame));
        }
    }
}

static void test_value_limits(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        const struct Limits *l = &limits[i];
        ShmigFrame frame = smallest(l);

        frame.value = l->value_max;
        g_assert_true(taken(&frame));
        frame.value = l->value_max + 1; /* 0 after ANY */
        g_assert_cmpint(taken(&frame), ==,
                        l->value_max == ANY && l->value_min == 0);
        if (l->value_min > 0) {
            frame.value = l->value_min - 1;
            g_assert_false(taken(&frame));
        }
        frame.value = UINT64_MAX;
        g_assert_cmpint(taken(&frame), ==, l->value_max == ANY);
    }
}

static void test_records_only_in_data(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        ShmigFrame frame = smallest(&limits[i]);

        frame.records = 1;
        g_assert_false(taken(&frame));
        frame.records = 0;
        frame.payload = 1;
        g_assert_false(taken(&frame));
    }
}

static void test_data_limits(void)
{
    static const struct {
        uint32_t records, body, payload;
        bool ok;
    } cases[] = {
        { 0, 0, 0, false },
        { 0, 24, 0, false },
        { 1, 24, 0, true },
        { 1, 23, 0, false },
        { 1, 25, 0, false },
        { 2, 24, 0, false },
        { 511, 511 * 24, 0, true },
        { 512, 512 * 24, 0, true },
        { 513, 513 * 24, 0, false },
        { 1, 24, 1048575, true },
        { 1, 24, 1048576, true },
        { 1, 24, 1048577, false },
        { 1, 24, UINT32_MAX, false },
        /* 24 × 0x20000001 is 24 in 32 bits. */
        { 0x20000001, 24, 0, false },
        { UINT32_MAX, UINT32_MAX, 0, false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShmigFrame frame = { .type = SHMIG_FRAME_DATA,
                             .records = cases[i].records,
                             .body = cases[i].body,
                             .payload = cases[i].payload };

        g_assert_cmpint(taken(&frame), ==, cases[i].ok);
    }
}

static void test_data_without_flags_and_value(void)
{
    ShmigFrame frame = sample;

    g_assert_true(taken(&frame));
    frame.flags = SHMIG_FRAME_FINAL;
    g_assert_false(taken(&frame));
    frame.flags = 0;
    frame.value = 1;
    g_assert_false(taken(&frame));
}

static void test_stream_may_end_empty(void)
{
    ShmigFrame frame = { .type = SHMIG_FRAME_STREAM };

    g_assert_false(taken(&frame));
    frame.flags = SHMIG_FRAME_EOF;
    g_assert_true(taken(&frame));
    frame.body = SHMIG_MAX_STREAM_BODY;
    g_assert_true(taken(&frame));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/frame/bytes", test_bytes);
    g_test_add_func("/wire/frame/bytes-of-value-and-flags",
                    test_bytes_of_value_and_flags);
    g_test_add_func("/wire/frame/sequence", test_sequence);
    g_test_add_func("/wire/frame/reserved-bits", test_reserved_bits);
    g_test_add_func("/wire/frame/unknown-type", test_unknown_type);
    g_test_add_func("/wire/frame/flags", test_flags);
    g_test_add_func("/wire/frame/body-limits", test_body_limits);
    g_test_add_func("/wire/frame/value-limits", test_value_limits);
    g_test_add_func("/wire/frame/records-only-in-data",
                    test_records_only_in_data);
    g_test_add_func("/wire/frame/data-limits", test_data_limits);
    g_test_add_func("/wire/frame/data-without-flags-and-value",
                    test_data_without_flags_and_value);
    g_test_add_func("/wire/frame/stream-may-end-empty",
                    test_stream_may_end_empty);
    return g_test_run();
}
