/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS through QEMU's credentials objects and its sessions over GnuTLS.
 *
 * The parameters are read once, when a migration begins or begins to listen;
 * the object stays while it is used, even if a user deletes it.
 */
#include "qemu/osdep.h"

#include "crypto/tlscreds.h"
#include "crypto/tlscredspsk.h"
#include "crypto/tlscredsx509.h"
#include "crypto/tlssession.h"
#include "qapi/qapi-types-migration.h"
#include "migration/options.h"
#include "qom/object.h"

#include "shmig/base/container.h"
#include "shmig/base/error.h"
#include "shmig/io/tls.h"

#include "tls.h"

typedef struct Creds {
    ShmigTlsCreds base;
    QCryptoTLSCreds *object;
    QCryptoTLSCredsEndpoint endpoint;
    char *hostname; /* source: to be in the destination's certificate */
    char *priority; /* of GnuTLS */
    char *authz;    /* destination: id of who decides on sources, or NULL */
    ShmigAsks *asks;
} Creds;

/* One connection. */
typedef struct Tls {
    ShmigTls base;
    const Creds *creds; /* the session keeps them longer */
    QCryptoTLSSession *session;
    bool starved; /* there was nothing to read */
} Tls;

static Tls *tls_of(ShmigTls *tls)
{
    return SHMIG_CONTAINER_OF(tls, Tls, base);
}

/* Takes @error. */
static void refuse(GError **errp, Error *error)
{
    g_set_error_literal(errp, SHMIG_ERROR, SHMIG_ERROR_REFUSED,
                        error_get_pretty(error));
    error_free(error);
}

static ssize_t write_out(const char *bytes, size_t n, void *opaque,
                         Error **errp)
{
    Tls *tls = opaque;
    ssize_t ret = shmig_tls_push(&tls->base, bytes, n);

    if (ret < 0) {
        error_setg_errno(errp, -ret, "more than a handshake should need");
        return -1;
    }
    return ret;
}

static ssize_t read_in(char *bytes, size_t n, void *opaque, Error **errp)
{
    Tls *tls = opaque;
    ssize_t ret = shmig_tls_pull(&tls->base, bytes, n);

    if (ret < 0) {
        tls->starved = true;
        return QCRYPTO_TLS_SESSION_ERR_BLOCK;
    }
    return ret;
}

static int handshake(ShmigTls *base, GError **errp)
{
    Error *error = NULL;

    switch (qcrypto_tls_session_handshake(tls_of(base)->session, &error)) {
    case QCRYPTO_TLS_HANDSHAKE_COMPLETE:
        return 1;
    case QCRYPTO_TLS_HANDSHAKE_SENDING:
    case QCRYPTO_TLS_HANDSHAKE_RECVING:
        return 0;
    default:
        refuse(errp, error);
        return -1;
    }
}

/* A question for the main loop, to which authorization objects belong. */
typedef struct CheckCall {
    QCryptoTLSSession *session;
    Error *error;
} CheckCall;

static void check_peer(void *opaque)
{
    CheckCall *call = opaque;

    qcrypto_tls_session_check_credentials(call->session, &call->error);
}

static bool check(ShmigTls *base, GError **errp)
{
    Tls *tls = tls_of(base);
    CheckCall call = { .session = tls->session };

    if (!tls->creds->authz) {
        check_peer(&call);
    } else if (!shmig_asks_ask(tls->creds->asks, check_peer, &call)) {
        error_setg(&call.error, "the destination's QEMU is ending");
    }
    if (call.error) {
        refuse(errp, call.error);
        return false;
    }
    return true;
}

static int encrypt(ShmigTls *base, const void *plain, size_t bytes)
{
    ssize_t n =
        qcrypto_tls_session_write(tls_of(base)->session, plain, bytes, NULL);

    return n == bytes ? 0 : -EIO;
}

static ssize_t decrypt(ShmigTls *base, void *plain, size_t bytes)
{
    Tls *tls = tls_of(base);
    ssize_t n;

    /* What is no data (an update of keys) has it come back early. */
    do {
        tls->starved = false;
        n = qcrypto_tls_session_read(tls->session, plain, bytes, false, NULL);
    } while (n == QCRYPTO_TLS_SESSION_ERR_BLOCK && !tls->starved);
    if (n == QCRYPTO_TLS_SESSION_ERR_BLOCK) {
        return -EAGAIN;
    }
    return n < 0 ? -EBADMSG : n;
}

static int bye(ShmigTls *base)
{
    int ret = qcrypto_tls_session_bye(tls_of(base)->session, NULL);

    return ret == QCRYPTO_TLS_BYE_COMPLETE ? 0 : -EIO;
}

static void tls_free(ShmigTls *base)
{
    Tls *tls = tls_of(base);

    qcrypto_tls_session_free(tls->session);
    shmig_tls_destroy(base);
    g_free(tls);
}

static const ShmigTlsOps tls_ops = {
    .handshake = handshake,
    .check = check,
    .encrypt = encrypt,
    .decrypt = decrypt,
    .bye = bye,
    .free = tls_free,
};

static bool set_priority(QCryptoTLSSession *session, const char *priority)
{
#ifdef CONFIG_GNUTLS
    return qcrypto_tls_session_set_priority(session, priority);
#else
    return false; /* nor would there be a session */
#endif
}

static ShmigTls *creds_connect(ShmigTlsCreds *base, GError **errp)
{
    Creds *creds = SHMIG_CONTAINER_OF(base, Creds, base);
    QCryptoTLSSession *session;
    Error *error = NULL;
    Tls *tls;

    session = qcrypto_tls_session_new(creds->object, creds->hostname,
                                      creds->authz, creds->endpoint, &error);
    if (!session) {
        refuse(errp, error);
        return NULL;
    }
    if (!set_priority(session, creds->priority)) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_REFUSED,
                    "GnuTLS has nothing for the priority \"%s\"; correct that "
                    "of the credentials object",
                    creds->priority);
        qcrypto_tls_session_free(session);
        return NULL;
    }
    tls = g_new0(Tls, 1);
    shmig_tls_init(&tls->base, &tls_ops);
    tls->creds = creds;
    tls->session = session;
    qcrypto_tls_session_set_callbacks(session, write_out, read_in, tls);
    return &tls->base;
}

static void creds_free(ShmigTlsCreds *base)
{
    Creds *creds = SHMIG_CONTAINER_OF(base, Creds, base);

    object_unref(OBJECT(creds->object));
    g_free(creds->hostname);
    g_free(creds->priority);
    g_free(creds->authz);
    g_free(creds);
}

static const ShmigTlsCredsOps creds_ops = {
    .connect = creds_connect,
    .free = creds_free,
};

static bool is_set(const char *parameter)
{
    return parameter && *parameter;
}

/*
 * What the credentials ask for, but of versions only 1.3.  By default AES comes
 * before ChaCha20, which GnuTLS would take for a pre-shared key and is several
 * times as slow on processors that know AES.
 */
static char *priority_of(Object *object)
{
    g_autofree char *own = object_property_get_str(object, "priority", NULL);
    bool psk = object_dynamic_cast(object, TYPE_QCRYPTO_TLS_CREDS_PSK);
    /* A distribution's own list may be without it. */
    bool plain = !is_set(own) && !strcmp(CONFIG_TLS_PRIORITY, "NORMAL");

    return g_strdup_printf("%s%s:-VERS-ALL:+VERS-TLS1.3%s",
                           is_set(own) ? own : CONFIG_TLS_PRIORITY,
                           plain ? ":-CHACHA20-POLY1305:+CHACHA20-POLY1305"
                                 : "",
                           psk ? ":+ECDHE-PSK:+DHE-PSK:+PSK" : "");
}

/* Anonymous ones there are none of in TLS 1.3. */
static bool is_usable(Object *object)
{
    return object_dynamic_cast(object, TYPE_QCRYPTO_TLS_CREDS_PSK) ||
           object_dynamic_cast(object, TYPE_QCRYPTO_TLS_CREDS_X509);
}

static Creds *creds_new(QCryptoTLSCredsEndpoint endpoint, Error **errp)
{
    const char *id = migrate_tls_creds();
    Object *object =
        object_resolve_path_component(object_get_objects_root(), id);
    Creds *creds;

    if (!object || !is_usable(object)) {
        error_setg(errp,
                   "migration parameter \"tls-creds\": there is no object "
                   "\"%s\" of type tls-creds-x509 or tls-creds-psk",
                   id);
        return NULL;
    }
    if (!qcrypto_tls_creds_check_endpoint(QCRYPTO_TLS_CREDS(object), endpoint,
                                          errp)) {
        return NULL;
    }
    creds = g_new0(Creds, 1);
    creds->base.ops = &creds_ops;
    creds->object = QCRYPTO_TLS_CREDS(object_ref(object));
    creds->endpoint = endpoint;
    creds->priority = priority_of(object);
    return creds;
}

/* Whether the peer's certificate is asked for and looked at. */
static bool verifies_peer(const Creds *creds)
{
    Object *object = OBJECT(creds->object);

    return object_dynamic_cast(object, TYPE_QCRYPTO_TLS_CREDS_X509) &&
           object_property_get_bool(object, "verify-peer", &error_abort);
}

/* A certificate is worth nothing unless it is known whose it should be. */
static bool has_name(const Creds *creds, Error **errp)
{
    if (creds->hostname || !verifies_peer(creds)) {
        return true;
    }
    error_setg(errp, "migration parameter \"tls-hostname\" is missing: set it "
                     "to the name in the destination's certificate, since the "
                     "address has none");
    return false;
}

bool shmig_tls_use_source(ShmigSource *source, const SocketAddress *address,
                          Error **errp)
{
    const char *hostname = migrate_tls_hostname();
    Creds *creds;

    if (!migrate_tls()) {
        return true;
    }
    creds = creds_new(QCRYPTO_TLS_CREDS_ENDPOINT_CLIENT, errp);
    if (!creds) {
        return false;
    }
    if (is_set(hostname)) {
        creds->hostname = g_strdup(hostname);
    } else if (address->type == SOCKET_ADDRESS_TYPE_INET) {
        creds->hostname = g_strdup(address->u.inet.host);
    }
    if (!has_name(creds, errp)) {
        shmig_tls_creds_free(&creds->base);
        return false;
    }
    shmig_source_set_tls(source, &creds->base);
    return true;
}

/* Without a certificate there is no name to ask about: all would get in. */
static bool can_authorize(const Creds *creds, Error **errp)
{
    if (!creds->authz || verifies_peer(creds)) {
        return true;
    }
    error_setg(errp,
               "migration parameter \"tls-authz\" needs the source's "
               "certificate, which \"%s\" does not ask for: use an object of "
               "type tls-creds-x509 with verify-peer=on, or clear it",
               migrate_tls_creds());
    return false;
}

bool shmig_tls_use_dest(ShmigDest *dest, ShmigAsks *asks, Error **errp)
{
    Creds *creds;

    if (!migrate_tls()) {
        return true;
    }
    creds = creds_new(QCRYPTO_TLS_CREDS_ENDPOINT_SERVER, errp);
    if (!creds) {
        return false;
    }
    creds->authz =
        is_set(migrate_tls_authz()) ? g_strdup(migrate_tls_authz()) : NULL;
    creds->asks = asks;
    if (!can_authorize(creds, errp)) {
        shmig_tls_creds_free(&creds->base);
        return false;
    }
    shmig_dest_set_tls(dest, &creds->base);
    return true;
}
