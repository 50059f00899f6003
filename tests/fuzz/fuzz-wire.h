/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fuzz entry of everything that decodes bytes of a peer. */
#ifndef SHMIG_FUZZ_WIRE_H
#define SHMIG_FUZZ_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* The first byte of an input, modulo their number. */
enum {
    FUZZ_HELLO,   /* the hello */
    FUZZ_FRAME,   /* 4 bytes: expected sequence; the header */
    FUZZ_RECORDS, /* channel, channels, 4 bytes: payload; the records */
    FUZZ_OFFER,   /* the body */
    FUZZ_ANSWER,  /* the body */
    FUZZ_TEXT,    /* any bytes */
    FUZZ_DECODERS,
};

/* How many inputs each decoder took; they refused the others. */
extern uint64_t fuzz_taken[FUZZ_DECODERS];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
