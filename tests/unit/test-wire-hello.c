/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the hello: exact bytes, limits, and what is not a hello. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "shmig/wire/frame.h"

static const ShmigHello sample = {
    .version_min = 0x0102,
    .version_max = 0x0304,
    .refused = true,
    .session = { 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9,
                 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf },
    .channel = 5,
    .channels = 6,
};

static const uint8_t sample_bytes[SHMIG_HELLO_BYTES] = {
    0x89, 'S',  'H',  'M',  'I',  'G',  '\r', '\n', 0x02, 0x01,
    0x04, 0x03, 1,    0,    5,    0,    6,    0,    0,    0,
    0,    0,    0,    0,    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
};

/* Whether @hello is taken from the wire; if not, there is a reason. */
static bool taken(const ShmigHello *hello)
{
    uint8_t bytes[SHMIG_HELLO_BYTES];
    ShmigHello out;
    const char *why = NULL;
    int ret;

    shmig_hello_encode(hello, bytes);
    ret = shmig_hello_decode(bytes, &out, &why);
    g_assert_true(ret == 0 ? !why : ret == -EPROTO && why);
    return ret == 0;
}

static void test_bytes(void)
{
    uint8_t bytes[SHMIG_HELLO_BYTES];

    memset(bytes, 0xff, sizeof(bytes));
    shmig_hello_encode(&sample, bytes);
    g_assert_cmpmem(bytes, sizeof(bytes), sample_bytes, sizeof(sample_bytes));
}

static void test_round_trip(void)
{
    ShmigHello out;
    const char *why = NULL;

    g_assert_cmpint(shmig_hello_decode(sample_bytes, &out, &why), ==, 0);
    g_assert_cmpuint(out.version_min, ==, 0x0102);
    g_assert_cmpuint(out.version_max, ==, 0x0304);
    g_assert_true(out.refused);
    g_assert_cmpuint(out.channel, ==, 5);
    g_assert_cmpuint(out.channels, ==, 6);
    g_assert_cmpmem(out.session, sizeof(out.session), sample.session,
                    sizeof(sample.session));
}

static void test_channel_limits(void)
{
    static const struct {
        uint16_t channel, channels;
        bool ok;
    } cases[] = {
        { 0, 0, false },           { 0, 1, true },   { 1, 1, false },
        { 62, 64, true },          { 63, 64, true }, { 64, 64, false },
        { 62, 63, true },          { 0, 65, false }, { 0, UINT16_MAX, false },
        { UINT16_MAX, 64, false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShmigHello hello = sample;

        hello.channel = cases[i].channel;
        hello.channels = cases[i].channels;
        g_assert_cmpint(taken(&hello), ==, cases[i].ok);
    }
}

static void test_version_range(void)
{
    static const struct {
        uint16_t min, max;
        bool ok;
    } cases[] = {
        { 0, 0, false },
        { 0, 1, false },
        { 1, 0, false },
        { 1, 1, true },
        { 2, 1, false },
        { 1, UINT16_MAX, true },
        { UINT16_MAX, UINT16_MAX, true },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShmigHello hello = sample;

        hello.version_min = cases[i].min;
        hello.version_max = cases[i].max;
        g_assert_cmpint(taken(&hello), ==, cases[i].ok);
    }
}

/* Outside of its fields each single bit of a hello is checked. */
static void test_reserved_bits(void)
{
    for (size_t bit = 0; bit < SHMIG_HELLO_BYTES * 8; bit++) {
        size_t byte = bit / 8;
        bool field = (byte >= 8 && byte < 12) || bit == 12 * 8 ||
                     (byte >= 14 && byte < 18) || (byte >= 24 && byte < 40);
        uint8_t bytes[SHMIG_HELLO_BYTES];
        ShmigHello out, before;
        const char *why = NULL;

        if (field) {
            continue;
        }
        memcpy(bytes, sample_bytes, sizeof(bytes));
        bytes[byte] ^= 1u << (bit % 8);
        memset(&out, 0x5a, sizeof(out));
        before = out;
        g_assert_cmpint(shmig_hello_decode(bytes, &out, &why), ==, -EPROTO);
        g_assert_nonnull(why);
        g_assert_cmpmem(&out, sizeof(out), &before, sizeof(before));
    }
}

static void test_not_shmig(void)
{
    uint8_t bytes[SHMIG_HELLO_BYTES] = "GET / HTTP/1.1\r\n";
    ShmigHello out;
    const char *why = NULL;

    g_assert_cmpint(shmig_hello_decode(bytes, &out, &why), ==, -EPROTO);
    g_assert_nonnull(strstr(why, "does not speak shmig"));
}

static void test_version_choice(void)
{
    static const struct {
        uint16_t our_min, our_max, their_min, their_max, version;
    } cases[] = {
        { 1, 1, 1, 1, 1 },
        { 1, 3, 2, 5, 3 },
        { 2, 5, 1, 3, 3 },
        { 1, 2, 3, 4, 0 },
        { 3, 4, 1, 2, 0 },
        { 1, 9, 4, 5, 5 },
        { 1, 2, 2, 9, 2 },
        { 1, UINT16_MAX, UINT16_MAX, UINT16_MAX, UINT16_MAX },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ShmigHello ours = { .version_min = cases[i].our_min,
                            .version_max = cases[i].our_max };
        ShmigHello theirs = { .version_min = cases[i].their_min,
                              .version_max = cases[i].their_max };

        g_assert_cmpuint(shmig_hello_version(&ours, &theirs), ==,
                         cases[i].version);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/hello/bytes", test_bytes);
    g_test_add_func("/wire/hello/round-trip", test_round_trip);
    g_test_add_func("/wire/hello/channel-limits", test_channel_limits);
    g_test_add_func("/wire/hello/version-range", test_version_range);
    g_test_add_func("/wire/hello/reserved-bits", test_reserved_bits);
    g_test_add_func("/wire/hello/not-shmig", test_not_shmig);
    g_test_add_func("/wire/hello/version-choice", test_version_choice);
    return g_test_run();
}
