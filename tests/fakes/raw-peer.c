/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A peer that says what a test likes, byte by byte. */
#include "raw-peer.h"
#include "shmig/io/sync.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_S 60

RawPeer raw_peer(int fd)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };

    g_assert_cmpint(
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
        ==, 0);
    g_assert_cmpint(
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)),
        ==, 0);
    return (RawPeer) { .fd = fd };
}

RawPeer raw_peer_tls(int fd, ShmigTls *tls)
{
    RawPeer peer = raw_peer(fd);

    peer.tls = tls;
    return peer;
}

static ShmigLink link_of(const RawPeer *peer)
{
    return (ShmigLink) { .fd = peer->fd, .tls = peer->tls };
}

static int64_t patience(void)
{
    return g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;
}

void raw_peer_close(RawPeer *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
        peer->fd = -1;
    }
    shmig_tls_free(g_steal_pointer(&peer->tls));
}

void raw_peer_end(RawPeer *peer)
{
    ShmigLink link = link_of(peer);

    shmig_sync_end(&link, patience());
}

void raw_add_hello(GByteArray *out, const ShmigHello *hello)
{
    uint8_t raw[SHMIG_HELLO_BYTES];

    shmig_hello_encode(hello, raw);
    g_byte_array_append(out, raw, sizeof(raw));
}

void raw_add_frame(GByteArray *out, const ShmigFrame *frame, const void *body,
                   const void *payload)
{
    uint8_t raw[SHMIG_FRAME_BYTES];

    shmig_frame_encode(frame, raw);
    g_byte_array_append(out, raw, sizeof(raw));
    if (body) {
        g_byte_array_append(out, body, frame->body);
    }
    if (payload) {
        g_byte_array_append(out, payload, frame->payload);
    }
}

void raw_add_data(GByteArray *out, uint32_t sequence,
                  const ShmigRecord *records, unsigned n, uint8_t bytes)
{
    uint8_t body[SHMIG_MAX_RECORDS * SHMIG_RECORD_BYTES];
    ShmigFrame frame = {
        .type = SHMIG_FRAME_DATA,
        .sequence = sequence,
        .records = n,
        .body = n * SHMIG_RECORD_BYTES,
    };
    g_autofree uint8_t *payload = g_malloc(SHMIG_MAX_PAYLOAD);

    g_assert_cmpuint(n, <=, SHMIG_MAX_RECORDS);
    memset(payload, bytes, SHMIG_MAX_PAYLOAD);
    for (unsigned i = 0; i < n; i++) {
        shmig_record_encode(&records[i], body + i * SHMIG_RECORD_BYTES);
        if (records[i].kind == SHMIG_RECORD_DATA) {
            uint64_t room = SHMIG_MAX_PAYLOAD - frame.payload;

            /* A record may lie about its length; the frame has a limit. */
            frame.payload += MIN(records[i].length, room);
        }
    }
    raw_add_frame(out, &frame, body, payload);
}

ShmigHello raw_hello(uint8_t id, uint16_t channel, uint16_t channels)
{
    ShmigHello hello = {
        .version_min = SHMIG_VERSION_MIN,
        .version_max = SHMIG_VERSION_MAX,
        .channel = channel,
        .channels = channels,
    };

    memset(hello.session, id, sizeof(hello.session));
    return hello;
}

bool raw_write(RawPeer *peer, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    if (peer->tls) {
        ShmigLink link = link_of(peer);

        return shmig_sync_write(&link, bytes, n, patience(), NULL);
    }
    while (n) {
        ssize_t ret = send(peer->fd, p, n, MSG_NOSIGNAL);

        if (ret < 0 && errno == EINTR) {
            continue; /* a timeout on a socket forbids to restart */
        }
        if (ret < 0) {
            g_assert_cmpint(errno, !=, EAGAIN);
            return false;
        }
        p += ret;
        n -= ret;
    }
    return true;
}

bool raw_write_array(RawPeer *peer, const GByteArray *bytes)
{
    return raw_write(peer, bytes->data, bytes->len);
}

bool raw_send_hello(RawPeer *peer, const ShmigHello *hello)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    raw_add_hello(out, hello);
    return raw_write_array(peer, out);
}

bool raw_send(RawPeer *peer, ShmigFrame frame, const void *body)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    frame.sequence = peer->tx_sequence++;
    raw_add_frame(out, &frame, body, NULL);
    return raw_write_array(peer, out);
}

bool raw_send_type(RawPeer *peer, uint8_t type)
{
    return raw_send(peer, (ShmigFrame) { .type = type }, NULL);
}

bool raw_send_data(RawPeer *peer, const ShmigRecord *records, unsigned n,
                   uint8_t bytes)
{
    g_autoptr(GByteArray) out = g_byte_array_new();

    raw_add_data(out, peer->tx_sequence++, records, n, bytes);
    return raw_write_array(peer, out);
}

bool raw_send_offer(RawPeer *peer, const ShmigOffer *offer)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) body = shmig_offer_encode(offer, &error);
    ShmigFrame frame = { .type = SHMIG_FRAME_OFFER };

    g_assert_no_error(error);
    frame.body = g_bytes_get_size(body);
    return raw_send(peer, frame, g_bytes_get_data(body, NULL));
}

bool raw_read(RawPeer *peer, void *bytes, size_t n)
{
    uint8_t *p = bytes;

    if (peer->tls) {
        ShmigLink link = link_of(peer);

        return shmig_sync_read(&link, bytes, n, patience(), NULL);
    }
    while (n) {
        ssize_t ret = recv(peer->fd, p, n, 0);

        if (ret < 0 && errno == EINTR) {
            continue;
        }
        if (ret <= 0) {
            g_assert_true(ret == 0 || errno != EAGAIN);
            return false;
        }
        p += ret;
        n -= ret;
    }
    return true;
}

bool raw_recv_hello(RawPeer *peer, ShmigHello *hello)
{
    uint8_t raw[SHMIG_HELLO_BYTES];
    const char *why = "";
    int ret;

    if (!raw_read(peer, raw, sizeof(raw))) {
        return false;
    }
    ret = shmig_hello_decode(raw, hello, &why);
    g_assert_cmpstr(why, ==, "");
    g_assert_cmpint(ret, ==, 0);
    return true;
}

bool raw_recv(RawPeer *peer, ShmigFrame *frame, char **body)
{
    uint8_t raw[SHMIG_FRAME_BYTES];
    g_autofree char *bytes = NULL;
    const char *why = "";
    int ret;

    if (!raw_read(peer, raw, sizeof(raw))) {
        return false;
    }
    ret = shmig_frame_decode(raw, peer->rx_sequence++, frame, &why);
    g_assert_cmpstr(why, ==, "");
    g_assert_cmpint(ret, ==, 0);
    bytes = g_malloc0(frame->body + frame->payload + 1);
    if (!raw_read(peer, bytes, frame->body + frame->payload)) {
        return false;
    }
    if (body) {
        *body = g_steal_pointer(&bytes);
    }
    return true;
}

ShmigFrame raw_expect(RawPeer *peer, uint8_t type)
{
    ShmigFrame frame = { 0 };

    while (frame.type != type) {
        g_assert_true(raw_recv(peer, &frame, NULL));
        g_assert_true(frame.type == type || frame.type != SHMIG_FRAME_ERROR);
    }
    return frame;
}

char *raw_expect_answer(RawPeer *peer)
{
    g_autoptr(GPtrArray) problems = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *body = NULL;
    ShmigFrame frame;

    g_assert_true(raw_recv(peer, &frame, &body));
    g_assert_cmpuint(frame.type, ==, SHMIG_FRAME_ANSWER);
    problems = shmig_answer_decode(body, frame.body, &error);
    g_assert_no_error(error);
    g_ptr_array_add(problems, NULL);
    return g_strjoinv("\n", (char **)problems->pdata);
}

char *raw_last_words(RawPeer *peer)
{
    ShmigFrame frame = { 0 };
    char *words = NULL;
    g_autofree char *body = NULL;

    while (raw_recv(peer, &frame, &body)) {
        g_assert_null(words); /* ERROR is the last frame */
        if (frame.type == SHMIG_FRAME_ERROR) {
            words = g_steal_pointer(&body);
            /* Whoever waits for us to close is not kept waiting. */
            raw_peer_end(peer);
        }
        g_clear_pointer(&body, g_free);
    }
    return words;
}
