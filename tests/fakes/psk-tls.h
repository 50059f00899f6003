/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS as an embedder would provide it: GnuTLS, with a key that both sides
 * were given.
 */
#ifndef TESTS_FAKES_PSK_TLS_H
#define TESTS_FAKES_PSK_TLS_H

#include "shmig/io/link.h"

typedef struct PskCreds {
    ShmigTlsCreds base; /* filled in */
    bool server;
    const char *key;      /* NULL: the usual one */
    const char *priority; /* NULL: TLS 1.3 */
    const char *stranger; /* check() fails and says so */
} PskCreds;

/* A copy of @options, to be given to a session. */
ShmigTlsCreds *psk_creds_new(PskCreds options);

/* Goes on with both handshakes as far as they get; whether both are done. */
bool psk_shake_hands(ShmigTls *client, ShmigTls *server, GError **errp);
/* A client and a server that know each other. */
void psk_pair(ShmigTls **client, ShmigTls **server);
/* What one has to say, given to the other. */
void psk_carry(ShmigTls *from, ShmigTls *to);
/* New keys for this side, and with @both for the other one too. */
void psk_update_keys(ShmigTls *tls, bool both);

#endif
