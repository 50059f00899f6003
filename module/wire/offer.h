/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the source offers before any data, and the destination's answer. */
#ifndef SHMIG_WIRE_OFFER_H
#define SHMIG_WIRE_OFFER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "shmig/wire/limits.h"

typedef struct ShmigOfferRam {
    char *name;          /* the RAM block's idstr */
    uint64_t used_bytes; /* bytes that travel */
    uint64_t max_bytes;  /* what a resizable block can grow to */
    uint32_t page_bytes; /* of its backing: 4096, or a hugepage */
} ShmigOfferRam;

typedef struct ShmigOfferDisk {
    char *id;       /* guest device id, equal on both sides */
    char *format;   /* of the source image, for messages only */
    char *identity; /* equal strings: one and the same storage; "" unknown */
    uint64_t size_bytes;
} ShmigOfferDisk;

/* Region ids are positions: RAM blocks first, then disks. */
typedef struct ShmigOffer {
    char *machine;
    uint32_t channels;
    GPtrArray *ram;   /* of ShmigOfferRam, owned */
    GPtrArray *disks; /* of ShmigOfferDisk, owned */
    /* Of char *, owned: ids of writable guest disks that do not travel. */
    GPtrArray *left_out;
    /* Of char *, owned: identities of storage that stays with the source. */
    GPtrArray *kept;
} ShmigOffer;

ShmigOffer *shmig_offer_new(const char *machine, uint32_t channels);
void shmig_offer_free(ShmigOffer *offer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShmigOffer, shmig_offer_free)

void shmig_offer_add_ram(ShmigOffer *offer, const char *name,
                         uint64_t used_bytes, uint64_t max_bytes,
                         uint32_t page_bytes);
void shmig_offer_add_disk(ShmigOffer *offer, const char *id, const char *format,
                          const char *identity, uint64_t size_bytes);

void shmig_offer_leave_out(ShmigOffer *offer, const char *id);
/* Adds @identity, unless it is "" or was added before. */
void shmig_offer_keep(ShmigOffer *offer, const char *identity);

/* The body of an OFFER frame.  NULL if a limit is exceeded (names it). */
GBytes *shmig_offer_encode(const ShmigOffer *offer, GError **errp);
ShmigOffer *shmig_offer_decode(const void *body, size_t length, GError **errp);

/*
 * The body of an ANSWER frame: the sentences of @problems (char *), none if
 * the offer is accepted.  Too many or too long ones are cut.
 */
GBytes *shmig_answer_encode(const GPtrArray *problems);
/* An array of char * with free function, or NULL if the body is malformed. */
GPtrArray *shmig_answer_decode(const void *body, size_t length, GError **errp);

#endif
