/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A man in the middle that knows frames: it stands between the two sides of a
 * migration over unix sockets and does one bad thing to one frame.
 */
#ifndef TESTS_QEMU_RELAY_H
#define TESTS_QEMU_RELAY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Relay Relay;

typedef enum RelaySide {
    RELAY_SOURCE,
    RELAY_DEST,
} RelaySide;

typedef enum RelayDeed {
    RELAY_NOTHING,
    RELAY_CUT_BEFORE, /* the frame never arrives, nor does anything else */
    RELAY_CUT_WITHIN, /* half of it does */
    RELAY_CUT_AFTER,
    RELAY_ADD,  /* to the little-endian number in it */
    RELAY_HOLD, /* it and what comes after wait for relay_release() */
} RelayDeed;

/* What is done to the @nth (from 0) such frame of that side, counted over all
 * connections.  Frame 0 is the hello. */
typedef struct RelayFault {
    RelayDeed deed;
    RelaySide from;
    unsigned frame;
    unsigned nth;
    /* RELAY_ADD */
    unsigned at, bytes;
    uint64_t number;
    /* Only a frame that has all of these: SHMIG_FRAME_FINAL. */
    unsigned flags;
} RelayFault;

/* Listens on @path and connects to @to for each connection.  Threads of its
 * own do the work. */
Relay *relay_new(const char *path, const char *to, const RelayFault *fault,
                 GError **errp);
/* Cuts what is left. */
void relay_free(Relay *relay);

/* Whether the frame came by. */
bool relay_has_struck(Relay *relay);
/* The same, once it has or @seconds have passed. */
bool relay_wait_struck(Relay *relay, double seconds);

/* Hands on what was held back. */
void relay_release(Relay *relay);

/* All connections end now, as when a cable is pulled and TCP noticed. */
void relay_cut(Relay *relay);

#endif
