/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A source made of raw peers, against a real destination that has one block
 * of RAM, between pages that nobody may touch, and one disk.
 */
#ifndef TESTS_FAKES_RAW_SOURCE_H
#define TESTS_FAKES_RAW_SOURCE_H

#include "fake-disk.h"
#include "raw-peer.h"
#include "session-pair.h"

#define RAW_SOURCE_CHANNELS 4
/* Three stripes; the last is shorter than a page. */
#define RAW_RAM_BYTES ((4u << 20) + 40)
#define RAW_DISK_BYTES (6u << 20)
#define RAW_RAM 0  /* region */
#define RAW_DISK 1 /* region */
/* What RAM holds before anything comes. */
#define RAW_OLD 0xa5

typedef struct RawSource {
    Pair *pair; /* its destination; the source half is not used */
    unsigned channels;
    RawPeer peer[RAW_SOURCE_CHANNELS];
    FakeDisk *disk;
    uint8_t *map, *ram;
} RawSource;

/* A destination, and nobody connected to it. */
RawSource *raw_source_new(unsigned channels, bool tcp);
void raw_source_free(RawSource *raw);

/* An offer that the destination accepts; to be freed. */
ShmigOffer *raw_source_offer(unsigned channels);

/* A connection to the destination that says nothing yet. */
RawPeer raw_source_dial(RawSource *raw);
/* Hello of @channel, which is admitted. */
void raw_source_hello(RawSource *raw, unsigned channel);
/* Channel 0 up to the good answer. */
void raw_source_offered(RawSource *raw);
/* All channels are joined; GO was not said. */
void raw_source_joined(RawSource *raw);
/* The destination said GO. */
void raw_source_going(RawSource *raw);
/* DRAIN with FINAL on all channels was answered. */
void raw_source_drained(RawSource *raw);
/* READY came. */
void raw_source_ready(RawSource *raw);

/*
 * The destination failed and said so: its own error contains @sentence; on
 * each channel that is still open the peer got the same words in an ERROR.
 */
void raw_source_expect_told(RawSource *raw, const char *sentence);
/* The destination failed, with no need to tell a peer that is gone. */
void raw_source_expect_failure(RawSource *raw, const char *sentence);
/* Whether one of the pair's events came yet. */
bool raw_source_saw(RawSource *raw, const bool *event);
/*
 * Closes all connections and frees the destination: only then what its
 * threads wrote may be looked at.
 */
void raw_source_end(RawSource *raw);
/* The same: nothing was written anywhere. */
void raw_source_expect_untouched(RawSource *raw);

/* One record of RAM or disk. */
ShmigRecord raw_record(uint32_t region, uint8_t kind, uint64_t offset,
                       uint64_t length);

#endif
