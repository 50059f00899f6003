/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whoever comes to a destination's door and is not a source with a good
 * offer gets a sentence, and keeps nobody else out.
 */
#include "raw-source.h"
#include "shmig/session/dest-internal.h"

#include <string.h>
#include <sys/socket.h>

#define LONG_US (G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC)

#define AT_VERSION_MIN 8
#define AT_FLAGS 12
#define AT_CHANNEL 14
#define AT_CHANNELS 16
#define AT_RESERVED 18

static ShmigDisk *fresh_disk(void)
{
    FakeDisk *fake = fake_disk_new(RAW_DISK_BYTES);
    ShmigDisk *disk = fake_disk_base(fake);

    fake_disk_unref(fake);
    return disk;
}

/* A source that behaves has its guest moved, after all that happened. */
static void expect_good_source(RawSource *raw)
{
    Pair *pair = raw->pair;
    g_autoptr(GError) error = NULL;

    g_assert_false(raw_source_saw(raw, &pair->failed));
    memset(pair->source_ram, 0x3c, RAW_RAM_BYTES);
    pair->n_disks = 1;
    pair->disk_bytes = RAW_DISK_BYTES;
    pair->source_disk[0] = fresh_disk();
    if (!pair->dest_disk[0]) {
        /* A refused offer had the first one. */
        pair->dest_disk[0] = fresh_disk();
    }
    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_cmpmem(pair->source_ram, RAW_RAM_BYTES, pair->dest_ram,
                    RAW_RAM_BYTES);
}

/* The refusal that the peer reads, and that then is the end. */
static void expect_refusal(RawPeer *peer, const ShmigHello *repeats,
                           const char *sentence)
{
    g_autofree char *words = NULL;
    ShmigHello reply;

    g_assert_true(raw_recv_hello(peer, &reply));
    g_assert_true(reply.refused);
    g_assert_cmpuint(reply.channel, ==, repeats->channel);
    g_assert_cmpuint(reply.channels, ==, repeats->channels);
    g_assert_cmpmem(reply.session, sizeof(reply.session), repeats->session,
                    sizeof(repeats->session));
    words = raw_last_words(peer);
    g_assert_nonnull(words);
    if (!strstr(words, sentence)) {
        g_error("refused with \"%s\" instead of \"%s\"", words, sentence);
    }
    raw_peer_close(peer);
}

static const ShmigHello nothing = { .channels = 1 };

static void test_http(void)
{
    static const char text[] =
        "GET / HTTP/1.1\r\nHost: destination:4444\r\n"
        "User-Agent: somebody who has the wrong port\r\n\r\n";
    RawSource *raw = raw_source_new(2, false);
    RawPeer peer = raw_source_dial(raw);

    g_assert_true(raw_write(&peer, text, strlen(text)));
    expect_refusal(&peer, &nothing, "does not speak shmig");
    expect_good_source(raw);
    raw_source_free(raw);
}

static void test_garbage(void)
{
    RawSource *raw = raw_source_new(1, false);
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    g_autofree uint8_t *bytes = g_malloc(100000);

    for (unsigned round = 0; round < 50; round++) {
        RawPeer peer = raw_source_dial(raw);
        unsigned n = g_rand_int_range(random, 1, 100000);

        for (unsigned i = 0; i < n; i++) {
            bytes[i] = g_rand_int(random);
        }
        raw_write(&peer, bytes, n);
        raw_peer_end(&peer);
        while (raw_read(&peer, bytes, 1)) {
        }
        raw_peer_close(&peer);
    }
    expect_good_source(raw);
    raw_source_free(raw);
}

/* A hello with @bytes of it changed. */
static void try_hello(RawSource *raw, unsigned at, uint16_t value,
                      const char *sentence)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    ShmigHello good = raw_hello(1, 0, 1);
    RawPeer peer = raw_source_dial(raw);

    raw_add_hello(out, &good);
    out->data[at] = value & 0xff;
    out->data[at + 1] = value >> 8;
    g_assert_true(raw_write_array(&peer, out));
    expect_refusal(&peer, &nothing, sentence);
}

static void test_malformed(void)
{
    RawSource *raw = raw_source_new(1, false);

    try_hello(raw, 0, 0, "does not speak shmig");
    try_hello(raw, 6, 0x0a0a, "does not speak shmig");
    try_hello(raw, AT_VERSION_MIN, 0, "version range is empty");
    try_hello(raw, AT_VERSION_MIN, 2, "version range is empty");
    try_hello(raw, AT_FLAGS, 2, "unknown flag");
    try_hello(raw, AT_FLAGS, 0x8000, "unknown flag");
    try_hello(raw, AT_CHANNEL, 1, "not one of its channels");
    try_hello(raw, AT_CHANNEL, 0xffff, "not one of its channels");
    try_hello(raw, AT_CHANNELS, 0, "number of channels");
    try_hello(raw, AT_CHANNELS, 65, "number of channels");
    try_hello(raw, AT_CHANNELS, 0xffff, "number of channels");
    for (unsigned at = AT_RESERVED; at < 24; at += 2) {
        try_hello(raw, at, 0x0100, "reserved byte");
    }
    for (unsigned at = 40; at < 64; at += 2) {
        try_hello(raw, at, 1, "reserved byte");
    }
    expect_good_source(raw);
    raw_source_free(raw);
}

static void try_refused(RawSource *raw, const ShmigHello *hello,
                        const char *sentence)
{
    RawPeer peer = raw_source_dial(raw);

    g_assert_true(raw_send_hello(&peer, hello));
    expect_refusal(&peer, hello, sentence);
}

static void test_other_versions(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigHello hello = raw_hello(1, 0, 1);

    hello.version_min = 2;
    hello.version_max = 2;
    try_refused(raw, &hello, "speaks version 1");
    hello.version_max = 0xffff;
    try_refused(raw, &hello, "speaks version 1");
    expect_good_source(raw);
    raw_source_free(raw);
}

/* Who speaks later versions as well is welcome. */
static void test_newer_peer_that_speaks_ours(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigHello hello = raw_hello(1, 0, 1), reply;
    RawPeer peer = raw_source_dial(raw);

    hello.version_max = 0xffff;
    g_assert_true(raw_send_hello(&peer, &hello));
    g_assert_true(raw_recv_hello(&peer, &reply));
    g_assert_false(reply.refused);
    raw_peer_close(&peer);
    raw_source_free(raw);
}

static void test_refusing_hello(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigHello hello = raw_hello(1, 0, 1);

    hello.refused = true;
    try_refused(raw, &hello, "a hello that refuses");
    expect_good_source(raw);
    raw_source_free(raw);
}

static void test_later_channel_of_nothing(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigHello hello = raw_hello(1, 1, 4);

    try_refused(raw, &hello, "no migration that is under way");
    hello = raw_hello(1, 63, 64);
    try_refused(raw, &hello, "no migration that is under way");
    expect_good_source(raw);
    raw_source_free(raw);
}

/* While a session joins its channels, others' do not harm it. */
static void test_wrong_channels(void)
{
    RawSource *raw = raw_source_new(3, false);
    ShmigHello other = raw_hello(0x77, 1, 3), hello = raw_hello(0x42, 2, 3);

    raw_source_offered(raw);
    try_refused(raw, &other, "no migration that is under way");
    try_refused(raw, &hello, "come in their order");
    hello.channel = 1;
    hello.channels = 4;
    try_refused(raw, &hello, "come in their order");
    hello = raw_hello(0x42, 0, 3);
    try_refused(raw, &hello, "another migration");
    raw_source_hello(raw, 1);
    hello = raw_hello(0x42, 1, 3);
    try_refused(raw, &hello, "come in their order");
    raw_source_hello(raw, 2);
    pair_wait(raw->pair, &raw->pair->connected);
    g_assert_true(raw->pair->connected);
    hello = raw_hello(0x42, 2, 3);
    try_refused(raw, &hello, "no migration that is under way");
    hello = raw_hello(0x99, 0, 1);
    try_refused(raw, &hello, "another migration");
    g_assert_false(raw_source_saw(raw, &raw->pair->failed));
    raw_source_free(raw);
}

/* Silence ends at the destination's time limit. */
static void test_silence(void)
{
    RawSource *raw = raw_source_new(1, false);
    RawPeer mute[20], slow;
    ShmigHello hello = raw_hello(1, 0, 1), reply;
    uint8_t byte;

    raw->pair->dest->hello_us = 20000;
    for (unsigned i = 0; i < G_N_ELEMENTS(mute); i++) {
        mute[i] = raw_source_dial(raw);
        raw_write(&mute[i], "\x89SHMIG\r\n", i % 9);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(mute); i++) {
        g_assert_false(raw_read(&mute[i], &byte, 1));
        raw_peer_close(&mute[i]);
    }
    slow = raw_source_dial(raw);
    g_assert_true(raw_send_hello(&slow, &hello));
    g_assert_true(raw_recv_hello(&slow, &reply));
    g_assert_false(raw_read(&slow, &byte, 1));
    raw_peer_close(&slow);
    raw_source_free(raw);
}

/* Those who say nothing are in nobody's way. */
static void test_good_among_silent(void)
{
    RawSource *raw = raw_source_new(1, false);
    RawPeer mute[10];
    uint8_t byte;

    raw->pair->dest->hello_us = LONG_US;
    for (unsigned i = 0; i < G_N_ELEMENTS(mute); i++) {
        mute[i] = raw_source_dial(raw);
    }
    expect_good_source(raw);
    raw_source_free(raw);
    for (unsigned i = 0; i < G_N_ELEMENTS(mute); i++) {
        g_assert_false(raw_read(&mute[i], &byte, 1));
        raw_peer_close(&mute[i]);
    }
}

/* More than may say hello at once: the ones too many are closed. */
static void test_crowd(void)
{
    RawSource *raw = raw_source_new(1, false);
    RawPeer mute[140];
    uint8_t byte;

    raw->pair->dest->hello_us = LONG_US;
    for (unsigned i = 0; i < G_N_ELEMENTS(mute); i++) {
        mute[i] = raw_source_dial(raw);
    }
    for (unsigned i = 128; i < G_N_ELEMENTS(mute); i++) {
        g_assert_false(raw_read(&mute[i], &byte, 1));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(mute); i++) {
        raw_peer_close(&mute[i]);
    }
    raw_source_free(raw);
}

/* A peer whose hello was admitted; whoever came before is gone. */
static RawPeer offering(RawSource *raw, unsigned channels)
{
    RawPeer peer = raw_source_dial(raw);
    ShmigHello hello = raw_hello(5, 0, channels), reply;

    g_assert_true(raw_send_hello(&peer, &hello));
    g_assert_true(raw_recv_hello(&peer, &reply));
    g_assert_false(reply.refused);
    return peer;
}

/* Frames that are no offer end the connection with nothing begun. */
static void test_no_offer(void)
{
    static const ShmigFrame frames[] = {
        { .type = SHMIG_FRAME_DATA },
        { .type = SHMIG_FRAME_COMMIT },
        { .type = SHMIG_FRAME_ANSWER, .body = 4 },
        { .type = SHMIG_FRAME_STREAM, .flags = SHMIG_FRAME_EOF },
        { .type = SHMIG_FRAME_ERROR, .body = 4 },
        { .type = SHMIG_FRAME_OFFER, .body = 0 },
        { .type = SHMIG_FRAME_OFFER, .body = SHMIG_MAX_BODY + 1 },
        { .type = SHMIG_FRAME_OFFER, .body = 0xffffffff },
        { .type = SHMIG_FRAME_OFFER, .body = 4, .sequence = 1 },
        { .type = SHMIG_FRAME_OFFER, .body = 4, .value = 1 },
        { .type = SHMIG_FRAME_OFFER, .body = 4, .flags = 1 },
        { .type = 0 },
        { .type = 255 },
    };
    RawSource *raw = raw_source_new(1, false);
    uint8_t byte;

    for (unsigned i = 0; i < G_N_ELEMENTS(frames); i++) {
        RawPeer peer = offering(raw, 1);
        g_autoptr(GByteArray) out = g_byte_array_new();

        raw_add_frame(out, &frames[i], frames[i].body == 4 ? "good" : NULL,
                      NULL);
        g_assert_true(raw_write_array(&peer, out));
        while (raw_read(&peer, &byte, 1)) {
        }
        raw_peer_close(&peer);
    }
    expect_good_source(raw);
    raw_source_free(raw);
}

static void try_offer(RawSource *raw, unsigned channels,
                      const ShmigOffer *offer, const char *sentence)
{
    RawPeer peer = offering(raw, channels);
    g_autofree char *problems = NULL;
    uint8_t byte;

    g_assert_true(raw_send_offer(&peer, offer));
    problems = raw_expect_answer(&peer);
    if (!strstr(problems, sentence)) {
        g_error("refused with \"%s\" instead of \"%s\"", problems, sentence);
    }
    g_assert_false(raw_read(&peer, &byte, 1));
    raw_peer_close(&peer);
}

static void test_refused_offers(void)
{
    RawSource *raw = raw_source_new(1, false);
    g_autoptr(ShmigOffer) two = raw_source_offer(2);
    g_autoptr(ShmigOffer) extra = raw_source_offer(1);

    try_offer(raw, 1, two, "different numbers of channels");
    shmig_offer_add_disk(extra, "vdb", "raw", "", 512);
    try_offer(raw, 1, extra, "\"vdb\": the destination has no such disk");
    expect_good_source(raw);
    raw_source_free(raw);
}

/* An offer that ends too early, at each byte, or goes on too long. */
static void test_malformed_offers(void)
{
    RawSource *raw = raw_source_new(1, false);
    g_autoptr(ShmigOffer) offer = raw_source_offer(1);
    g_autoptr(GBytes) good = shmig_offer_encode(offer, NULL);
    gsize n;
    const uint8_t *bytes = g_bytes_get_data(good, &n);

    for (gsize cut = 1; cut <= n + 1; cut += 1 + (cut + 1 == n)) {
        RawPeer peer = offering(raw, 1);
        g_autofree uint8_t *body = g_malloc0(n + 1);
        g_autofree char *problems = NULL;
        ShmigFrame frame = { .type = SHMIG_FRAME_OFFER, .body = cut };

        memcpy(body, bytes, MIN(n, cut));
        g_assert_true(raw_send(&peer, frame, body));
        problems = raw_expect_answer(&peer);
        g_assert_true(g_str_has_prefix(problems, "offer:"));
        raw_peer_close(&peer);
    }
    expect_good_source(raw);
    raw_source_free(raw);
}

/* It must not be forgotten over an offer that is good. */
static void test_abort_between_hello_and_offer(void)
{
    RawSource *raw = raw_source_new(1, false);
    g_autoptr(ShmigOffer) offer = raw_source_offer(1);
    g_autofree char *problems = NULL;

    raw_source_hello(raw, 0);
    shmig_dest_abort(raw->pair->dest, "the operator changed her mind");
    g_assert_true(raw_send_offer(&raw->peer[0], offer));
    problems = raw_expect_answer(&raw->peer[0]);
    g_assert_cmpstr(problems, ==, "the operator changed her mind");
    raw_source_expect_failure(raw, "the operator changed her mind");
    raw_source_free(raw);
}

typedef struct SlowCheck {
    RawPeer begun, end; /* of a pair of sockets */
    int checking, failed;
} SlowCheck;

static void slow_check(void *opaque, ShmigDest *dest, const ShmigOffer *offer,
                       GPtrArray *problems)
{
    SlowCheck *slow = opaque;
    char byte;

    __atomic_store_n(&slow->checking, 1, __ATOMIC_SEQ_CST);
    g_assert_true(raw_write(&slow->begun, "!", 1));
    g_assert_true(raw_read(&slow->begun, &byte, 1));
    __atomic_store_n(&slow->checking, 0, __ATOMIC_SEQ_CST);
    g_ptr_array_add(problems, g_strdup("no"));
}

static void failed_after_check(void *opaque, const GError *error)
{
    SlowCheck *slow = opaque;

    g_assert_false(__atomic_load_n(&slow->checking, __ATOMIC_SEQ_CST));
    __atomic_store_n(&slow->failed, 1, __ATOMIC_SEQ_CST);
    g_assert_true(raw_write(&slow->begun, "!", 1));
}

/* The owner is never called twice at once: first it ends what it does. */
static void test_abort_while_checking(void)
{
    static const ShmigDestOps slow_ops = {
        .check = slow_check,
        .failed = failed_after_check,
    };
    SlowCheck slow = { .checking = 0 };
    ShmigDest *dest = shmig_dest_new(&slow_ops, &slow, NULL);
    g_autoptr(ShmigOffer) offer = raw_source_offer(1);
    ShmigHello hello = raw_hello(3, 0, 1);
    int fds[2], door[2];
    RawPeer peer;
    char byte;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, door), ==, 0);
    slow.begun = raw_peer(fds[0]);
    slow.end = raw_peer(fds[1]);
    peer = raw_peer(door[0]);
    shmig_dest_accept(dest, door[1]);
    g_assert_true(raw_send_hello(&peer, &hello));
    g_assert_true(raw_recv_hello(&peer, &hello));
    g_assert_true(raw_send_offer(&peer, offer));
    g_assert_true(raw_read(&slow.end, &byte, 1));
    shmig_dest_abort(dest, "enough");
    g_assert_false(__atomic_load_n(&slow.failed, __ATOMIC_SEQ_CST));
    g_assert_true(raw_write(&slow.end, "!", 1));
    g_assert_true(raw_read(&slow.end, &byte, 1));
    g_assert_true(__atomic_load_n(&slow.failed, __ATOMIC_SEQ_CST));
    shmig_dest_free(dest);
    raw_peer_close(&peer);
    raw_peer_close(&slow.begun);
    raw_peer_close(&slow.end);
}

static void test_abort_while_joining(void)
{
    RawSource *raw = raw_source_new(3, false);
    g_autofree char *first = NULL, *second = NULL;

    raw_source_offered(raw);
    raw_source_hello(raw, 1);
    shmig_dest_abort(raw->pair->dest, "the operator changed her mind");
    first = raw_last_words(&raw->peer[0]);
    g_assert_cmpstr(first, ==, "the operator changed her mind");
    second = raw_last_words(&raw->peer[1]);
    g_assert_cmpstr(second, ==, NULL);
    raw_source_expect_failure(raw, "the operator changed her mind");
    raw_source_free(raw);
}

static void test_gone_while_joining(gconstpointer half)
{
    RawSource *raw = raw_source_new(3, half != NULL);

    raw_source_offered(raw);
    raw_source_hello(raw, 1);
    if (half) {
        raw_peer_end(&raw->peer[0]);
    } else {
        raw_peer_close(&raw->peer[0]);
    }
    raw_source_expect_failure(raw, "the source went away before");
    raw_source_free(raw);
}

static void test_never_joins(void)
{
    RawSource *raw = raw_source_new(2, false);
    g_autofree char *words = NULL;

    raw->pair->dest->join_us = 20000;
    raw_source_offered(raw);
    raw_source_expect_failure(raw, "did not open all its channels in time");
    words = raw_last_words(&raw->peer[0]);
    g_assert_nonnull(strstr(words, "did not open all its channels"));
    raw_source_free(raw);
}

static void test_free_while_joining(void)
{
    RawSource *raw = raw_source_new(2, false);

    raw->pair->dest->join_us = LONG_US;
    raw_source_offered(raw);
    raw_source_free(raw);
}

/* A destination that failed says so to whoever comes then. */
static void test_too_late(void)
{
    RawSource *raw = raw_source_new(1, false);
    ShmigHello hello = raw_hello(1, 0, 1);

    shmig_dest_abort(raw->pair->dest, "no");
    try_refused(raw, &hello, "has failed before");
    raw_source_expect_failure(raw, "no");
    raw_source_free(raw);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/door/http", test_http);
    g_test_add_func("/session/door/garbage", test_garbage);
    g_test_add_func("/session/door/malformed", test_malformed);
    g_test_add_func("/session/door/other-versions", test_other_versions);
    g_test_add_func("/session/door/newer-peer",
                    test_newer_peer_that_speaks_ours);
    g_test_add_func("/session/door/refusing-hello", test_refusing_hello);
    g_test_add_func("/session/door/channel-of-nothing",
                    test_later_channel_of_nothing);
    g_test_add_func("/session/door/wrong-channels", test_wrong_channels);
    g_test_add_func("/session/door/silence", test_silence);
    g_test_add_func("/session/door/good-among-silent", test_good_among_silent);
    g_test_add_func("/session/door/crowd", test_crowd);
    g_test_add_func("/session/door/offer/none", test_no_offer);
    g_test_add_func("/session/door/offer/refused", test_refused_offers);
    g_test_add_func("/session/door/offer/malformed", test_malformed_offers);
    g_test_add_func("/session/door/offer/abort",
                    test_abort_between_hello_and_offer);
    g_test_add_func("/session/door/offer/abort-in-check",
                    test_abort_while_checking);
    g_test_add_func("/session/door/joining/abort", test_abort_while_joining);
    g_test_add_data_func("/session/door/joining/gone", NULL,
                         test_gone_while_joining);
    g_test_add_data_func("/session/door/joining/half-gone", "tcp",
                         test_gone_while_joining);
    g_test_add_func("/session/door/joining/never", test_never_joins);
    g_test_add_func("/session/door/joining/free", test_free_while_joining);
    g_test_add_func("/session/door/too-late", test_too_late);
    return g_test_run();
}
