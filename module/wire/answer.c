/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The answer to an offer; docs/protocol.md, "ANSWER". */
#include "shmig/wire/offer.h"

#include <string.h>

#include "shmig/base/error.h"
#include "shmig/wire/pack.h"
#include "shmig/wire/text.h"

G_STATIC_ASSERT(4 + SHMIG_MAX_PROBLEMS * (2 + SHMIG_MAX_TEXT) <=
                SHMIG_MAX_BODY);

GBytes *shmig_answer_encode(const GPtrArray *problems)
{
    GByteArray *out = g_byte_array_new();
    uint32_t n = MIN(problems->len, SHMIG_MAX_PROBLEMS);

    shmig_write_u32(out, n);
    for (uint32_t i = 0; i < n; i++) {
        const char *problem = problems->pdata[i];
        g_autofree char *text = shmig_text_clean(problem, strlen(problem));

        shmig_write_string(out, text, strlen(text));
    }
    return g_byte_array_free_to_bytes(out);
}

GPtrArray *shmig_answer_decode(const void *body, size_t length, GError **errp)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    ShmigReader reader;
    uint32_t n;

    shmig_reader_init(&reader, body, length);
    n = shmig_reader_u32(&reader);
    if (n > SHMIG_MAX_PROBLEMS) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "answer: %u problems, there may be 0 to %u", n,
                    SHMIG_MAX_PROBLEMS);
        return NULL;
    }
    for (uint32_t i = 0; i < n && !reader.failed; i++) {
        size_t bytes = 0;
        const char *text = shmig_reader_bytes(&reader, SHMIG_MAX_TEXT, &bytes);

        reader.failed |= bytes == 0; /* a sentence has at least one */
        g_ptr_array_add(problems, shmig_text_clean(text, bytes));
    }
    if (!shmig_reader_done(&reader)) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "answer: malformed: a sentence or the whole has the "
                    "wrong length");
        return NULL;
    }
    return g_steal_pointer(&problems);
}
