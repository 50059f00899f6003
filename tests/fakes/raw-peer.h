/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer that says what a test likes, byte by byte, and hears what the other
 * side makes of it.  Nothing waits longer than a minute: the test fails then.
 */
#ifndef TESTS_FAKES_RAW_PEER_H
#define TESTS_FAKES_RAW_PEER_H

#include <glib.h>
#include "shmig/io/tls.h"
#include "shmig/wire/frame.h"
#include "shmig/wire/offer.h"

typedef struct RawPeer {
    int fd;
    ShmigTls *tls;        /* NULL: plain; its handshake is done */
    uint32_t tx_sequence; /* of the next frame sent */
    uint32_t rx_sequence; /* of the next frame expected */
} RawPeer;

/* Takes ownership of @fd. */
RawPeer raw_peer(int fd);
/* The same, inside @tls, which it owns from now on. */
RawPeer raw_peer_tls(int fd, ShmigTls *tls);
void raw_peer_close(RawPeer *peer);
/* Says no more, still listens. */
void raw_peer_end(RawPeer *peer);

/* Messages as bytes, appended to @out. */
void raw_add_hello(GByteArray *out, const ShmigHello *hello);
/* @body holds frame->body bytes, or is NULL; the same for @payload. */
void raw_add_frame(GByteArray *out, const ShmigFrame *frame, const void *body,
                   const void *payload);
/* A DATA frame of @n records, and @bytes as its payload's bytes. */
void raw_add_data(GByteArray *out, uint32_t sequence,
                  const ShmigRecord *records, unsigned n, uint8_t bytes);

/* A hello of version 1 for session @id. */
ShmigHello raw_hello(uint8_t id, uint16_t channel, uint16_t channels);

/* Writes; false if the other side is gone. */
bool raw_write(RawPeer *peer, const void *bytes, size_t n);
bool raw_write_array(RawPeer *peer, const GByteArray *bytes);
bool raw_send_hello(RawPeer *peer, const ShmigHello *hello);
/* Fills in the sequence. */
bool raw_send(RawPeer *peer, ShmigFrame frame, const void *body);
bool raw_send_type(RawPeer *peer, uint8_t type);
bool raw_send_data(RawPeer *peer, const ShmigRecord *records, unsigned n,
                   uint8_t bytes);
bool raw_send_offer(RawPeer *peer, const ShmigOffer *offer);

/* Reads; false if the other side ended. */
bool raw_read(RawPeer *peer, void *bytes, size_t n);
/* Must be a good hello. */
bool raw_recv_hello(RawPeer *peer, ShmigHello *hello);
/* Must be a good frame; *@body (NULL: not wanted) is to be freed. */
bool raw_recv(RawPeer *peer, ShmigFrame *frame, char **body);

/* Frames up to one of @type, which must come. */
ShmigFrame raw_expect(RawPeer *peer, uint8_t type);
/* The problems of an ANSWER, one per line, which must come. */
char *raw_expect_answer(RawPeer *peer);
/*
 * Everything up to the end, in which frames of the other kinds are ignored:
 * the sentence of the ERROR frame, which must be the last; or NULL.
 */
char *raw_last_words(RawPeer *peer);

#endif
