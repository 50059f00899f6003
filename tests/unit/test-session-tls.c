/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may not come in hears why, nothing of the session was shown to him, and
 * the destination is there for the next one. */
#include "psk-tls.h"
#include "raw-peer.h"
#include "session-pair.h"

#include <string.h>
#include <sys/socket.h>

#define MIB (1u << 20)
#define TIMEOUT_MS 10000
#define TLS_1_2 "NORMAL:-VERS-ALL:+VERS-TLS1.2:+ECDHE-PSK:+PSK"

/* A source that @client speaks TLS for (NULL: plain): what it hears. */
static char *try(Pair *pair, const PskCreds *client)
{
    ShmigOffer *offer = shmig_offer_new("fake-machine", 1);
    g_autoptr(GError) error = NULL;
    ShmigSource *source;

    shmig_offer_add_ram(offer, "ram0", MIB, MIB, 4096);
    source = shmig_source_new(offer, &error);
    g_assert_no_error(error);
    if (client) {
        shmig_source_set_tls(source, psk_creds_new(*client));
    }
    if (shmig_source_handshake(source, pair_dial(pair), TIMEOUT_MS, &error)) {
        shmig_source_free(source);
        return NULL;
    }
    shmig_source_free(source);
    return g_strdup(error->message);
}

static void expect(Pair *pair, const PskCreds *client, const char *sentence)
{
    g_autofree char *heard = try(pair, client);

    g_assert_nonnull(heard);
    if (!strstr(heard, sentence)) {
        g_error("\"%s\" instead of \"%s\"", heard, sentence);
    }
}

/* A destination with TLS, of these options, or without. */
static Pair *dest_new(const PskCreds *server)
{
    Pair *pair = pair_new(1, false, MIB);

    if (server) {
        shmig_dest_set_tls(pair->dest, psk_creds_new(*server));
    }
    return pair;
}

static const PskCreds good = { .server = false };
static const PskCreds good_server = { .server = true };

/* It was not harmed: a good source gets in. */
static void end(Pair *pair, const PskCreds *client)
{
    g_autofree char *heard = try(pair, client);

    g_assert_cmpstr(heard, ==, NULL);
    pair_free(pair);
}

static void test_plain_source(void)
{
    Pair *pair = dest_new(&good_server);

    expect(pair, NULL, "the destination takes connections with TLS only");
    end(pair, &good);
}

static void test_plain_dest(void)
{
    Pair *pair = dest_new(NULL);

    expect(pair, &good, "TLS with the destination: the peer does not use TLS");
    end(pair, NULL);
}

static void test_wrong_key(void)
{
    Pair *pair = dest_new(&good_server);

    expect(pair, &(PskCreds) { .key = "another key, just as long as it" },
           "TLS with the destination: the peer ended the TLS handshake");
    end(pair, &good);
}

/* The source does not trust the destination: it says nothing to it. */
static void test_untrusted_dest(void)
{
    Pair *pair = dest_new(&good_server);

    expect(pair, &(PskCreds) { .stranger = "its certificate is from Mars" },
           "TLS with the destination: its certificate is from Mars");
    end(pair, &good);
}

/* The handshake worked, and the source is still not welcome. */
static void test_unwanted_source(void)
{
    Pair *pair = dest_new(
        &(PskCreds) { .server = true, .stranger = "nobody knows \"test\"" });
    g_autofree char *heard = try(pair, &good);

    g_assert_cmpstr(heard, ==,
                    "the destination does not admit the source: nobody "
                    "knows \"test\"");
    pair_free(pair);
}

/* A name in a certificate that is meant for somebody's terminal or log. */
static void test_nasty_name(void)
{
    g_autofree char *name = g_strnfill(3000, 'x');
    g_autofree char *heard = NULL;
    Pair *pair;

    memcpy(name, "CN=\033[2J\n\377", 9);
    pair = dest_new(&(PskCreds) { .server = true, .stranger = name });
    heard = try(pair, &good);
    g_assert_true(g_str_has_prefix(
        heard, "the destination does not admit the source: CN=?[2J ?xx"));
    g_assert_cmpuint(strlen(heard), ==, SHMIG_MAX_TEXT);
    pair_free(pair);
}

/* TLS of 2008 and nothing newer, on one side. */
static void test_old_version(void)
{
    const PskCreds old = { .priority = TLS_1_2 };
    const PskCreds old_server = { .server = true, .priority = TLS_1_2 };
    Pair *pair = dest_new(&good_server);

    expect(pair, &old, "TLS with the destination: ");
    end(pair, &good);
    pair = dest_new(&old_server);
    expect(pair, &good, "TLS with the destination: ");
    pair_free(pair);
}

/* Neither TLS nor shmig. */
static void test_garbage(void)
{
    Pair *pair = dest_new(&good_server);
    uint8_t garbage[SHMIG_HELLO_BYTES] = "GET / HTTP/1.1\r\n\r\n";
    RawPeer peer = raw_peer(pair_dial(pair));
    g_autofree char *words = NULL;
    ShmigHello hello;

    g_assert_true(raw_write(&peer, garbage, sizeof(garbage)));
    g_assert_true(raw_recv_hello(&peer, &hello));
    g_assert_true(hello.refused);
    words = raw_last_words(&peer);
    g_assert_nonnull(strstr(words, "TLS only"));
    raw_peer_close(&peer);
    peer = raw_peer(pair_dial(pair));
    memset(garbage, 0x16, sizeof(garbage));
    g_assert_true(raw_write(&peer, garbage, sizeof(garbage)));
    words = (g_free(words), raw_last_words(&peer));
    g_assert_null(words);
    raw_peer_close(&peer);
    end(pair, &good);
}

/* Somebody who says nothing, or half of it, keeps nobody out. */
static void test_slow(void)
{
    Pair *pair = dest_new(&good_server);
    RawPeer silent = raw_peer(pair_dial(pair));
    RawPeer half = raw_peer(pair_dial(pair));

    g_assert_true(raw_write(&half, "\x16\x03\x01\x01\x20\x01", 6));
    end(pair, &good);
    raw_peer_close(&silent);
    raw_peer_close(&half);
}

/* --- within a session --- */

/* A proxy of one connection, which the test may cut. */
typedef struct Line {
    int ends[2];
    GThread *thread;
} Line;

static void *pump(void *opaque)
{
    Line *line = opaque;
    uint8_t bytes[4096];
    ssize_t n;

    while ((n = recv(line->ends[0], bytes, sizeof(bytes), 0)) > 0) {
        if (send(line->ends[1], bytes, n, MSG_NOSIGNAL) != n) {
            break;
        }
    }
    return NULL;
}

/*
 * Somebody on the line ends it cleanly, as far as TCP goes, in the middle of
 * a session: that is no end that the destination may take for the source's.
 */
static void test_cut_by_a_stranger(void)
{
    Pair *pair = pair_new(1, false, MIB);
    g_autoptr(GError) error = NULL;
    Line forth, back;
    int left[2], right[2];
    ShmigOffer *offer = shmig_offer_new("fake-machine", 1);

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, left), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, right), ==, 0);
    forth = (Line) { .ends = { left[1], right[0] } };
    back = (Line) { .ends = { right[0], left[1] } };
    forth.thread = g_thread_new("forth", pump, &forth);
    back.thread = g_thread_new("back", pump, &back);
    shmig_dest_set_tls(pair->dest, psk_creds_new(good_server));
    shmig_dest_accept(pair->dest, right[1]);
    shmig_offer_add_ram(offer, "ram0", MIB, MIB, 4096);
    pair->source = shmig_source_new(offer, &error);
    shmig_source_set_tls(pair->source, psk_creds_new(good));
    g_assert_true(
        shmig_source_handshake(pair->source, left[0], TIMEOUT_MS, &error));
    pair_wait(pair, &pair->connected);
    shutdown(right[0], SHUT_WR);
    g_assert_nonnull(strstr(pair_dest_failure(pair),
                            "the connection of channel 0 was lost: it was "
                            "cut"));
    shutdown(left[1], SHUT_RDWR);
    shutdown(right[0], SHUT_RDWR);
    g_thread_join(forth.thread);
    g_thread_join(back.thread);
    shmig_link_close(&(ShmigLink) { .fd = left[1] });
    shmig_link_close(&(ShmigLink) { .fd = right[0] });
    pair_free(pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/tls/plain-source", test_plain_source);
    g_test_add_func("/session/tls/plain-dest", test_plain_dest);
    g_test_add_func("/session/tls/wrong-key", test_wrong_key);
    g_test_add_func("/session/tls/untrusted-dest", test_untrusted_dest);
    g_test_add_func("/session/tls/unwanted-source", test_unwanted_source);
    g_test_add_func("/session/tls/nasty-name", test_nasty_name);
    g_test_add_func("/session/tls/old-version", test_old_version);
    g_test_add_func("/session/tls/garbage", test_garbage);
    g_test_add_func("/session/tls/slow", test_slow);
    g_test_add_func("/session/tls/cut-by-a-stranger", test_cut_by_a_stranger);
    return g_test_run();
}
