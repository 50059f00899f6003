/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the reader: it stops at the end of its buffer, for good. */
#include <glib.h>

#include "shmig/wire/pack.h"

static const uint8_t count_up[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

static void test_numbers(void)
{
    ShmigReader r;

    shmig_reader_init(&r, count_up, sizeof(count_up));
    g_assert_cmphex(shmig_reader_u32(&r), ==, 0x04030201);
    g_assert_false(shmig_reader_done(&r));
    g_assert_cmphex(shmig_reader_u64(&r), ==, 0x0c0b0a0908070605);
    g_assert_true(shmig_reader_done(&r));
}

static void test_number_past_end(void)
{
    for (size_t n = 0; n < 12; n++) {
        g_autofree uint8_t *bytes = g_memdup2(count_up, n);
        ShmigReader r;

        shmig_reader_init(&r, bytes, n);
        shmig_reader_u32(&r);
        g_assert_cmphex(shmig_reader_u64(&r), ==, 0);
        g_assert_true(r.failed);
    }
}

/* What would fit after what did not is not read either. */
static void test_fails_for_good(void)
{
    ShmigReader r;

    shmig_reader_init(&r, count_up, 4);
    g_assert_cmphex(shmig_reader_u64(&r), ==, 0);
    g_assert_cmphex(shmig_reader_u32(&r), ==, 0);
    g_assert_null(shmig_reader_string(&r, 10));
    g_assert_false(shmig_reader_done(&r));
}

static void test_string_limit(void)
{
    static const uint8_t bytes[] = { 3, 0, 'a', 'b', 'c' };

    for (size_t max = 2; max <= 4; max++) {
        ShmigReader r;
        g_autofree char *s = NULL;

        shmig_reader_init(&r, bytes, sizeof(bytes));
        s = shmig_reader_string(&r, max);
        g_assert_cmpstr(s, ==, max < 3 ? NULL : "abc");
        g_assert_cmpint(shmig_reader_done(&r), ==, max >= 3);
    }
}

static void test_string_past_end(void)
{
    static const uint8_t bytes[] = { 3, 0, 'a', 'b' };
    ShmigReader r;

    for (size_t n = 0; n <= sizeof(bytes); n++) {
        shmig_reader_init(&r, bytes, n);
        g_assert_null(shmig_reader_string(&r, 10));
        g_assert_false(shmig_reader_done(&r));
    }
}

static void test_string_with_zero_byte(void)
{
    static const uint8_t bytes[] = { 3, 0, 'a', 0, 'c' };
    ShmigReader r;

    shmig_reader_init(&r, bytes, sizeof(bytes));
    g_assert_null(shmig_reader_string(&r, 10));
    g_assert_true(r.failed);
}

static void test_writer_round_trip(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autofree char *s = NULL, *empty = NULL;
    ShmigReader r;

    shmig_write_u32(out, 0x01020304);
    shmig_write_string(out, "", 0);
    shmig_write_u64(out, 0x1112131415161718);
    shmig_write_string(out, "abc", 3);
    g_assert_cmpuint(out->len, ==, 4 + 2 + 8 + 5);
    shmig_reader_init(&r, out->data, out->len);
    g_assert_cmphex(shmig_reader_u32(&r), ==, 0x01020304);
    empty = shmig_reader_string(&r, 0);
    g_assert_cmpstr(empty, ==, "");
    g_assert_cmphex(shmig_reader_u64(&r), ==, 0x1112131415161718);
    s = shmig_reader_string(&r, 3);
    g_assert_cmpstr(s, ==, "abc");
    g_assert_true(shmig_reader_done(&r));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/pack/numbers", test_numbers);
    g_test_add_func("/wire/pack/number-past-end", test_number_past_end);
    g_test_add_func("/wire/pack/fails-for-good", test_fails_for_good);
    g_test_add_func("/wire/pack/string-limit", test_string_limit);
    g_test_add_func("/wire/pack/string-past-end", test_string_past_end);
    g_test_add_func("/wire/pack/string-with-zero-byte",
                    test_string_with_zero_byte);
    g_test_add_func("/wire/pack/writer-round-trip", test_writer_round_trip);
    return g_test_run();
}
