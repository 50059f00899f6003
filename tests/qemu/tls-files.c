/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys and certificates, made with GnuTLS when they are needed. */
#include "tls-files.h"

#include <glib/gstdio.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#include "loop.h"

#define DAY_S (24 * 60 * 60)

typedef struct Signed {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
} Signed;

typedef enum Use {
    USE_CA,
    USE_SERVER,
    USE_CLIENT,
} Use;

typedef struct Subject {
    Use use;
    const char *name;
    bool expired;
} Subject;

static void must(int ret)
{
    if (ret < 0) {
        g_error("GnuTLS: %s", gnutls_strerror(ret));
    }
}

static void set_use(gnutls_x509_crt_t crt, const Subject *subject)
{
    static const uint8_t loopback[] = { 127, 0, 0, 1 };
    const char *name = subject->name;

    must(
        gnutls_x509_crt_set_basic_constraints(crt, subject->use == USE_CA, -1));
    must(gnutls_x509_crt_set_key_usage(
        crt, subject->use == USE_CA ? GNUTLS_KEY_KEY_CERT_SIGN
                                    : GNUTLS_KEY_DIGITAL_SIGNATURE));
    if (subject->use == USE_CLIENT) {
        must(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT,
                                                 0));
    } else if (subject->use == USE_SERVER) {
        must(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER,
                                                 0));
        must(gnutls_x509_crt_set_subject_alt_name(
            crt, GNUTLS_SAN_DNSNAME, name, strlen(name), GNUTLS_FSAN_SET));
        must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS,
                                                  loopback, sizeof(loopback),
                                                  GNUTLS_FSAN_APPEND));
    }
}

static Signed sign(const Subject *subject, const Signed *by)
{
    static uint8_t serial;
    time_t now = time(NULL);
    Signed made;

    must(gnutls_x509_privkey_init(&made.key));
    must(gnutls_x509_privkey_generate(
        made.key, GNUTLS_PK_ECDSA,
        GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    must(gnutls_x509_crt_init(&made.crt));
    must(gnutls_x509_crt_set_version(made.crt, 3));
    serial++;
    must(gnutls_x509_crt_set_serial(made.crt, &serial, 1));
    must(gnutls_x509_crt_set_dn_by_oid(made.crt, GNUTLS_OID_X520_COMMON_NAME, 0,
                                       subject->name, strlen(subject->name)));
    must(gnutls_x509_crt_set_activation_time(made.crt, now - 30 * DAY_S));
    must(gnutls_x509_crt_set_expiration_time(
        made.crt, subject->expired ? now - DAY_S : now + 30 * DAY_S));
    must(gnutls_x509_crt_set_key(made.crt, made.key));
    set_use(made.crt, subject);
    must(gnutls_x509_crt_sign2(made.crt, by ? by->crt : made.crt,
                               by ? by->key : made.key, GNUTLS_DIG_SHA256, 0));
    return made;
}

static void signed_free(Signed *s)
{
    gnutls_x509_privkey_deinit(s->key);
    gnutls_x509_crt_deinit(s->crt);
}

static bool write_file(const char *dir, const char *name,
                       const gnutls_datum_t *pem, GError **errp)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    return g_file_set_contents(path, (const char *)pem->data, pem->size, errp);
}

static bool write_crt(const char *dir, const char *name, gnutls_x509_crt_t crt,
                      GError **errp)
{
    gnutls_datum_t pem;
    bool ok;

    must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
    ok = write_file(dir, name, &pem, errp);
    gnutls_free(pem.data);
    return ok;
}

static bool write_key(const char *dir, const char *name,
                      gnutls_x509_privkey_t key, GError **errp)
{
    gnutls_datum_t pem;
    bool ok;

    must(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem));
    ok = write_file(dir, name, &pem, errp);
    gnutls_free(pem.data);
    return ok;
}

/* A certificate in @dir, in the names that QEMU looks for. */
static bool issue(const char *dir, const Subject *subject, const Signed *ca,
                  GError **errp)
{
    const char *role = subject->use == USE_SERVER ? "server" : "client";
    g_autofree char *crt_name = g_strdup_printf("%s-cert.pem", role);
    g_autofree char *key_name = g_strdup_printf("%s-key.pem", role);
    Signed made = sign(subject, ca);
    bool ok = write_crt(dir, crt_name, made.crt, errp) &&
              write_key(dir, key_name, made.key, errp);

    signed_free(&made);
    return ok;
}

/* A folder with these certificates, of the authority @ca. */
static bool make_x509(const char *path, const char *name, const Signed *ca,
                      const Subject *server, const Subject *client,
                      GError **errp)
{
    g_autofree char *dir = g_build_filename(path, name, NULL);

    return g_mkdir(dir, 0700) == 0 &&
           write_crt(dir, "ca-cert.pem", ca->crt, errp) &&
           issue(dir, server, ca, errp) &&
           (!client || issue(dir, client, ca, errp));
}

static bool make_key(const char *path, const char *name, const char *key,
                     GError **errp)
{
    g_autofree char *dir = g_build_filename(path, name, NULL);
    g_autofree char *file = g_build_filename(dir, "keys.psk", NULL);
    g_autofree char *line = g_strdup_printf("qemu:%s\n", key);

    return g_mkdir(dir, 0700) == 0 && g_file_set_contents(file, line, -1, errp);
}

static bool make_all(const char *path, GError **errp)
{
    const Subject authority = { USE_CA, "authority" };
    const Subject another = { USE_CA, "another authority" };
    const Subject dest = { USE_SERVER, "dest.example" };
    const Subject elsewhere = { USE_SERVER, "other.example" };
    const Subject old_dest = { USE_SERVER, "dest.example", true };
    const Subject source = { USE_CLIENT, "source" };
    const Subject old_source = { USE_CLIENT, "source", true };
    Signed ca = sign(&authority, NULL), other = sign(&another, NULL);
    bool ok = make_key(path, "key", TLS_FILES_KEY, errp) &&
              make_key(path, "key-other",
                       "616e6f74686572206b657920666f72206974", errp) &&
              make_x509(path, "good", &ca, &dest, &source, errp) &&
              make_x509(path, "other", &other, &dest, &source, errp) &&
              make_x509(path, "expired", &ca, &old_dest, &old_source, errp) &&
              make_x509(path, "elsewhere", &ca, &elsewhere, &source, errp) &&
              make_x509(path, "nobody", &ca, &dest, NULL, errp);

    signed_free(&ca);
    signed_free(&other);
    return ok;
}

char *tls_files_new(GError **errp)
{
    char *path = g_dir_make_tmp("shmig-tls-XXXXXX", errp);

    if (path && !make_all(path, errp)) {
        tls_files_free(g_steal_pointer(&path));
    }
    return path;
}

/* Folders in @path, and the files in these. */
static void remove_all(const char *path, unsigned depth)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        if (depth) {
            remove_all(child, depth - 1);
        } else {
            g_unlink(child);
        }
    }
    g_clear_pointer(&dir, g_dir_close);
    g_rmdir(path);
}

void tls_files_free(char *path)
{
    if (path) {
        remove_all(path, 1);
        g_free(path);
    }
}
