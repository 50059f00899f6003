/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS by QEMU's credentials objects: who belongs together moves a guest, who
 * does not hears why, and then the same destination takes the same source
 * with the right ones.
 */
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "eavesdrop.h"
#include "loop.h"
#include "rows.h"
#include "tls-files.h"

static char *files; /* of all rows */

/* Credentials of one side; without, it does not use TLS. */
typedef struct Side {
    const char *type;  /* "psk" or "x509" */
    const char *files; /* which of tls-files.h */
    const char *more;  /* "'verify-peer': false" */
} Side;

typedef struct Case {
    Side source, dest;
    const char *hostname; /* tls-hostname */
    const char *authz;    /* who may come */
    Side right;           /* what the source should have had */
    const char *right_hostname;
} Case;

static bool use(Machine *machine, const Side *side, const char *id,
                const char *endpoint, GError **errp)
{
    const char *name = side->type ? id : "";
    g_autofree char *setting = g_strdup_printf("'tls-creds': '%s'", name);

    return (!side->type ||
            qmp_run(machine->qmp, errp, "object-add",
                    "{'qom-type': 'tls-creds-%s', 'id': '%s', "
                    "'dir': '%s/%s', 'endpoint': '%s'%s%s}",
                    side->type, id, files, side->files, endpoint,
                    side->more ? ", " : "", side->more ? side->more : "")) &&
           pair_set_parameter(machine, setting, errp);
}

static bool set_hostname(Pair *pair, const char *hostname, GError **errp)
{
    g_autofree char *setting =
        g_strdup_printf("'tls-hostname': '%s'", hostname ? hostname : "");

    return pair_set_parameter(pair->source, setting, errp);
}

/* A list with one who is allowed. */
static bool set_authz(Pair *pair, const char *who, GError **errp)
{
    return qmp_run(pair->dest->qmp, errp, "object-add",
                   "{'qom-type': 'authz-list', 'id': 'list', "
                   "'policy': 'deny', 'rules': [{'match': '%s', "
                   "'policy': 'allow', 'format': 'exact'}]}",
                   who) &&
           pair_set_parameter(pair->dest, "'tls-authz': 'list'", errp);
}

/* Both have what the row says, and the destination listens. */
static bool prepare(Pair *pair, GError **errp)
{
    const Case *c = row_now()->data;

    return use(pair->source, &c->source, "tls0", "client", errp) &&
           use(pair->dest, &c->dest, "tls0", "server", errp) &&
           set_hostname(pair, c->hostname, errp) &&
           (!c->authz || set_authz(pair, c->authz, errp)) &&
           pair_listen(pair, errp);
}

static bool moves(Pair *pair, GError **errp)
{
    return prepare(pair, errp) && pair_move(pair, errp);
}

/* The source has what it should have had; another list decides by now. */
static bool correct(Pair *pair, GError **errp)
{
    const Case *c = row_now()->data;

    qmp_forget_events(pair->source->qmp);
    return use(pair->source, &c->right, "tls1", "client", errp) &&
           set_hostname(pair, c->right_hostname, errp) &&
           (!c->authz ||
            (qmp_run(pair->dest->qmp, errp, "object-del", "{'id': 'list'}") &&
             set_authz(pair, "CN=source", errp)));
}

/* What the destination wrote about a connection that it did not take. */
static bool dest_wrote(Pair *pair, GError **errp)
{
    g_autofree char *text = machine_stderr(pair->dest);

    return strstr(text, "a connection was") ||
           harness_fail(errp, "the destination wrote: %s", text);
}

static bool refused(Pair *pair, GError **errp)
{
    g_autofree char *sentence = NULL;

    if (!prepare(pair, errp) || !pair_migrate(pair, errp)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    if (!sentence || !row_said(sentence, errp) ||
        !pair_source_unharmed(pair, errp) || !dest_wrote(pair, errp)) {
        return false;
    }
    return correct(pair, errp) && pair_move(pair, errp);
}

/* The command migrate fails. */
static bool refused_at_once(Pair *pair, GError **errp)
{
    g_autoptr(GError) error = NULL;

    if (!prepare(pair, errp)) {
        return false;
    }
    if (pair_migrate(pair, &error)) {
        return harness_fail(errp, "it was not refused");
    }
    return row_said(error->message, errp) && pair_source_unharmed(pair, errp) &&
           correct(pair, errp) && pair_move(pair, errp);
}

/* The destination does not begin to listen. */
static bool not_listening(Pair *pair, GError **errp)
{
    g_autoptr(GError) error = NULL;

    if (prepare(pair, &error)) {
        return harness_fail(errp, "the destination listens");
    }
    return row_said(error->message, errp) &&
           pair_set_parameter(pair->dest, "'tls-authz': ''", errp) &&
           pair_listen(pair, errp) && pair_move(pair, errp);
}

/* The commands themselves fail, and work once they are given the right. */
static bool wrong_end(Pair *pair, GError **errp)
{
    const Side good = { "psk", "key" };
    g_autoptr(GError) at_source = NULL, at_dest = NULL;

    if (!use(pair->dest, &good, "tls0", "client", errp) ||
        !use(pair->source, &good, "tls0", "server", errp)) {
        return false;
    }
    if (pair_listen(pair, &at_dest) ||
        qmp_run(pair->source->qmp, &at_source, "migrate",
                "{'uri': 'shmig:unix:%s/move'}", pair->dir)) {
        return harness_fail(errp, "it was not refused");
    }
    qmp_forget_events(pair->source->qmp);
    return row_said_words(at_dest->message, "for a server endpoint", errp) &&
           row_said_words(at_source->message, "for a client endpoint", errp) &&
           use(pair->dest, &good, "tls1", "server", errp) &&
           use(pair->source, &good, "tls1", "client", errp) &&
           pair_listen(pair, errp) && pair_move(pair, errp);
}

/* --- with a client that is not ours --- */

static int dial(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpuint(strlen(path), <, sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    g_assert_cmpint(connect(fd, (void *)&address, sizeof(address)), ==, 0);
    return fd;
}

/* Whether the destination at  shakes hands, by GnuTLS's . */
static bool shakes_hands(const char *path, const char *priority)
{
    gnutls_datum_t key = { (void *)TLS_FILES_KEY, strlen(TLS_FILES_KEY) };
    gnutls_psk_client_credentials_t creds;
    gnutls_session_t session;
    int fd = dial(path), ret;

    gnutls_psk_allocate_client_credentials(&creds);
    gnutls_psk_set_client_credentials(creds, "qemu", &key, GNUTLS_PSK_KEY_HEX);
    gnutls_init(&session, GNUTLS_CLIENT);
    gnutls_priority_set_direct(session, priority, NULL);
    gnutls_credentials_set(session, GNUTLS_CRD_PSK, creds);
    gnutls_transport_set_int(session, fd);
    ret = gnutls_handshake(session);
    gnutls_deinit(session);
    gnutls_psk_free_client_credentials(creds);
    close(fd);
    return ret == 0;
}

#define ONLY(version_) \
    "NORMAL:-VERS-ALL:+VERS-TLS" version_ ":+ECDHE-PSK:+DHE-PSK:+PSK"

static bool old_version(Pair *pair, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/move", pair->dir);

    if (!prepare(pair, errp)) {
        return false;
    }
    if (shakes_hands(path, ONLY("1.2"))) {
        return harness_fail(errp, "it speaks TLS 1.2");
    }
    if (!shakes_hands(path, ONLY("1.3"))) {
        return harness_fail(errp, "it does not speak TLS 1.3");
    }
    return pair_move(pair, errp);
}

/* --- with somebody on the line --- */

typedef struct OnTheLine {
    Case both;
    EavesdropDeed deed;
    uint64_t at;
} OnTheLine;

static bool reads_nothing(Pair *pair, Eavesdrop *tap, GError **errp)
{
    const OnTheLine *line = row_now()->data;
    bool tls = line->both.source.type != NULL;
    unsigned frames;

    if (!pair_move(pair, errp)) {
        return false;
    }
    /* What looks like one comes up by chance, once in 4 GiB. */
    frames = eavesdrop_frames(tap);
    return eavesdrop_bytes(tap) < PAIR_SLOW_BYTES || (frames > 3) == tls
               ? harness_fail(
                     errp, "%u frames were seen in %" G_GUINT64_FORMAT " bytes",
                     frames, eavesdrop_bytes(tap))
               : true;
}

static bool is_noticed(Pair *pair, Eavesdrop *tap, GError **errp)
{
    g_autofree char *sentence = NULL, *printed = NULL;

    if (!pair_migrate(pair, errp)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    printed = pair_wait_dest_end(pair, errp);
    return sentence && printed && row_said(printed, errp) &&
           pair_source_unharmed(pair, errp) && machine_quit(pair->source, errp);
}

static bool on_the_line(Pair *pair, GError **errp)
{
    const OnTheLine *line = row_now()->data;
    g_autofree char *path = g_strdup_printf("%s/line", pair->dir);
    g_autofree char *to = g_strdup_printf("%s/move", pair->dir);
    Eavesdrop *tap;
    bool ok;

    if (!prepare(pair, errp)) {
        return false;
    }
    tap = eavesdrop_new(path, to, line->deed, line->at, errp);
    g_free(pair->uri);
    pair->uri = g_strdup_printf("shmig:unix:%s", path);
    ok = tap && (line->deed == EAVESDROP_LISTEN ? reads_nothing
                                                : is_noticed)(pair, tap, errp);
    eavesdrop_free(tap);
    return ok;
}

/* clang-format off */
#define RAW { .format = "raw" }
#define TCG .accel = "tcg", .vcpus = 2, .guest = ROW_BUSY, .no_listen = true, \
    .disks = { RAW }
#define KVM .accel = "kvm", .vcpus = 2, .guest = ROW_BUSY, .no_listen = true, \
    .disks = { RAW, { .format = "qcow2" } }
#define TLS "/qemu/tls/"
#define CASE(...) &(const Case) { __VA_ARGS__ }
#define LINE(...) &(const OnTheLine) { __VA_ARGS__ }
#define PLAIN { NULL }
#define PSK(files_) { "psk", files_ }
#define X509(files_) { "x509", files_ }
/* Where QEMU itself would not take such a certificate. */
#define LAX(files_) { "x509", files_, "'sanity-check': false" }
#define BLIND(files_) { "x509", files_, "'verify-peer': false" }
#define OWN(priority_) { "psk", "key", "'priority': '" priority_ "'" }
#define TRUST "dest.example"
#define UNIX_4 .channels = 4
#define TCP_4 .channels = 4, .address = PAIR_TCP4

static const Row rows[] = {
    { TLS "psk/1", { TCG, .channels = 1 }, moves, NULL,
      CASE(PSK("key"), PSK("key")) },
    { TLS "psk/4", { KVM, TCP_4 }, moves, NULL, CASE(PSK("key"), PSK("key")) },
    { TLS "psk/own-priority", { TCG, TCP_4 }, moves, NULL,
      CASE(OWN("NORMAL:-AES-128-GCM"), PSK("key")) },
    { TLS "x509/1", { TCG, .channels = 1 }, moves, NULL,
      CASE(X509("good"), X509("good"), TRUST) },
    { TLS "x509/4", { KVM, UNIX_4 }, moves, NULL,
      CASE(X509("good"), X509("good"), TRUST) },
    { TLS "x509/by-address", { TCG, TCP_4 }, moves, NULL,
      CASE(X509("good"), X509("good")) },
    { TLS "x509/authz", { TCG, TCP_4 }, moves, NULL,
      CASE(X509("good"), X509("good"), TRUST, "CN=source") },

    { TLS "refuse/wrong-key", { TCG }, refused,
      "TLS with the destination|may not know this side's key",
      CASE(PSK("key-other"), PSK("key"), .right = PSK("key")) },
    { TLS "refuse/wrong-ca-of-destination", { TCG }, refused,
      "TLS with the destination|known issuer",
      CASE(X509("good"), X509("other"), TRUST, .right = X509("other"),
           .right_hostname = TRUST) },
    { TLS "refuse/wrong-ca-of-source", { TCG, TCP_4 }, refused,
      "does not admit the source|No certificate",
      CASE(BLIND("other"), X509("good"), TRUST, .right = X509("good"),
           .right_hostname = TRUST) },
    { TLS "refuse/wrong-hostname", { TCG }, refused,
      "TLS with the destination|does not match the hostname other.example",
      CASE(X509("good"), X509("good"), "other.example",
           .right = X509("good"), .right_hostname = TRUST) },
    { TLS "refuse/wrong-server", { TCG, TCP_4 }, refused,
      "TLS with the destination|does not match the hostname dest.example",
      CASE(X509("good"), X509("elsewhere"), TRUST,
           .right = X509("good"), .right_hostname = "other.example") },
    { TLS "refuse/no-hostname", { TCG }, refused_at_once,
      "\"tls-hostname\" is missing",
      CASE(X509("good"), X509("good"), .right = X509("good"),
           .right_hostname = TRUST) },
    { TLS "refuse/expired-destination", { TCG }, refused,
      "TLS with the destination|has expired",
      CASE(X509("good"), LAX("expired"), TRUST, .right = BLIND("good"),
           .right_hostname = TRUST) },
    { TLS "refuse/expired-source", { TCG, TCP_4 }, refused,
      "does not admit the source|has expired",
      CASE(LAX("expired"), X509("good"), TRUST, .right = X509("good"),
           .right_hostname = TRUST) },
    { TLS "refuse/no-certificate", { TCG, UNIX_4 }, refused,
      "does not admit the source",
      CASE(X509("nobody"), X509("good"), TRUST, .right = X509("good"),
           .right_hostname = TRUST) },
    { TLS "refuse/authz", { TCG }, refused,
      "does not admit the source|authz check for CN=source is denied",
      CASE(X509("good"), X509("good"), TRUST, "CN=somebody else",
           .right = X509("good"), .right_hostname = TRUST) },
    { TLS "refuse/authz-without-certificate", { TCG }, not_listening,
      "\"tls-authz\" needs the source's certificate|\"tls0\"",
      CASE(PSK("key"), PSK("key"), .authz = "CN=source") },
    { TLS "refuse/authz-unverified", { TCG }, not_listening,
      "\"tls-authz\" needs the source's certificate|verify-peer=on",
      CASE(X509("good"), BLIND("good"), TRUST, "CN=source") },
    { TLS "refuse/plain-source", { TCG }, refused,
      "takes connections with TLS only|tls-creds",
      CASE(PLAIN, PSK("key"), .right = PSK("key")) },
    { TLS "refuse/plain-source/4", { TCG, TCP_4 }, refused,
      "takes connections with TLS only|tls-creds",
      CASE(PLAIN, X509("good"), .right = X509("good")) },
    { TLS "refuse/plain-destination", { TCG }, refused,
      "TLS with the destination|does not use TLS",
      CASE(PSK("key"), PLAIN, .right = PLAIN) },
    { TLS "refuse/plain-destination/4", { TCG, TCP_4 }, refused,
      "TLS with the destination|does not use TLS",
      CASE(X509("good"), PLAIN, .right = PLAIN) },
    { TLS "refuse/key-against-certificate", { TCG }, refused,
      "TLS with the destination|handshake",
      CASE(PSK("key"), X509("good"), .right = X509("good"),
           .right_hostname = TRUST) },
    { TLS "refuse/old-version", { TCG }, old_version, NULL,
      CASE(PSK("key"), OWN("NORMAL:-VERS-TLS1.3")) },
    { TLS "refuse/wrong-end", { TCG }, wrong_end },

    { TLS "line/without", { TCG, UNIX_4 }, on_the_line, NULL,
      LINE({ PLAIN, PLAIN }, EAVESDROP_LISTEN) },
    { TLS "line/psk", { TCG, UNIX_4 }, on_the_line, NULL,
      LINE({ PSK("key"), PSK("key") }, EAVESDROP_LISTEN) },
    { TLS "line/changed", { TCG, .slow = true }, on_the_line,
      "channel 0 was lost|does not decrypt",
      LINE({ PSK("key"), PSK("key") }, EAVESDROP_CHANGE, 1000000) },
    { TLS "line/ended", { TCG, .slow = true }, on_the_line,
      "was lost|it was cut",
      LINE({ PSK("key"), PSK("key") }, EAVESDROP_END, 1000000) },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int result;

    g_test_init(&argc, &argv, NULL);
    files = tls_files_new(&error);
    if (!files) {
        g_error("%s", error->message);
    }
    rows_add(rows, G_N_ELEMENTS(rows));
    result = g_test_run();
    tls_files_free(files);
    return result;
}
