/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of records, alone and as those of a frame. */
#include <errno.h>
#include <glib.h>
#include <string.h>

/* Both, so that the compiler compares what they say of stripes. */
#include "shmig/dirty/region.h"
#include "shmig/wire/frame.h"

#define STRIPE ((uint64_t)SHMIG_STRIPE_BYTES)
#define CHANNELS 3

enum { DATA = SHMIG_RECORD_DATA, ZERO = SHMIG_RECORD_ZERO };
enum { RAM, ODD_RAM, DISK, ODD_DISK, N_REGIONS };

static const ShmigRegionInfo regions[N_REGIONS] = {
    [RAM] = { false, 9 * STRIPE },
    [ODD_RAM] = { false, STRIPE + 4096 + 100 },
    [DISK] = { true, 9 * STRIPE },
    [ODD_DISK] = { true, 1000 },
};

static int check(const ShmigRecord *records, uint32_t n, uint32_t payload,
                 unsigned channel, const char **why)
{
    return shmig_records_check(records, n, payload, regions, N_REGIONS, channel,
                               CHANNELS, why);
}

/* Whether a frame of this one record, with the payload it needs, is taken
 * on @channel. */
static bool taken(unsigned channel, ShmigRecord record)
{
    const char *why = NULL;
    uint32_t payload = record.kind == DATA ? record.length : 0;
    int ret = check(&record, 1, payload, channel, &why);

    g_assert_true(ret == 0 ? !why : ret == -EPROTO && why);
    return ret == 0;
}

static void test_bytes(void)
{
    ShmigRecord record = { 0x01020304, ZERO, 0x1112131415161718,
                           0x2122232425262728 };
    uint8_t bytes[SHMIG_RECORD_BYTES];
    static const uint8_t expected[SHMIG_RECORD_BYTES] = {
        4,    3,    2,    1,    2,    0,    0,    0,    0x18, 0x17, 0x16, 0x15,
        0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
    };
    ShmigRecord out;
    const char *why = NULL;

    memset(bytes, 0xff, sizeof(bytes));
    shmig_record_encode(&record, bytes);
    g_assert_cmpmem(bytes, sizeof(bytes), expected, sizeof(expected));
    g_assert_cmpint(shmig_record_decode(bytes, &out, &why), ==, 0);
    g_assert_cmpuint(out.region, ==, record.region);
    g_assert_cmpuint(out.kind, ==, record.kind);
    g_assert_cmpuint(out.offset, ==, record.offset);
    g_assert_cmpuint(out.length, ==, record.length);
}

static bool decodes(const ShmigRecord *record)
{
    uint8_t bytes[SHMIG_RECORD_BYTES];
    ShmigRecord out;
    const char *why;

    shmig_record_encode(record, bytes);
    return shmig_record_decode(bytes, &out, &why) == 0;
}

static void test_kinds(void)
{
    for (unsigned kind = 0; kind <= UINT8_MAX; kind++) {
        ShmigRecord record = { 0, kind, 0, 4096 };

        g_assert_cmpint(decodes(&record), ==, kind == DATA || kind == ZERO);
        g_assert_cmpint(taken(0, record), ==, kind == DATA || kind == ZERO);
    }
}

static void test_reserved_bits(void)
{
    ShmigRecord record = { 0, DATA, 0, 4096 };
    uint8_t bytes[SHMIG_RECORD_BYTES];

    shmig_record_encode(&record, bytes);
    for (size_t bit = 5 * 8; bit < 8 * 8; bit++) {
        ShmigRecord out, before;
        const char *why = NULL;

        memset(&out, 0x5a, sizeof(out));
        before = out;
        bytes[bit / 8] ^= 1u << (bit % 8);
        g_assert_cmpint(shmig_record_decode(bytes, &out, &why), ==, -EPROTO);
        g_assert_nonnull(why);
        g_assert_cmpmem(&out, sizeof(out), &before, sizeof(before));
        bytes[bit / 8] ^= 1u << (bit % 8);
    }
}

static void test_length_limits(void)
{
    static const struct {
        uint8_t kind;
        uint64_t offset, length;
        bool ok;
    } cases[] = {
        { DATA, 0, 0, false },
        { ZERO, 0, 0, false },
        { DATA, 0, 1, true },
        { DATA, 0, SHMIG_MAX_PAYLOAD, true },
        { DATA, 0, SHMIG_MAX_PAYLOAD + 1, false },
        { ZERO, 0, UINT64_MAX, true },
        { ZERO, 1, UINT64_MAX, false },
        { ZERO, 2, UINT64_MAX - 1, false },
        { ZERO, UINT64_MAX, UINT64_MAX, false },
        { DATA, UINT64_MAX - 4096, 4095, true },
        { DATA, UINT64_MAX - 4096, 4096, true },
        { DATA, UINT64_MAX - 4096, 4097, false },
        { DATA, UINT64_MAX, 1, false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShmigRecord record = { 0, cases[i].kind, cases[i].offset,
                               cases[i].length };

        g_assert_cmpint(decodes(&record), ==, cases[i].ok);
    }
}

static void test_region_index(void)
{
    g_assert_true(taken(0, (ShmigRecord) { ODD_DISK, ZERO, 0, 1000 }));
    g_assert_false(taken(1, (ShmigRecord) { N_REGIONS, ZERO, 0, 4096 }));
    g_assert_false(taken(2, (ShmigRecord) { N_REGIONS + 1, ZERO, 0, 4096 }));
    g_assert_false(taken(0, (ShmigRecord) { UINT32_MAX, ZERO, 0, 4096 }));
}

static void test_no_regions(void)
{
    ShmigRecord record = { 0, ZERO, 0, 4096 };
    const char *why = NULL;

    g_assert_cmpint(shmig_records_check(&record, 1, 0, NULL, 0, 0, 1, &why), ==,
                    -EPROTO);
}

/* Stripe 8, the last one of region 0, is on channel 2. */
static void test_end_of_region(void)
{
    uint64_t end = 9 * STRIPE;

    g_assert_true(taken(2, (ShmigRecord) { RAM, DATA, end - 8192, 4096 }));
    g_assert_true(taken(2, (ShmigRecord) { RAM, DATA, end - 4096, 4096 }));
    g_assert_false(taken(2, (ShmigRecord) { RAM, DATA, end - 4096, 8192 }));
    g_assert_false(taken(2, (ShmigRecord) { RAM, ZERO, end - 4096, 8192 }));
    for (unsigned channel = 0; channel < CHANNELS; channel++) {
        g_assert_false(taken(channel, (ShmigRecord) { RAM, ZERO, end, 4096 }));
    }
}

static void test_wrap_around(void)
{
    static const struct {
        uint64_t offset, length;
    } cases[] = {
        { UINT64_MAX - 4095, 4096 },
        { UINT64_MAX - 4095, 8192 },
        { 4096, UINT64_MAX - 4095 },
        { 0, UINT64_MAX - 4095 },
        { UINT64_MAX, 1 },
        { UINT64_MAX, UINT64_MAX },
        { 0, 0 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (unsigned channel = 0; channel < CHANNELS; channel++) {
            ShmigRecord record = { RAM, ZERO, cases[i].offset,
                                   cases[i].length };

            g_assert_false(taken(channel, record));
        }
    }
}

static void test_alignment(void)
{
    static const struct {
        ShmigRecord record;
        unsigned channel;
        bool ok;
    } cases[] = {
        { { RAM, DATA, 0, 4096 }, 0, true },
        { { RAM, DATA, 512, 4096 }, 0, false },
        { { RAM, DATA, 0, 512 }, 0, false },
        { { RAM, DATA, 4095, 4097 }, 0, false },
        { { RAM, DATA, 4096, 4095 }, 0, false },
        { { RAM, ZERO, 4096, 4097 }, 0, false },
        { { DISK, DATA, 0, 512 }, 2, true },
        { { DISK, DATA, 512, 512 }, 2, true },
        { { DISK, DATA, 511, 513 }, 2, false },
        { { DISK, DATA, 512, 511 }, 2, false },
        { { DISK, ZERO, 512, 513 }, 2, false },
        /* The end of a region need not be aligned, its offsets do. */
        { { ODD_DISK, DATA, 512, 488 }, 0, true },
        { { ODD_DISK, DATA, 512, 487 }, 0, false },
        { { ODD_DISK, DATA, 512, 489 }, 0, false },
        { { ODD_DISK, DATA, 500, 500 }, 0, false },
        { { ODD_RAM, DATA, STRIPE + 4096, 100 }, 2, true },
        { { ODD_RAM, DATA, STRIPE + 4096, 99 }, 2, false },
        { { ODD_RAM, DATA, STRIPE + 4096, 101 }, 2, false },
        { { ODD_RAM, DATA, STRIPE, 4196 }, 2, true },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(taken(cases[i].channel, cases[i].record), ==,
                        cases[i].ok);
    }
}

static void test_data_within_one_stripe(void)
{
    ShmigRecord one = { RAM, DATA, STRIPE - 4096, 4096 };
    ShmigRecord two = { RAM, DATA, STRIPE - 4096, 8192 };
    ShmigRegionInfo region = { false, 4 * STRIPE };
    const char *why = NULL;

    g_assert_true(taken(0, one));
    g_assert_false(taken(0, two));
    /* Even with one channel, which all stripes belong to. */
    g_assert_cmpint(shmig_records_check(&two, 1, 8192, &region, 1, 0, 1, &why),
                    ==, -EPROTO);
}

static void test_stripe_on_its_channel(void)
{
    for (uint32_t id = 0; id < N_REGIONS; id++) {
        uint64_t stripes = (regions[id].length_bytes + STRIPE - 1) / STRIPE;

        for (uint64_t s = 0; s < stripes; s++) {
            uint64_t left = regions[id].length_bytes - s * STRIPE;
            ShmigRecord record = { id, DATA, s * STRIPE, MIN(left, 4096) };

            for (unsigned channel = 0; channel < CHANNELS; channel++) {
                g_assert_cmpint(taken(channel, record), ==,
                                shmig_stripe_channel(id, s, CHANNELS) ==
                                    channel);
            }
        }
    }
}

/* Region 0: the stripes 0, 3, 6 are on channel 0. */
static void test_zero_spans_stripes(void)
{
    g_assert_true(taken(0, (ShmigRecord) { RAM, ZERO, 0, STRIPE }));
    g_assert_false(taken(0, (ShmigRecord) { RAM, ZERO, 0, STRIPE + 4096 }));
    g_assert_false(taken(0, (ShmigRecord) { RAM, ZERO, 0, 3 * STRIPE }));
    g_assert_true(taken(0, (ShmigRecord) { RAM, ZERO, 0, 3 * STRIPE + 4096 }));
    g_assert_true(taken(0, (ShmigRecord) { RAM, ZERO, 0, 7 * STRIPE }));
    g_assert_false(taken(0, (ShmigRecord) { RAM, ZERO, 0, 9 * STRIPE }));
    g_assert_false(taken(0, (ShmigRecord) { RAM, ZERO, STRIPE - 4096, 8192 }));
    g_assert_true(
        taken(2, (ShmigRecord) { RAM, ZERO, 2 * STRIPE, 7 * STRIPE }));
    g_assert_false(
        taken(1, (ShmigRecord) { RAM, ZERO, 2 * STRIPE, 6 * STRIPE }));
}

/* A region id near the top must not wrap the sum in 32 bits. */
static void test_channel_of_high_region(void)
{
    uint32_t n = 70000;
    g_autofree ShmigRegionInfo *many = g_new(ShmigRegionInfo, n);
    const char *why = NULL;

    for (uint32_t i = 0; i < n; i++) {
        many[i] = (ShmigRegionInfo) { true, UINT64_MAX };
    }
    for (unsigned channel = 0; channel < 7; channel++) {
        uint64_t stripe = UINT64_MAX / STRIPE - 1;
        ShmigRecord record = { n - 1, DATA, stripe * STRIPE, 512 };
        int ret =
            shmig_records_check(&record, 1, 512, many, n, channel, 7, &why);

        g_assert_cmpint(ret == 0, ==, (n - 1 + stripe) % 7 == channel);
    }
}

static void test_ram_and_disk_do_not_mix(void)
{
    ShmigRecord records[] = {
        { RAM, DATA, 0, 4096 },
        { RAM, ZERO, 4096, 4096 },
        { DISK, DATA, STRIPE, 4096 },
    };
    const char *why = NULL;

    g_assert_cmpint(check(records, 2, 4096, 0, &why), ==, 0);
    g_assert_cmpint(check(records + 2, 1, 4096, 0, &why), ==, 0);
    g_assert_cmpint(check(records, 3, 8192, 0, &why), ==, -EPROTO);
    g_assert_nonnull(strstr(why, "RAM and disk"));
    g_assert_cmpint(check(records + 1, 2, 4096, 0, &why), ==, -EPROTO);
}

static void test_lengths_add_up(void)
{
    ShmigRecord records[] = {
        { RAM, DATA, 0, 4096 },
        { RAM, ZERO, 4096, 4096 },
        { RAM, DATA, 3 * STRIPE, 8192 },
    };
    const char *why = NULL;

    g_assert_cmpint(check(records, 3, 12288, 0, &why), ==, 0);
    g_assert_cmpint(check(records, 3, 12287, 0, &why), ==, -EPROTO);
    g_assert_cmpint(check(records, 3, 12289, 0, &why), ==, -EPROTO);
    g_assert_cmpint(check(records, 3, 16384, 0, &why), ==, -EPROTO);
    g_assert_cmpint(check(records, 3, 0, 0, &why), ==, -EPROTO);
    g_assert_cmpint(check(records + 1, 1, 0, 0, &why), ==, 0);
    g_assert_cmpint(check(records + 1, 1, 4096, 0, &why), ==, -EPROTO);
}

static void test_number_of_records(void)
{
    ShmigRecord records[SHMIG_MAX_RECORDS + 1];
    const char *why = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(records); i++) {
        records[i] = (ShmigRecord) { DISK, DATA, STRIPE + i * 512, 512 };
    }
    g_assert_cmpint(check(records, 0, 0, 0, &why), ==, -EPROTO);
    g_assert_cmpint(check(records, 1, 512, 0, &why), ==, 0);
    g_assert_cmpint(check(records, SHMIG_MAX_RECORDS - 1,
                          (SHMIG_MAX_RECORDS - 1) * 512, 0, &why),
                    ==, 0);
    g_assert_cmpint(
        check(records, SHMIG_MAX_RECORDS, SHMIG_MAX_RECORDS * 512, 0, &why), ==,
        0);
    g_assert_cmpint(check(records, SHMIG_MAX_RECORDS + 1,
                          (SHMIG_MAX_RECORDS + 1) * 512, 0, &why),
                    ==, -EPROTO);
}

/* The last of many is looked at like the first. */
static void test_one_bad_among_many(void)
{
    ShmigRecord records[SHMIG_MAX_RECORDS];
    const char *why = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(records); i++) {
        records[i] = (ShmigRecord) { RAM, ZERO, i * 4096, 4096 };
    }
    g_assert_cmpint(check(records, SHMIG_MAX_RECORDS, 0, 0, &why), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(records); i++) {
        records[i].length = 9 * STRIPE;
        g_assert_cmpint(check(records, SHMIG_MAX_RECORDS, 0, 0, &why), ==,
                        -EPROTO);
        records[i].length = 4096;
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/record/bytes", test_bytes);
    g_test_add_func("/wire/record/kinds", test_kinds);
    g_test_add_func("/wire/record/reserved-bits", test_reserved_bits);
    g_test_add_func("/wire/record/length-limits", test_length_limits);
    g_test_add_func("/wire/record/region-index", test_region_index);
    g_test_add_func("/wire/record/no-regions", test_no_regions);
    g_test_add_func("/wire/record/end-of-region", test_end_of_region);
    g_test_add_func("/wire/record/wrap-around", test_wrap_around);
    g_test_add_func("/wire/record/alignment", test_alignment);
    g_test_add_func("/wire/record/data-within-one-stripe",
                    test_data_within_one_stripe);
    g_test_add_func("/wire/record/stripe-on-its-channel",
                    test_stripe_on_its_channel);
    g_test_add_func("/wire/record/zero-spans-stripes", test_zero_spans_stripes);
    g_test_add_func("/wire/record/channel-of-high-region",
                    test_channel_of_high_region);
    g_test_add_func("/wire/record/ram-and-disk-do-not-mix",
                    test_ram_and_disk_do_not_mix);
    g_test_add_func("/wire/record/lengths-add-up", test_lengths_add_up);
    g_test_add_func("/wire/record/number-of-records", test_number_of_records);
    g_test_add_func("/wire/record/one-bad-among-many", test_one_bad_among_many);
    return g_test_run();
}
