/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What TLS promises a connection, asked of it through the ops table: the
 * bytes that were sent and no others, and an end that nobody can forge. */
#include "psk-tls.h"
#include "raw-peer.h"
#include "shmig/base/error.h"
#include "shmig/io/sync.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define MIB (1u << 20)

typedef struct World {
    ShmigTls *client, *server;
} World;

static World world_new(void)
{
    World w;

    psk_pair(&w.client, &w.server);
    return w;
}

static void world_free(World *w)
{
    shmig_tls_free(w->client);
    shmig_tls_free(w->server);
}

static uint8_t *pattern(size_t bytes)
{
    uint8_t *p = g_malloc(bytes);

    for (size_t i = 0; i < bytes; i++) {
        p[i] = (i * 31 + (i >> 9)) & 0xff;
    }
    return p;
}

static void encrypt(World *w, const void *plain, size_t bytes)
{
    g_assert_cmpint(w->client->ops->encrypt(w->client, plain, bytes), ==, 0);
}

static ssize_t decrypt(World *w, void *plain, size_t bytes)
{
    return w->server->ops->decrypt(w->server, plain, bytes);
}

/* Gives the server @bytes of what the client has to say. */
static void carry(World *w, size_t bytes)
{
    size_t have, room;
    const void *p = shmig_tls_unsent(w->client, &have);
    void *space = shmig_tls_space(w->server, &room);

    g_assert_cmpuint(bytes, <=, MIN(have, room));
    memcpy(space, p, bytes);
    shmig_tls_received(w->server, bytes);
    shmig_tls_sent(w->client, bytes);
}

/* Pieces of all sizes, more than the buffers hold, come out in one piece. */
static void test_content(void)
{
    World w = world_new();
    g_autofree uint8_t *sent = pattern(MIB), *got = g_malloc0(MIB);
    const size_t sizes[] = { 1, 4096, 32, 16384, 40000, 4095, 12288 };
    struct iovec iov[1024];
    unsigned n = 0, at = 0;
    size_t have = 0;

    for (size_t cut = 0; cut < MIB; n++) {
        size_t size = MIN(sizes[n % G_N_ELEMENTS(sizes)], MIB - cut);

        iov[n] = (struct iovec) { sent + cut, size };
        cut += size;
    }
    while (at < n) {
        ssize_t more;
        size_t unsent;

        g_assert_cmpint(shmig_tls_encrypt(w.client, iov, &at, n), ==, 0);
        for (shmig_tls_unsent(w.client, &unsent); unsent;
             shmig_tls_unsent(w.client, &unsent)) {
            carry(&w, MIN(unsent, 10000));
            while ((more = decrypt(&w, got + have, MIB - have)) > 0) {
                have += more;
            }
            g_assert_cmpint(more, ==, have < MIB ? -EAGAIN : more);
        }
    }
    g_assert_cmpmem(got, have, sent, MIB);
    world_free(&w);
}

/* Small pieces share records: 512 pages are no more on the line than a MiB. */
static void test_coalesced(void)
{
    World w = world_new();
    g_autofree uint8_t *sent = pattern(MIB);
    struct iovec iov[256];
    unsigned at = 0;
    size_t unsent, all = 0;

    shmig_tls_settle(w.client, false);
    for (unsigned i = 0; i < 256; i++) {
        iov[i] = (struct iovec) { sent + i * 4096, 4096 };
    }
    while (at < 256) {
        g_assert_cmpint(shmig_tls_encrypt(w.client, iov, &at, 256), ==, 0);
        shmig_tls_unsent(w.client, &unsent);
        g_assert_cmpuint(unsent, >, at < 256 ? 4 * SHMIG_TLS_PLAIN_BYTES : 0);
        all += unsent;
        shmig_tls_sent(w.client, unsent);
    }
    g_assert_cmpuint(all, <, MIB + MIB / 500);
    world_free(&w);
}

/* One byte in, one byte out. */
static void test_byte_by_byte(void)
{
    World w = world_new();
    g_autofree uint8_t *sent = pattern(3000);
    uint8_t got[3000];
    size_t have = 0, unsent;
    ssize_t n = 0;

    encrypt(&w, sent, 1000);
    encrypt(&w, sent + 1000, 2000);
    for (shmig_tls_unsent(w.client, &unsent); unsent; unsent--) {
        carry(&w, 1);
        while ((n = decrypt(&w, got + have, 1)) == 1) {
            have++;
            g_assert_cmpuint(have, <=, 3000);
        }
        g_assert_cmpint(n, ==, -EAGAIN);
    }
    g_assert_cmpmem(got, have, sent, 3000);
    world_free(&w);
}

/*
 * A bit that changes anywhere on the line takes the whole record with it.
 * In front of it are a type and a version that mean nothing, and a length,
 * which may have it wait for more.
 */
static void test_tampering(void)
{
    static const char text[] = "a page of the guest";
    size_t length = 1;

    for (size_t at = 0; at < length; at++) {
        World w = world_new();
        uint8_t got[64] = { 0 };
        ssize_t n;

        encrypt(&w, text, sizeof(text));
        shmig_tls_unsent(w.client, &length);
        w.client->out.bytes[w.client->out.start + at] ^= 1;
        carry(&w, length);
        n = decrypt(&w, got, sizeof(got));
        if (n > 0) {
            g_assert_cmpuint(at, <, 3);
            g_assert_cmpmem(got, n, text, sizeof(text));
        } else if (n == -EAGAIN) {
            g_assert_cmpuint(at, >=, 3);
            g_assert_cmpuint(at, <=, 4);
        } else {
            g_assert_cmpint(n, ==, -EBADMSG);
            /* And it stays so. */
            encrypt(&w, "more", 4);
            psk_carry(w.client, w.server);
            g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, -EBADMSG);
        }
        world_free(&w);
    }
}

/* A record that is sent again, or left out, is not taken. */
static void test_replay(void)
{
    World w = world_new();
    uint8_t record[256], got[64];
    size_t length, room;

    encrypt(&w, "once", 4);
    memcpy(record, shmig_tls_unsent(w.client, &length), 256);
    psk_carry(w.client, w.server);
    g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, 4);
    g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, -EAGAIN);
    memcpy(shmig_tls_space(w.server, &room), record, length);
    shmig_tls_received(w.server, length);
    g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, -EBADMSG);
    world_free(&w);
}

/* The peer's own end comes behind all that it said, and stays. */
static void test_end(void)
{
    World w = world_new();
    uint8_t got[64];

    encrypt(&w, "last words", 10);
    g_assert_cmpint(w.client->ops->bye(w.client), ==, 0);
    psk_carry(w.client, w.server);
    g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, 10);
    g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, 0);
    g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, 0);
    world_free(&w);
}

/* New keys, of one or both, between records and in both directions. */
static void test_new_keys(void)
{
    World w = world_new();
    uint8_t got[64];

    for (unsigned i = 0; i < 4; i++) {
        encrypt(&w, "old", 3);
        psk_update_keys(w.client, i & 1);
        encrypt(&w, "new", 3);
        psk_carry(w.client, w.server);
        g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, 3);
        g_assert_cmpmem(got, 3, "old", 3);
        g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, 3);
        g_assert_cmpmem(got, 3, "new", 3);
        g_assert_cmpint(decrypt(&w, got, sizeof(got)), ==, -EAGAIN);
        g_assert_cmpint(w.server->ops->encrypt(w.server, "back", 4), ==, 0);
        psk_carry(w.server, w.client);
        g_assert_cmpint(w.client->ops->decrypt(w.client, got, sizeof(got)), ==,
                        4);
        g_assert_cmpmem(got, 4, "back", 4);
    }
    world_free(&w);
}

static bool meet(PskCreds client, PskCreds server)
{
    ShmigTlsCreds *of_client = psk_creds_new(client);
    ShmigTlsCreds *of_server = psk_creds_new(server);
    ShmigTls *c = of_client->ops->connect(of_client, NULL);
    ShmigTls *s = of_server->ops->connect(of_server, NULL);
    bool met = psk_shake_hands(c, s, NULL);

    shmig_tls_free(c);
    shmig_tls_free(s);
    shmig_tls_creds_free(of_client);
    shmig_tls_creds_free(of_server);
    return met;
}

static void test_wrong_key(void)
{
    const PskCreds good = { .server = false }, good_server = { .server = true };

    g_assert_true(meet(good, good_server));
    g_assert_false(meet((PskCreds) { .key = "another key, just as long as it" },
                        good_server));
    g_assert_false(
        meet((PskCreds) { .priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2:+PSK" },
             good_server));
}

/* --- blocking, with a deadline --- */

static ShmigTls *make(bool server)
{
    ShmigTlsCreds *creds = psk_creds_new((PskCreds) { .server = server });
    ShmigTls *tls = creds->ops->connect(creds, NULL);

    shmig_tls_creds_free(creds);
    return tls;
}

static void expect_failure(ShmigLink *link, int64_t patience_us,
                           const char *sentence)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(shmig_sync_handshake(
        link, g_get_monotonic_time() + patience_us, &error));
    if (!strstr(error->message, sentence)) {
        g_error("\"%s\" instead of \"%s\"", error->message, sentence);
    }
}

/* The peer says @answer, and ends or says no more. */
static void against(const char *answer, bool ends, const char *sentence)
{
    ShmigLink link = { .tls = make(false) };
    RawPeer peer;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    link.fd = fds[0];
    peer = raw_peer(fds[1]);
    g_assert_true(raw_write(&peer, answer, strlen(answer)));
    if (ends) {
        raw_peer_end(&peer);
    }
    expect_failure(&link, ends ? 60 * G_USEC_PER_SEC : 20000, sentence);
    shmig_link_close(&link);
    raw_peer_close(&peer);
}

static void test_handshake_fails(void)
{
    against("", false, "did not answer in time");
    against("\x16\x03\x03", false, "did not answer in time");
    against("", true, "ended the TLS handshake");
    against("\x89SHMIG\r\n", false, "does not use TLS");
    against("SSH-2.0-OpenSSH\r\n", true, "does not use TLS");
    against("\x16garbage and more of it", true, "handshake failed");
    against("\x15\x03\x03\0\x02\x02\x28", true, "ended the TLS handshake");
}

static void *serve(void *opaque)
{
    ShmigLink *link = opaque;
    int64_t deadline_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    uint8_t bytes[3] = { 0 };

    g_assert_true(shmig_sync_handshake(link, deadline_us, NULL));
    g_assert_true(shmig_sync_read(link, bytes, 3, deadline_us, NULL));
    g_assert_cmpmem(bytes, 3, "abc", 3);
    g_assert_true(shmig_sync_write(link, "defg", 4, deadline_us, NULL));
    shmig_sync_end(link, deadline_us);
    return NULL;
}

static void test_sync(void)
{
    int64_t deadline_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    ShmigLink client = { .tls = make(false) }, server = { .tls = make(true) };
    g_autoptr(GError) error = NULL;
    uint8_t bytes[4];
    GThread *thread;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    client.fd = fds[0];
    server.fd = fds[1];
    thread = g_thread_new("serve", serve, &server);
    g_assert_true(shmig_sync_handshake(&client, deadline_us, &error));
    g_assert_true(shmig_sync_write(&client, "abc", 3, deadline_us, &error));
    g_assert_true(shmig_sync_read(&client, bytes, 4, deadline_us, &error));
    g_assert_cmpmem(bytes, 4, "defg", 4);
    g_assert_false(shmig_sync_read(&client, bytes, 1, deadline_us, &error));
    g_assert_cmpstr(error->message, ==, "the peer closed the connection");
    g_thread_join(thread);
    shmig_link_close(&client);
    shmig_link_close(&server);
}

/* An end of file that the peer's TLS did not announce. */
static void test_cut(void)
{
    int64_t deadline_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    g_autoptr(GError) error = NULL;
    World w = world_new();
    ShmigLink link = { .tls = w.server };
    uint8_t bytes[4];
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    link.fd = fds[0];
    encrypt(&w, "abc", 3);
    psk_carry(w.client, w.server);
    shutdown(fds[1], SHUT_WR);
    g_assert_true(shmig_sync_read(&link, bytes, 3, deadline_us, &error));
    g_assert_false(shmig_sync_read(&link, bytes, 1, deadline_us, &error));
    g_assert_nonnull(strstr(error->message, "it was cut"));
    shmig_link_close(&link);
    shmig_link_close(&(ShmigLink) { .fd = fds[1], .tls = w.client });
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/io/tls/content", test_content);
    g_test_add_func("/io/tls/coalesced", test_coalesced);
    g_test_add_func("/io/tls/byte-by-byte", test_byte_by_byte);
    g_test_add_func("/io/tls/tampering", test_tampering);
    g_test_add_func("/io/tls/replay", test_replay);
    g_test_add_func("/io/tls/end", test_end);
    g_test_add_func("/io/tls/new-keys", test_new_keys);
    g_test_add_func("/io/tls/wrong-key", test_wrong_key);
    g_test_add_func("/io/tls/sync/handshake-fails", test_handshake_fails);
    g_test_add_func("/io/tls/sync/exchange", test_sync);
    g_test_add_func("/io/tls/sync/cut", test_cut);
    return g_test_run();
}
