/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys and certificates, in the files that QEMU's credentials objects read.
 *
 *   key, key-other        a pre-shared key (keys.psk), and another one
 *   good                  an authority; a server for "dest.example" and
 *                         127.0.0.1, a client "CN=source"
 *   other                 the same of another authority
 *   expired               of the first authority, both past their time
 *   elsewhere             the same, but the server is for "other.example"
 *   nobody                the authority, and no certificate for the client
 */
#ifndef TESTS_QEMU_TLS_FILES_H
#define TESTS_QEMU_TLS_FILES_H

#include <glib.h>
#include <stdbool.h>

/* The first of the keys, in hexadecimal, of user "qemu". */
#define TLS_FILES_KEY "6b657920666f722073686d6967207465737473"

/* Makes a folder with one for each of these; its path, or NULL. */
char *tls_files_new(GError **errp);
/* Deletes it and frees @path. */
void tls_files_free(char *path);

#endif
