/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may stand between an image's file and QEMU: a block device of the
 * host, or a server. */
#ifndef TESTS_QEMU_STORAGE_H
#define TESTS_QEMU_STORAGE_H

#include <glib.h>

typedef struct Storage Storage;

typedef enum StorageKind {
    STORAGE_FILE,   /* nothing: QEMU opens the file */
    STORAGE_DEVICE, /* a loop device, which reads past the page cache */
    STORAGE_EXPORT, /* of qemu-nbd, on a unix socket beside the file */
} StorageKind;

/* Makes @file, raw to the host, reachable as @kind.  Fails as row_skip() does
 * where this host cannot. */
Storage *storage_new(StorageKind kind, const char *file, GError **errp);
void storage_free(Storage *storage);

/* What QEMU opens. */
const char *storage_path(const Storage *storage);

#endif
