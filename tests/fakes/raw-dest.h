/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A destination made of raw peers, against a real source that moves a block
 * of RAM on a thread of its own, from the first hello to the commit.
 */
#ifndef TESTS_FAKES_RAW_DEST_H
#define TESTS_FAKES_RAW_DEST_H

#include "fake-disk.h"
#include "raw-peer.h"
#include "shmig/session/source.h"

#define RAW_DEST_CHANNELS 4
#define RAW_DEST_RAM ((4u << 20) + 4096)

typedef struct RawDest RawDest;

struct RawDest {
    unsigned channels;
    RawPeer peer[RAW_DEST_CHANNELS];
    ShmigHello hello; /* the source's on channel 0 */
    ShmigSource *source;
    int stream;          /* the source's QEMU end of it */
    ShmigMirror *mirror; /* of the disk, if there is one */
    int timeout_ms;
    bool by_hand; /* the test is the control thread after start() */
    /* On its thread, when its channels have started; or NULL. */
    void (*started)(RawDest *raw);
    uint8_t *ram;
    int fds[RAW_DEST_CHANNELS]; /* the source's */
    GThread *thread;

    /* After raw_dest_end(). */
    ShmigCommit result;
    GError *error; /* of the call that failed, or NULL */
};

/* The source begins to speak at once. */
RawDest *raw_dest_new(unsigned channels);
/* The same with a time limit for each handshake, and something to do. */
RawDest *raw_dest_new_with(unsigned channels, int timeout_ms,
                           void (*started)(RawDest *raw));
/*
 * The same, with @disk as region 1, its whole length pending.  When the test
 * has said GO and called raw_dest_end(), what the control thread does is the
 * test's.
 */
RawDest *raw_dest_new_disk(unsigned channels, FakeDisk *disk,
                           uint64_t disk_bytes);
void raw_dest_free(RawDest *raw);

/* Hears the hello of @channel; the reply that would be right. */
ShmigHello raw_dest_heard(RawDest *raw, unsigned channel);
/* The stages of a session that goes well, each with those before it. */
void raw_dest_listening(RawDest *raw); /* nothing was read */
void raw_dest_greeted(RawDest *raw);   /* the reply on channel 0 was sent */
void raw_dest_offered(RawDest *raw);   /* the offer came */
void raw_dest_answered(RawDest *raw);  /* and was accepted */
void raw_dest_joined(RawDest *raw);    /* all channels */
void raw_dest_going(RawDest *raw);     /* GO was said */
void raw_dest_asked(RawDest *raw);     /* DRAIN with FINAL came on all */
void raw_dest_drained(RawDest *raw);   /* and was answered */
void raw_dest_ready(RawDest *raw);     /* READY was said */
void raw_dest_committed(RawDest *raw); /* COMMIT came */
void raw_dest_running(RawDest *raw);   /* RUNNING was said */

/* Says ANSWER with problems, one per line. */
void raw_dest_answer(RawDest *raw, const char *problems);
/* Says DRAINED as @channel was asked. */
void raw_dest_say_drained(RawDest *raw, unsigned channel);

/* Waits for the source's thread; sets result and error. */
void raw_dest_end(RawDest *raw);
/* Waits; the source's error contains @sentence. */
void raw_dest_expect(RawDest *raw, ShmigCommit result, const char *sentence);
/* The same; and the source said so on each channel that was joined, after
 * COMMIT on channel 0 only. */
void raw_dest_expect_told(RawDest *raw, ShmigCommit result,
                          const char *sentence);

#endif
