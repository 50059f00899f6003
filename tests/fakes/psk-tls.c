/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS of GnuTLS with a key that both sides were given.  Errors are told apart
 * no finer than QEMU's wrapper of GnuTLS does it.
 */
#include "psk-tls.h"
#include "shmig/base/container.h"
#include "shmig/base/error.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <string.h>

#define USUAL_KEY "a key of thirty-two bytes, or so"
#define TLS_1_3 \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CHACHA20-POLY1305:+ECDHE-PSK:+PSK"

typedef struct PskTls {
    ShmigTls base;
    PskCreds options;
    gnutls_session_t handle;
    gnutls_psk_client_credentials_t client;
    gnutls_psk_server_credentials_t server;
    bool starved; /* there was nothing to pull */
} PskTls;

static PskTls *psk(ShmigTls *tls)
{
    return SHMIG_CONTAINER_OF(tls, PskTls, base);
}

static ssize_t push(gnutls_transport_ptr_t opaque, const void *bytes, size_t n)
{
    PskTls *p = opaque;
    ssize_t ret = shmig_tls_push(&p->base, bytes, n);

    if (ret < 0) {
        gnutls_transport_set_errno(p->handle, -ret);
        return -1;
    }
    return ret;
}

static ssize_t pull(gnutls_transport_ptr_t opaque, void *bytes, size_t n)
{
    PskTls *p = opaque;
    ssize_t ret = shmig_tls_pull(&p->base, bytes, n);

    if (ret < 0) {
        p->starved = true;
        gnutls_transport_set_errno(p->handle, -ret);
        return -1;
    }
    return ret;
}

static int handshake(ShmigTls *tls, GError **errp)
{
    int ret = gnutls_handshake(psk(tls)->handle);

    if (ret == 0) {
        return 1;
    }
    if (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED) {
        return 0;
    }
    g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PEER, "handshake failed: %s",
                gnutls_strerror(ret));
    return -1;
}

static bool check(ShmigTls *tls, GError **errp)
{
    const char *stranger = psk(tls)->options.stranger;

    if (stranger) {
        g_set_error_literal(errp, SHMIG_ERROR, SHMIG_ERROR_PEER, stranger);
        return false;
    }
    return true;
}

static int encrypt(ShmigTls *tls, const void *plain, size_t bytes)
{
    ssize_t n = gnutls_record_send(psk(tls)->handle, plain, bytes);

    return n == (ssize_t)bytes ? 0 : -EIO;
}

static ssize_t decrypt(ShmigTls *tls, void *plain, size_t bytes)
{
    PskTls *p = psk(tls);
    ssize_t n;

    do {
        p->starved = false;
        n = gnutls_record_recv(p->handle, plain, bytes);
    } while (n == GNUTLS_E_AGAIN && !p->starved);
    if (n == GNUTLS_E_AGAIN) {
        return -EAGAIN;
    }
    return n < 0 ? -EBADMSG : n;
}

static int bye(ShmigTls *tls)
{
    return gnutls_bye(psk(tls)->handle, GNUTLS_SHUT_WR) == 0 ? 0 : -EIO;
}

static void tls_free(ShmigTls *tls)
{
    PskTls *p = psk(tls);

    gnutls_deinit(p->handle);
    if (p->options.server) {
        gnutls_psk_free_server_credentials(p->server);
    } else {
        gnutls_psk_free_client_credentials(p->client);
    }
    shmig_tls_destroy(tls);
    g_free(p);
}

static const ShmigTlsOps tls_ops = {
    .handshake = handshake,
    .check = check,
    .encrypt = encrypt,
    .decrypt = decrypt,
    .bye = bye,
    .free = tls_free,
};

static const char *key_of(const PskTls *p)
{
    return p->options.key ? p->options.key : USUAL_KEY;
}

static int find_key(gnutls_session_t handle, const char *name,
                    gnutls_datum_t *key)
{
    PskTls *p = gnutls_transport_get_ptr(handle);

    key->size = strlen(key_of(p));
    key->data = gnutls_malloc(key->size);
    memcpy(key->data, key_of(p), key->size);
    return 0;
}

static void set_key(PskTls *p)
{
    gnutls_datum_t key = { (void *)key_of(p), strlen(key_of(p)) };

    if (p->options.server) {
        gnutls_psk_allocate_server_credentials(&p->server);
        gnutls_psk_set_server_credentials_function(p->server, find_key);
        gnutls_credentials_set(p->handle, GNUTLS_CRD_PSK, p->server);
    } else {
        gnutls_psk_allocate_client_credentials(&p->client);
        gnutls_psk_set_client_credentials(p->client, "test", &key,
                                          GNUTLS_PSK_KEY_RAW);
        gnutls_credentials_set(p->handle, GNUTLS_CRD_PSK, p->client);
    }
}

static ShmigTls *creds_connect(ShmigTlsCreds *creds, GError **errp)
{
    PskTls *p = g_new0(PskTls, 1);

    p->options = *SHMIG_CONTAINER_OF(creds, PskCreds, base);
    shmig_tls_init(&p->base, &tls_ops);
    gnutls_init(&p->handle, p->options.server ? GNUTLS_SERVER : GNUTLS_CLIENT);
    g_assert_cmpint(gnutls_priority_set_direct(
                        p->handle,
                        p->options.priority ? p->options.priority : TLS_1_3,
                        NULL),
                    ==, 0);
    set_key(p);
    gnutls_transport_set_ptr(p->handle, p);
    gnutls_transport_set_push_function(p->handle, push);
    gnutls_transport_set_pull_function(p->handle, pull);
    return &p->base;
}

static void creds_free(ShmigTlsCreds *creds)
{
    g_free(SHMIG_CONTAINER_OF(creds, PskCreds, base));
}

static const ShmigTlsCredsOps creds_ops = {
    .connect = creds_connect,
    .free = creds_free,
};

ShmigTlsCreds *psk_creds_new(PskCreds options)
{
    PskCreds *creds = g_new(PskCreds, 1);

    *creds = options;
    creds->base.ops = &creds_ops;
    return &creds->base;
}

void psk_carry(ShmigTls *from, ShmigTls *to)
{
    size_t bytes, room;
    const void *p = shmig_tls_unsent(from, &bytes);
    void *space = shmig_tls_space(to, &room);

    g_assert_cmpuint(bytes, <=, room);
    memcpy(space, p, bytes);
    shmig_tls_received(to, bytes);
    shmig_tls_sent(from, bytes);
}

bool psk_shake_hands(ShmigTls *client, ShmigTls *server, GError **errp)
{
    int client_done = 0, server_done = 0;

    while (client_done == 0 || server_done == 0) {
        if (client_done == 0) {
            client_done = client->ops->handshake(client, errp);
        }
        psk_carry(client, server);
        if (client_done >= 0 && server_done == 0) {
            server_done = server->ops->handshake(server, errp);
        }
        psk_carry(server, client);
        if (client_done < 0 || server_done < 0) {
            return false;
        }
    }
    return true;
}

void psk_pair(ShmigTls **client, ShmigTls **server)
{
    ShmigTlsCreds *of_client = psk_creds_new((PskCreds) { .server = false });
    ShmigTlsCreds *of_server = psk_creds_new((PskCreds) { .server = true });
    g_autoptr(GError) error = NULL;

    *client = of_client->ops->connect(of_client, &error);
    *server = of_server->ops->connect(of_server, &error);
    psk_shake_hands(*client, *server, &error);
    g_assert_no_error(error);
    shmig_tls_creds_free(of_client);
    shmig_tls_creds_free(of_server);
}

void psk_update_keys(ShmigTls *tls, bool both)
{
    g_assert_cmpint(
        gnutls_session_key_update(psk(tls)->handle, both ? GNUTLS_KU_PEER : 0),
        ==, 0);
}
