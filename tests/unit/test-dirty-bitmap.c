/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The search for words that are not 0: none is overlooked, none invented. */
#include <glib.h>
#include <string.h>

#include "shmig/dirty/bitmap.h"

/* More than two steps of the fast loop, and what is before and after it. */
#define WORDS 80u

typedef uint64_t Next(const uint64_t *words, uint64_t word, uint64_t end);

static Next *const searches[] = { shmig_bitmap_next,
                                  shmig_bitmap_next_baseline };

static uint64_t next_simply(const uint64_t *words, uint64_t word, uint64_t end)
{
    while (word < end && words[word] == 0) {
        word++;
    }
    return word;
}

/* Each length in a heap block of its own: a sanitizer sees a read past it. */
static void test_nothing_in_it(void)
{
    for (uint64_t n = 1; n <= WORDS; n++) {
        g_autofree uint64_t *words = g_new0(uint64_t, n);

        for (size_t s = 0; s < G_N_ELEMENTS(searches); s++) {
            for (uint64_t from = 0; from <= n; from++) {
                g_assert_cmpuint(searches[s](words, from, n), ==, n);
            }
        }
    }
}

static void test_each_word(void)
{
    g_autofree uint64_t *words = g_new0(uint64_t, WORDS);

    for (uint64_t at = 0; at < WORDS; at++) {
        words[at] = UINT64_C(1) << at % 64;
        for (size_t s = 0; s < G_N_ELEMENTS(searches); s++) {
            for (uint64_t from = 0; from < WORDS; from++) {
                g_assert_cmpuint(searches[s](words, from, WORDS), ==,
                                 from <= at ? at : WORDS);
            }
            /* It is not in [0, at), and the only one in [0, at + 1). */
            g_assert_cmpuint(searches[s](words, 0, at), ==, at);
            g_assert_cmpuint(searches[s](words, 0, at + 1), ==, at);
        }
        words[at] = 0;
    }
}

static void test_behind_the_end(void)
{
    static const uint64_t words[WORDS] = { [40] = 1 };

    g_assert_cmpuint(shmig_bitmap_next(words, 7, 7), ==, 7);
    g_assert_cmpuint(shmig_bitmap_next(words, 0, 0), ==, 0);
    g_assert_cmpuint(shmig_bitmap_next(words, 50, 40), ==, 40);
}

static void test_random(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);

    for (unsigned round = 0; round < 300; round++) {
        uint64_t n = g_rand_int_range(rand, 1, 2000);
        unsigned apart = g_rand_int_range(rand, 1, 200);
        g_autofree uint64_t *words = g_new0(uint64_t, n);

        for (uint64_t i = 0; i < n; i++) {
            words[i] = g_rand_int_range(rand, 0, apart) == 0 ? 1 + i : 0;
        }
        for (size_t s = 0; s < G_N_ELEMENTS(searches); s++) {
            for (uint64_t at = 0; at < n; at++) {
                uint64_t expect = next_simply(words, at, n);

                at = searches[s](words, at, n);
                g_assert_cmpuint(at, ==, expect);
            }
        }
    }
}

/* Some that malloc() makes, some that are pages, some of huge pages. */
static void test_new(void)
{
    static const uint64_t n_words[] = { 1,      8191,           8192,
                                        8193,   (1 << 18) - 1,  1 << 18,
                                        300001, (1 << 18) + 512 };

    for (size_t i = 0; i < G_N_ELEMENTS(n_words); i++) {
        uint64_t n = n_words[i];
        uint64_t *words = shmig_bitmap_new(n);

        g_assert_cmpuint(shmig_bitmap_next(words, 0, n), ==, n);
        g_assert_true(n < 8192 || (uintptr_t)words % 4096 == 0);
        memset(words, 0xff, n * sizeof(*words));
        g_assert_cmpuint(words[n - 1], ==, UINT64_MAX);
        shmig_bitmap_free(words, n);
    }
    shmig_bitmap_free(NULL, 0);
    shmig_bitmap_free(NULL, 1 << 20);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty/bitmap/nothing-in-it", test_nothing_in_it);
    g_test_add_func("/dirty/bitmap/each-word", test_each_word);
    g_test_add_func("/dirty/bitmap/behind-the-end", test_behind_the_end);
    g_test_add_func("/dirty/bitmap/random", test_random);
    g_test_add_func("/dirty/bitmap/new", test_new);
    return g_test_run();
}
