/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the answer: sentences arrive, and nothing else does. */
#include <glib.h>
#include <string.h>

#include "shmig/base/error.h"
#include "shmig/wire/offer.h"

static GPtrArray *sentences(unsigned n)
{
    GPtrArray *problems = g_ptr_array_new_with_free_func(g_free);

    for (unsigned i = 0; i < n; i++) {
        g_ptr_array_add(problems, g_strdup_printf("problem %u", i));
    }
    return problems;
}

static GPtrArray *through_wire(const GPtrArray *problems)
{
    g_autoptr(GBytes) body = shmig_answer_encode(problems);
    g_autoptr(GError) err = NULL;
    GPtrArray *out = shmig_answer_decode(g_bytes_get_data(body, NULL),
                                         g_bytes_get_size(body), &err);

    g_assert_no_error(err);
    g_assert_cmpuint(g_bytes_get_size(body), <=, SHMIG_MAX_BODY);
    return out;
}

static void assert_malformed(const void *body, size_t length)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(shmig_answer_decode(body, length, &err));
    g_assert_error(err, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL);
}

static void test_bytes(void)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    g_autoptr(GBytes) body = NULL;
    static const uint8_t expected[] = { 1, 0, 0, 0, 3, 0, 'b', 'a', 'd' };

    g_ptr_array_add(problems, "bad");
    body = shmig_answer_encode(problems);
    g_assert_cmpmem(g_bytes_get_data(body, NULL), g_bytes_get_size(body),
                    expected, sizeof(expected));
}

static void test_number_of_problems(void)
{
    static const unsigned counts[] = { 0, 1, 63, 64, 65, 1000 };

    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autoptr(GPtrArray) in = sentences(counts[i]);
        g_autoptr(GPtrArray) out = through_wire(in);

        g_assert_cmpuint(out->len, ==, MIN(counts[i], SHMIG_MAX_PROBLEMS));
        for (unsigned k = 0; k < out->len; k++) {
            g_assert_cmpstr(out->pdata[k], ==, in->pdata[k]);
        }
    }
}

static void test_long_sentence_is_cut(void)
{
    g_autoptr(GPtrArray) in = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) out = NULL;

    g_ptr_array_add(in, g_strnfill(100000, 'x'));
    out = through_wire(in);
    g_assert_cmpuint(out->len, ==, 1);
    g_assert_cmpuint(strlen(out->pdata[0]), ==, SHMIG_MAX_TEXT);
}

static void test_peers_text_is_cleaned(void)
{
    static const uint8_t body[] = { 1, 0, 0, 0, 5, 0, 'a', 0x1b, 0, 0xff, 'b' };
    g_autoptr(GPtrArray) out = shmig_answer_decode(body, sizeof(body), NULL);

    g_assert_nonnull(out);
    g_assert_cmpstr(out->pdata[0], ==, "a???b");
}

static void test_each_length(void)
{
    g_autoptr(GPtrArray) problems = sentences(3);
    g_autoptr(GBytes) body = shmig_answer_encode(problems);
    size_t length = g_bytes_get_size(body);
    g_autofree uint8_t *longer = g_malloc0(length + 1);

    memcpy(longer, g_bytes_get_data(body, NULL), length);
    for (size_t n = 0; n < length; n++) {
        g_autofree void *cut = g_memdup2(longer, n);

        assert_malformed(cut, n);
    }
    assert_malformed(longer, length + 1);
}

static void test_counts_from_wire(void)
{
    static const uint32_t counts[] = { 63, 64, 65, UINT32_MAX };

    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        uint32_t le = GUINT32_TO_LE(counts[i]);

        assert_malformed(&le, sizeof(le));
    }
}

static void test_sentence_length_limits(void)
{
    for (size_t n = SHMIG_MAX_TEXT - 1; n <= SHMIG_MAX_TEXT + 1; n++) {
        g_autofree uint8_t *body = g_malloc(6 + n);
        g_autoptr(GPtrArray) out = NULL;

        memset(body, 'x', 6 + n);
        memcpy(body, "\1\0\0\0", 4);
        body[4] = n & 0xff;
        body[5] = n >> 8;
        if (n > SHMIG_MAX_TEXT) {
            assert_malformed(body, 6 + n);
        } else {
            out = shmig_answer_decode(body, 6 + n, NULL);
            g_assert_cmpuint(strlen(out->pdata[0]), ==, n);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/answer/bytes", test_bytes);
    g_test_add_func("/wire/answer/number-of-problems", test_number_of_problems);
    g_test_add_func("/wire/answer/long-sentence-is-cut",
                    test_long_sentence_is_cut);
    g_test_add_func("/wire/answer/peers-text-is-cleaned",
                    test_peers_text_is_cleaned);
    g_test_add_func("/wire/answer/each-length", test_each_length);
    g_test_add_func("/wire/answer/counts-from-wire", test_counts_from_wire);
    g_test_add_func("/wire/answer/sentence-length-limits",
                    test_sentence_length_limits);
    return g_test_run();
}
