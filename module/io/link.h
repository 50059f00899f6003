/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection to the peer: its socket, and the TLS that runs on it.
 * Whoever owns a link owns both.
 */
#ifndef SHMIG_IO_LINK_H
#define SHMIG_IO_LINK_H

#include "shmig/io/tls.h"

typedef struct ShmigLink {
    int fd;        /* -1: none */
    ShmigTls *tls; /* NULL: plain */
} ShmigLink;

#define SHMIG_NO_LINK ((ShmigLink) { .fd = -1 })

/* Closes what is there, and leaves none. */
void shmig_link_close(ShmigLink *link);

#endif
