/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text from and for a peer: shown to people, in terminals and in logs. */
#include "shmig/wire/text.h"

#include <string.h>

/*
 * The character at @p and its length in bytes; what is not one counts as one
 * byte that cannot be shown.
 */
static gunichar next_char(const char *p, size_t left, size_t *length)
{
    gunichar c = g_utf8_get_char_validated(p, left);

    if (c == 0 || c == (gunichar)-1 || c == (gunichar)-2) {
        *length = 1;
        return 0;
    }
    *length = g_utf8_next_char(p) - p;
    return c;
}

char *shmig_text_clean(const void *bytes, size_t length)
{
    GString *text = g_string_new(NULL);
    const char *p = bytes;
    size_t n;

    for (size_t at = 0; at < length; at += n) {
        gunichar c = next_char(p + at, length - at, &n);
        bool space = c == '\n' || c == '\t' || c == '\r';
        bool shown = c && g_unichar_isprint(c);

        if (text->len + (shown ? n : 1) > SHMIG_MAX_TEXT) {
            break;
        }
        if (shown) {
            g_string_append_len(text, p + at, n);
        } else {
            g_string_append_c(text, space ? ' ' : '?');
        }
    }
    g_strstrip(text->str);
    if (text->str[0] == '\0') {
        g_string_assign(text, "no reason given");
    }
    return g_string_free(text, FALSE);
}

bool shmig_text_is_name(const char *name)
{
    size_t left = strlen(name);
    size_t n;

    for (; left > 0; name += n, left -= n) {
        gunichar c = next_char(name, left, &n);

        if (!c || !g_unichar_isprint(c)) {
            return false;
        }
    }
    return true;
}
