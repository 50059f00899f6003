/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data that does not belong where it claims to: a destination says what is
 * wrong with it on every channel, and not one byte of it lands anywhere.
 */
#include "raw-source.h"

#include <string.h>

#define MIB (1u << 20)
#define PAGE 4096u
#define STRIPE (2u * MIB)
#define DATA SHMIG_RECORD_DATA
#define ZERO SHMIG_RECORD_ZERO

/* Of two channels: stripes 0 and 2 of RAM, and 1 of the disk are channel 0's,
 * the others channel 1's. */
typedef struct BadRecord {
    const char *name;
    const char *sentence;
    unsigned channel;
    ShmigRecord record;
} BadRecord;

static const BadRecord bad_records[] = {
    { "region/limit", "no such region", 0, { 2, DATA, 0, PAGE } },
    { "region/max", "no such region", 0, { UINT32_MAX, ZERO, 0, PAGE } },
    { "ram/past-end",
      "within the region",
      0,
      { RAW_RAM, DATA, 2 * STRIPE, 41 } },
    { "ram/after-end",
      "within the region",
      0,
      { RAW_RAM, DATA, 2 * STRIPE + PAGE, PAGE } },
    { "ram/far-away",
      "within the region",
      0,
      { RAW_RAM, DATA, (1ull << 62), PAGE } },
    { "ram/sign",
      "within the region",
      0,
      { RAW_RAM, DATA, (1ull << 63), PAGE } },
    { "ram/wraps-to-0",
      "wraps around",
      0,
      { RAW_RAM, DATA, UINT64_MAX - PAGE + 1, PAGE } },
    { "ram/wraps",
      "wraps around",
      0,
      { RAW_RAM, DATA, UINT64_MAX - PAGE + 1, 2 * PAGE } },
    { "ram/zero-wraps",
      "wraps around",
      0,
      { RAW_RAM, ZERO, PAGE, UINT64_MAX - PAGE + 1 } },
    { "ram/zero-past-end",
      "within the region",
      0,
      { RAW_RAM, ZERO, 0, RAW_RAM_BYTES + 1 } },
    { "ram/zero-all",
      "within the region",
      0,
      { RAW_RAM, ZERO, 0, UINT64_MAX } },
    { "ram/length-0", "empty", 0, { RAW_RAM, DATA, 0, 0 } },
    { "ram/zero-length-0", "empty", 0, { RAW_RAM, ZERO, PAGE, 0 } },
    { "ram/unaligned", "not aligned", 0, { RAW_RAM, DATA, 512, PAGE } },
    { "ram/unaligned-end", "not aligned", 0, { RAW_RAM, DATA, 0, PAGE - 1 } },
    { "ram/short-of-end", "not aligned", 0, { RAW_RAM, DATA, 2 * STRIPE, 39 } },
    { "ram/two-stripes",
      "more than one stripe",
      0,
      { RAW_RAM, DATA, STRIPE - PAGE, 2 * PAGE } },
    { "ram/too-long",
      "longer than any payload",
      0,
      { RAW_RAM, DATA, 0, MIB + PAGE } },
    { "ram/wrong-channel-0",
      "wrong channel",
      0,
      { RAW_RAM, DATA, STRIPE, PAGE } },
    { "ram/wrong-channel-1", "wrong channel", 1, { RAW_RAM, DATA, 0, PAGE } },
    { "ram/zero-last-stripe",
      "wrong channel",
      0,
      { RAW_RAM, ZERO, 0, 2 * STRIPE } },
    { "ram/zero-first-stripe",
      "wrong channel",
      0,
      { RAW_RAM, ZERO, STRIPE, STRIPE + 40 } },
    { "kind/0", "unknown kind", 0, { RAW_RAM, 0, 0, PAGE } },
    { "kind/3", "unknown kind", 1, { RAW_RAM, 3, 0, PAGE } },
    { "disk/past-end",
      "within the region",
      1,
      { RAW_DISK, DATA, RAW_DISK_BYTES - 512, 1024 } },
    { "disk/limit",
      "within the region",
      1,
      { RAW_DISK, DATA, RAW_DISK_BYTES, 512 } },
    { "disk/unaligned", "not aligned", 1, { RAW_DISK, DATA, 256, 512 } },
    { "disk/unaligned-end", "not aligned", 1, { RAW_DISK, DATA, 512, 511 } },
    { "disk/wrong-channel", "wrong channel", 0, { RAW_DISK, DATA, 0, 512 } },
    { "disk/zero-wrong-channel",
      "wrong channel",
      0,
      { RAW_DISK, ZERO, STRIPE, STRIPE + 512 } },
    { "disk/zero-past-end",
      "within the region",
      1,
      { RAW_DISK, ZERO, 0, RAW_DISK_BYTES + 512 } },
};

static void test_bad_record(gconstpointer opaque)
{
    const BadRecord *bad = opaque;
    RawSource *raw = raw_source_new(2, false);

    raw_source_going(raw);
    raw_send_data(&raw->peer[bad->channel], &bad->record, 1, 0x66);
    raw_source_expect_told(raw, bad->sentence);
    raw_source_expect_untouched(raw);
    raw_source_free(raw);
}

/* One bad record among many good ones: not even those take effect. */
static void test_bad_record_comes_last(void)
{
    RawSource *raw = raw_source_new(2, true);
    ShmigRecord records[SHMIG_MAX_RECORDS];

    for (unsigned i = 0; i < SHMIG_MAX_RECORDS; i++) {
        records[i] = raw_record(RAW_RAM, i % 64 ? ZERO : DATA, i * PAGE, PAGE);
    }
    records[SHMIG_MAX_RECORDS - 1].offset = STRIPE;
    raw_source_going(raw);
    raw_send_data(&raw->peer[0], records, SHMIG_MAX_RECORDS, 0x66);
    raw_source_expect_told(raw, "wrong channel");
    raw_source_expect_untouched(raw);
    raw_source_free(raw);
}

static void test_ram_and_disk_in_one_frame(void)
{
    RawSource *raw = raw_source_new(1, false);
    const ShmigRecord records[] = {
        { RAW_RAM, DATA, 0, PAGE },
        { RAW_DISK, DATA, 0, 512 },
    };

    raw_source_going(raw);
    raw_send_data(&raw->peer[0], records, 2, 0x66);
    raw_source_expect_told(raw, "RAM and disk in one frame");
    raw_source_expect_untouched(raw);
    raw_source_free(raw);
}

/* Headers that lie, of a frame with one good record. */
typedef struct BadHeader {
    const char *name;
    const char *sentence;
    ShmigFrame frame;
} BadHeader;

static const BadHeader bad_headers[] = {
    { "payload/short",
      "do not add up",
      { .records = 1, .body = 24, .payload = PAGE - 1 } },
    { "payload/long",
      "do not add up",
      { .records = 1, .body = 24, .payload = PAGE + 1 } },
    { "payload/none", "do not add up", { .records = 1, .body = 24 } },
    { "payload/limit",
      "payload is too long",
      { .records = 1, .body = 24, .payload = MIB + 1 } },
    { "payload/max",
      "payload is too long",
      { .records = 1, .body = 24, .payload = UINT32_MAX } },
    { "records/none", "length of its body", { .payload = PAGE } },
    { "records/few",
      "do not match",
      { .records = 1, .body = 48, .payload = PAGE } },
    { "records/wrap",
      "do not match",
      { .records = 0x80000001, .body = 24, .payload = PAGE } },
    { "records/limit",
      "length of its body",
      { .records = 513, .body = 513 * 24, .payload = PAGE } },
    { "body/max",
      "length of its body",
      { .records = 1, .body = UINT32_MAX, .payload = PAGE } },
    { "value",
      "value is out of range",
      { .records = 1, .body = 24, .payload = PAGE, .value = 1 } },
    { "flags",
      "flag",
      { .records = 1, .body = 24, .payload = PAGE, .flags = 1 } },
    { "sequence/again",
      "wrong sequence",
      { .records = 1, .body = 24, .payload = PAGE, .sequence = -1 } },
    { "sequence/skipped",
      "wrong sequence",
      { .records = 1, .body = 24, .payload = PAGE, .sequence = 1 } },
    { "sequence/far",
      "wrong sequence",
      { .records = 1, .body = 24, .payload = PAGE, .sequence = 1u << 31 } },
};

static void test_bad_header(gconstpointer opaque)
{
    const BadHeader *bad = opaque;
    RawSource *raw = raw_source_new(1, false);
    const ShmigRecord record = { RAW_RAM, DATA, 0, PAGE };
    g_autofree uint8_t *rest = g_malloc0(24 + PAGE);
    ShmigFrame frame = bad->frame;
    g_autoptr(GByteArray) out = g_byte_array_new();

    raw_source_going(raw);
    frame.type = SHMIG_FRAME_DATA;
    frame.sequence += raw->peer[0].tx_sequence;
    raw_add_frame(out, &frame, NULL, NULL);
    shmig_record_encode(&record, rest);
    g_byte_array_append(out, rest, 24 + PAGE);
    raw_write_array(&raw->peer[0], out);
    raw_source_expect_told(raw, bad->sentence);
    raw_source_expect_untouched(raw);
    raw_source_free(raw);
}

static void drain(RawSource *raw, unsigned channel)
{
    ShmigFrame frame = { .type = SHMIG_FRAME_DRAIN, .value = UINT64_MAX };

    g_assert_true(raw_send(&raw->peer[channel], frame, NULL));
    frame = raw_expect(&raw->peer[channel], SHMIG_FRAME_DRAINED);
    g_assert_cmpuint(frame.value, ==, UINT64_MAX);
    g_assert_cmpuint(frame.flags, ==, 0);
}

static void check_ram(RawSource *raw, uint64_t offset, uint64_t length,
                      uint8_t bytes)
{
    g_autofree uint8_t *want = g_malloc(length);

    memset(want, bytes, length);
    g_assert_cmpmem(raw->ram + offset, length, want, length);
}

/* The last bytes that are still allowed. */
static void test_limits_are_legal(void)
{
    RawSource *raw = raw_source_new(2, false);
    ShmigRecord records[2];

    raw_source_going(raw);
    records[0] = raw_record(RAW_RAM, DATA, 2 * STRIPE, 40);
    records[1] = raw_record(RAW_RAM, DATA, STRIPE - PAGE, PAGE);
    g_assert_true(raw_send_data(&raw->peer[0], records, 2, 0x11));
    records[0] = raw_record(RAW_RAM, DATA, STRIPE, MIB);
    g_assert_true(raw_send_data(&raw->peer[1], records, 1, 0x22));
    records[0] = raw_record(RAW_DISK, DATA, RAW_DISK_BYTES - 512, 512);
    g_assert_true(raw_send_data(&raw->peer[1], records, 1, 0x33));
    drain(raw, 0);
    drain(raw, 1);
    raw_source_end(raw);
    check_ram(raw, 0, STRIPE - PAGE, RAW_OLD);
    check_ram(raw, STRIPE - PAGE, PAGE, 0x11);
    check_ram(raw, STRIPE, MIB, 0x22);
    check_ram(raw, STRIPE + MIB, MIB, RAW_OLD);
    check_ram(raw, 2 * STRIPE, 40, 0x11);
    check_ram(raw, 2 * STRIPE + 40, PAGE - 40, RAW_OLD);
    g_assert_cmpuint(fake_disk_done_bytes(raw->disk, SHMIG_DISK_WRITE), ==,
                     512);
    g_assert_true(fake_disk_changed(raw->disk, RAW_DISK_BYTES - 512, 512));
    raw_source_free(raw);
}

/* A zero record means its own channel's stripes only. */
static void test_zero_spans_stripes(void)
{
    RawSource *raw = raw_source_new(2, false);
    ShmigRecord record = raw_record(RAW_RAM, ZERO, 0, RAW_RAM_BYTES);

    raw_source_going(raw);
    g_assert_true(raw_send_data(&raw->peer[0], &record, 1, 0));
    record = raw_record(RAW_DISK, ZERO, 0, RAW_DISK_BYTES);
    g_assert_true(raw_send_data(&raw->peer[1], &record, 1, 0));
    drain(raw, 0);
    drain(raw, 1);
    raw_source_end(raw);
    check_ram(raw, 0, STRIPE, 0);
    check_ram(raw, STRIPE, STRIPE, RAW_OLD);
    check_ram(raw, 2 * STRIPE, 40, 0);
    check_ram(raw, 2 * STRIPE + 40, PAGE - 40, RAW_OLD);
    g_assert_true(fake_disk_changed(raw->disk, 0, STRIPE));
    g_assert_false(fake_disk_changed(raw->disk, STRIPE, 512));
    g_assert_false(fake_disk_changed(raw->disk, 2 * STRIPE - 512, 512));
    g_assert_true(fake_disk_changed(raw->disk, 2 * STRIPE, STRIPE));
    raw_source_free(raw);
}

static void test_nothing_but_rubbish(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(7);
    uint8_t bytes[4096];

    for (unsigned round = 0; round < 20; round++) {
        RawSource *raw = raw_source_new(2, round % 2);

        raw_source_going(raw);
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            bytes[i] = g_rand_int(random);
        }
        raw_write(&raw->peer[round % 2], bytes, sizeof(bytes));
        raw_source_expect_told(raw, "wrong magic");
        raw_source_expect_untouched(raw);
        raw_source_free(raw);
    }
}

/* Good frames with one byte changed: never more than what they may touch. */
static void test_one_byte_changed(void)
{
    const ShmigRecord record = { RAW_RAM, DATA, 2 * STRIPE, 40 };
    g_autoptr(GByteArray) good = g_byte_array_new();

    raw_add_data(good, 1, &record, 1, 0x66);
    for (unsigned at = 0; at < SHMIG_FRAME_BYTES + SHMIG_RECORD_BYTES; at++) {
        RawSource *raw = raw_source_new(1, false);

        raw_source_going(raw);
        good->data[at] ^= 0x80;
        raw_write_array(&raw->peer[0], good);
        good->data[at] ^= 0x80;
        raw_peer_end(&raw->peer[0]);
        raw_source_expect_failure(raw, "");
        raw_source_end(raw);
        check_ram(raw, 0, 2 * STRIPE, RAW_OLD);
        check_ram(raw, 2 * STRIPE + 40, PAGE - 40, RAW_OLD);
        raw_source_free(raw);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_records); i++) {
        g_autofree char *path =
            g_strconcat("/session/data/record/", bad_records[i].name, NULL);

        g_test_add_data_func(path, &bad_records[i], test_bad_record);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_headers); i++) {
        g_autofree char *path =
            g_strconcat("/session/data/header/", bad_headers[i].name, NULL);

        g_test_add_data_func(path, &bad_headers[i], test_bad_header);
    }
    g_test_add_func("/session/data/record/last-of-many",
                    test_bad_record_comes_last);
    g_test_add_func("/session/data/ram-and-disk",
                    test_ram_and_disk_in_one_frame);
    g_test_add_func("/session/data/limits", test_limits_are_legal);
    g_test_add_func("/session/data/zero-spans-stripes",
                    test_zero_spans_stripes);
    g_test_add_func("/session/data/rubbish", test_nothing_but_rubbish);
    g_test_add_func("/session/data/one-byte-changed", test_one_byte_changed);
    return g_test_run();
}
