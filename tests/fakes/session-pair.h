/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A source and a destination session in one process, over socket pairs or
 * TCP on loopback, with RAM in memory and disks of the test's choice.
 */
#ifndef TESTS_FAKES_SESSION_PAIR_H
#define TESTS_FAKES_SESSION_PAIR_H

#include "shmig/base/wait.h"
#include "shmig/session/dest.h"
#include "shmig/session/source.h"

#define PAIR_MAX_DISKS 4

typedef struct Pair {
    /* Set by the test before pair_connect(). */
    unsigned channels;
    bool tcp;
    bool tls; /* both sides use it */
    uint64_t ram_bytes;
    unsigned n_disks;
    uint64_t disk_bytes;
    ShmigDisk *source_disk[PAIR_MAX_DISKS];
    ShmigDisk *dest_disk[PAIR_MAX_DISKS]; /* NULL: the check refuses it */
    const char *problem;                  /* the check says this, if set */

    ShmigSource *source;
    ShmigDest *dest;
    ShmigTracker *tracker; /* default: shmig_generic */
    uint8_t *source_ram, *dest_ram;
    ShmigMirror *mirror[PAIR_MAX_DISKS];
    int source_stream, dest_stream;
    int listener;

    pthread_mutex_t lock;
    pthread_cond_t cond;
    /* Under the lock. */
    bool connected, drained, commit, failed;
    GError *dest_error;
} Pair;

/* Two 1 MiB-page-aligned RAM images, zeroed. */
Pair *pair_new(unsigned channels, bool tcp, uint64_t ram_bytes);
void pair_free(Pair *pair);

/* A new connection to the destination: the source's end. */
int pair_dial(Pair *pair);

/* Handshake on all channels; false with the source's error. */
bool pair_handshake(Pair *pair, GError **errp);

/* Everything up to GO: the channels run, disks are being copied. */
bool pair_start(Pair *pair, GError **errp);

/* Starts RAM with all of it pending. */
void pair_start_ram(Pair *pair);

/* Waits until less than @below_bytes are pending. */
bool pair_settle(Pair *pair, uint64_t below_bytes, GError **errp);

/* Finish, load (nothing), READY, COMMIT, RUNNING. */
ShmigCommit pair_switch_over(Pair *pair, GError **errp);

/* Wait for the destination's event. */
void pair_wait(Pair *pair, const bool *event);
/* Waits for the destination's failure and returns its sentence. */
const char *pair_dest_failure(Pair *pair);

#endif
