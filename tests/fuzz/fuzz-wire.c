/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fuzz entry of everything that decodes bytes of a peer.
 *
 * Beyond the sanitizers' rules: what a decoder takes, the encoder turns into
 * the same bytes again, so nothing in them was ignored; what the check of
 * records takes is true by arithmetic of its own; text can be shown.
 */
#include "fuzz-wire.h"

#include <glib.h>
#include <string.h>

#include "shmig/wire/frame.h"
#include "shmig/wire/offer.h"
#include "shmig/wire/pack.h"
#include "shmig/wire/text.h"

typedef unsigned __int128 Wide;

uint64_t fuzz_taken[FUZZ_DECODERS];

static const ShmigRegionInfo regions[] = {
    { false, 5ull * SHMIG_STRIPE_BYTES },
    { false, SHMIG_STRIPE_BYTES + 4096 },
    { true, 9ull * SHMIG_STRIPE_BYTES + 512 },
    { true, 1000 },
    { true, SHMIG_MAX_REGION_BYTES },
};

static bool hello(const uint8_t *data, size_t size)
{
    uint8_t again[SHMIG_HELLO_BYTES];
    ShmigHello h;
    const char *why = NULL;

    if (size != SHMIG_HELLO_BYTES) {
        return false;
    }
    if (shmig_hello_decode(data, &h, &why) < 0) {
        g_assert(why);
        return false;
    }
    shmig_hello_encode(&h, again);
    g_assert(memcmp(data, again, sizeof(again)) == 0);
    g_assert(shmig_hello_version(&h, &h) == h.version_max);
    g_assert(h.channel < h.channels && h.channels <= SHMIG_MAX_CHANNELS);
    return true;
}

static bool frame(const uint8_t *data, size_t size)
{
    uint8_t again[SHMIG_FRAME_BYTES];
    ShmigFrame f;
    const char *why = NULL;

    if (size != 4 + SHMIG_FRAME_BYTES) {
        return false;
    }
    if (shmig_frame_decode(data + 4, shmig_get_u32(data), &f, &why) < 0) {
        g_assert(why);
        return false;
    }
    shmig_frame_encode(&f, again);
    g_assert(memcmp(data + 4, again, sizeof(again)) == 0);
    g_assert(f.body <= SHMIG_MAX_BODY && f.payload <= SHMIG_MAX_PAYLOAD);
    g_assert(f.records <= SHMIG_MAX_RECORDS);
    g_assert(f.flags == 0 ||
             (f.type == SHMIG_FRAME_STREAM && f.flags == SHMIG_FRAME_EOF) ||
             ((f.type == SHMIG_FRAME_DRAIN || f.type == SHMIG_FRAME_DRAINED) &&
              f.flags == SHMIG_FRAME_FINAL));
    return true;
}

static void assert_record(const ShmigRecord *r, unsigned channel,
                          unsigned channels)
{
    Wide end = (Wide)r->offset + r->length;
    Wide first = r->offset / SHMIG_STRIPE_BYTES;
    Wide last = (end - 1) / SHMIG_STRIPE_BYTES;

    g_assert(r->region < G_N_ELEMENTS(regions));
    g_assert(r->length > 0 && end <= regions[r->region].length_bytes);
    g_assert((r->region + first) % channels == channel);
    g_assert((r->region + last) % channels == channel);
    g_assert(r->kind == SHMIG_RECORD_ZERO || first == last);
}

static bool records(const uint8_t *data, size_t size)
{
    ShmigRecord list[SHMIG_MAX_RECORDS] = { 0 };
    unsigned channels, channel;
    uint32_t n, payload;
    const char *why = NULL;
    Wide sum = 0;

    if (size < 6 || (size - 6) % SHMIG_RECORD_BYTES != 0 ||
        (size - 6) / SHMIG_RECORD_BYTES > SHMIG_MAX_RECORDS) {
        return false;
    }
    channels = data[1] % SHMIG_MAX_CHANNELS + 1;
    channel = data[0] % channels;
    payload = shmig_get_u32(data + 2);
    n = (size - 6) / SHMIG_RECORD_BYTES;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *in = data + 6 + i * SHMIG_RECORD_BYTES;
        uint8_t again[SHMIG_RECORD_BYTES];

        if (shmig_record_decode(in, &list[i], &why) < 0) {
            g_assert(why);
            return false;
        }
        shmig_record_encode(&list[i], again);
        g_assert(memcmp(in, again, sizeof(again)) == 0);
    }
    if (shmig_records_check(list, n, payload, regions, G_N_ELEMENTS(regions),
                            channel, channels, &why) < 0) {
        g_assert(why);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        assert_record(&list[i], channel, channels);
        sum += list[i].kind == SHMIG_RECORD_DATA ? list[i].length : 0;
    }
    g_assert(n > 0 && sum == payload);
    return true;
}

static bool offer(const uint8_t *data, size_t size)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(ShmigOffer) o = shmig_offer_decode(data, size, &err);
    g_autoptr(GBytes) again = NULL;

    g_assert(!o == !!err);
    if (!o) {
        g_assert(g_utf8_validate(err->message, -1, NULL));
        return false;
    }
    again = shmig_offer_encode(o, NULL);
    g_assert(again && g_bytes_get_size(again) == size);
    g_assert(memcmp(g_bytes_get_data(again, NULL), data, size) == 0);
    return true;
}

static void assert_text(const char *text)
{
    g_assert(text[0] && strlen(text) <= SHMIG_MAX_TEXT);
    g_assert(shmig_text_is_name(text));
}

static bool answer(const uint8_t *data, size_t size)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) problems = shmig_answer_decode(data, size, &err);

    g_assert(!problems == !!err);
    if (!problems) {
        return false;
    }
    g_assert(problems->len <= SHMIG_MAX_PROBLEMS);
    for (unsigned i = 0; i < problems->len; i++) {
        assert_text(problems->pdata[i]);
    }
    return true;
}

/* Cleaning what is clean changes nothing. */
static bool text(const uint8_t *data, size_t size)
{
    g_autofree char *clean = shmig_text_clean(data, size);
    g_autofree char *again = shmig_text_clean(clean, strlen(clean));

    assert_text(clean);
    g_assert(strcmp(clean, again) == 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const decoders[FUZZ_DECODERS])(const uint8_t *, size_t) = {
        [FUZZ_HELLO] = hello, [FUZZ_FRAME] = frame,   [FUZZ_RECORDS] = records,
        [FUZZ_OFFER] = offer, [FUZZ_ANSWER] = answer, [FUZZ_TEXT] = text,
    };
    unsigned which;

    if (size == 0) {
        return 0;
    }
    which = data[0] % FUZZ_DECODERS;
    if (decoders[which](data + 1, size - 1)) {
        fuzz_taken[which]++;
    }
    return 0;
}
