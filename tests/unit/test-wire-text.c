/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of text from a peer: whatever it is, it can be shown. */
#include <glib.h>
#include <string.h>

#include "shmig/wire/text.h"

static void assert_clean(const char *in, size_t length, const char *out)
{
    g_autofree char *text = shmig_text_clean(in, length);

    g_assert_cmpstr(text, ==, out);
}

static void test_sentence_is_kept(void)
{
    static const char s[] = "disk \"vda\": 8 GiB → größer machen, 語";

    assert_clean(s, strlen(s), s);
}

static void test_controls_are_replaced(void)
{
    static const char s[] = "a\033[2Jb\nc\td\re\0f\177g\xc2\x9bh";

    assert_clean(s, sizeof(s) - 1, "a?[2Jb c d e?f?g?h");
}

/* U+202E would show what follows from right to left. */
static void test_direction_is_replaced(void)
{
    assert_clean("a\xe2\x80\xae"
                 "b",
                 5, "a?b");
}

static void test_not_utf8(void)
{
    assert_clean("a\xff\xc3", 3, "a??");
    assert_clean("\xed\xa0\x80", 3, "???");
    assert_clean("\xc0\xaf", 2, "??");
    /* What follows the given length is not looked at. */
    assert_clean("\xe2\x82\xac", 2, "??");
}

static void test_nothing(void)
{
    assert_clean(NULL, 0, "no reason given");
    assert_clean("", 0, "no reason given");
    assert_clean(" \n ", 3, "no reason given");
}

static void test_length_limits(void)
{
    for (size_t n = SHMIG_MAX_TEXT - 1; n <= SHMIG_MAX_TEXT + 1; n++) {
        g_autofree char *in = g_strnfill(n, 'x');
        g_autofree char *text = shmig_text_clean(in, n);

        g_assert_cmpuint(strlen(text), ==, MIN(n, SHMIG_MAX_TEXT));
    }
}

static void test_cut_between_characters(void)
{
    g_autofree char *in = g_strnfill(SHMIG_MAX_TEXT + 10, 'x');
    g_autofree char *text = NULL;

    memcpy(in + SHMIG_MAX_TEXT - 2, "\xe2\x82\xac", 3);
    text = shmig_text_clean(in, SHMIG_MAX_TEXT + 10);
    g_assert_cmpuint(strlen(text), ==, SHMIG_MAX_TEXT - 2);
    g_assert_true(g_utf8_validate(text, -1, NULL));
}

static void test_names(void)
{
    g_assert_true(shmig_text_is_name("virtio-disk0 ä"));
    g_assert_true(shmig_text_is_name(""));
    g_assert_false(shmig_text_is_name("a\nb"));
    g_assert_false(shmig_text_is_name("a\033b"));
    g_assert_false(shmig_text_is_name("a\xff"));
    g_assert_false(shmig_text_is_name("a\xe2\x82"));
    g_assert_false(shmig_text_is_name("\xe2\x80\xae"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/text/sentence-is-kept", test_sentence_is_kept);
    g_test_add_func("/wire/text/controls-are-replaced",
                    test_controls_are_replaced);
    g_test_add_func("/wire/text/direction-is-replaced",
                    test_direction_is_replaced);
    g_test_add_func("/wire/text/not-utf8", test_not_utf8);
    g_test_add_func("/wire/text/nothing", test_nothing);
    g_test_add_func("/wire/text/length-limits", test_length_limits);
    g_test_add_func("/wire/text/cut-between-characters",
                    test_cut_between_characters);
    g_test_add_func("/wire/text/names", test_names);
    return g_test_run();
}
