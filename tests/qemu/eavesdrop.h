/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Somebody on the line who knows nothing but bytes: hands them on, looks for
 * what he can read, and may change one or end the line.
 */
#ifndef TESTS_QEMU_EAVESDROP_H
#define TESTS_QEMU_EAVESDROP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Eavesdrop Eavesdrop;

typedef enum EavesdropDeed {
    EAVESDROP_LISTEN,
    EAVESDROP_CHANGE, /* one bit of the byte */
    EAVESDROP_END,    /* a clean end of file in its place, both ways */
} EavesdropDeed;

/*
 * Listens on @path and connects to @to for each connection.  The deed is done
 * to byte @at of what the source sends on its first one.
 */
Eavesdrop *eavesdrop_new(const char *path, const char *to, EavesdropDeed deed,
                         uint64_t at, GError **errp);
void eavesdrop_free(Eavesdrop *tap);

/* Bytes that came by from the source. */
uint64_t eavesdrop_bytes(Eavesdrop *tap);
/* How often the line held the magic of a frame of shmig. */
unsigned eavesdrop_frames(Eavesdrop *tap);

#endif
