/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disk images: making them, and proving that two hold the same bytes. */
#ifndef TESTS_QEMU_IMAGES_H
#define TESTS_QEMU_IMAGES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage.h"

/* What an image holds behind the region that the guest writes. */
typedef enum ImageContent {
    IMAGE_HOLES, /* random data with holes between */
    IMAGE_FULL,  /* random data */
    IMAGE_EMPTY, /* nothing */
} ImageContent;

typedef struct Image {
    char
        *path; /* what QEMU opens: the file, unless image_put_on() was called */
    const char *format; /* "raw" or "qcow2" */
    uint64_t bytes;
    char *file;
    Storage *storage;
    uint64_t from;
    GArray *sums; /* of uint64_t, one for each MiB from @from on; or NULL */
} Image;

/*
 * Makes an image of @bytes; what comes before @from is left empty.  No two
 * have the same content.
 */
Image *image_new(const char *dir, const char *name, const char *format,
                 uint64_t bytes, uint64_t from, ImageContent content,
                 GError **errp);
/* From now on QEMU is to reach it by way of that. */
bool image_put_on(Image *image, StorageKind kind, GError **errp);
/* Deletes the file too. */
void image_free(Image *image);

/* Takes down what the image holds where no guest writes, from its @from on. */
bool image_remember(Image *image, GError **errp);
/* Whether that is still there, with the image in use, too. */
bool image_unchanged(const Image *image, GError **errp);

/* Compares every byte that a guest can see, with images in use, too. */
bool image_compare(const Image *a, const Image *b, GError **errp);

/* Bytes that the file takes up on its storage; -1 and an error: unknown. */
int64_t image_allocated(const Image *image, GError **errp);

/* Whether the format's own structures are sound; raw has none. */
bool image_check(const Image *image, GError **errp);

/* A file of @bytes random bytes. */
bool image_random_file(const char *path, uint64_t bytes, GError **errp);

/* Runs a program to its end; false, with what it printed, unless that is
 * with status 0.  NULL ends the arguments. */
bool image_run_program(GError **errp, const char *program,
                       ...) G_GNUC_NULL_TERMINATED;

#endif
