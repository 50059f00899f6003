/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host asks the bench's guest to do, and where things are in the
 * guest's own slot.  One Command a vCPU; the host writes it while the vCPU
 * is out of the guest.
 */
#ifndef SHMIG_CLI_PAYLOAD_COMMAND_H
#define SHMIG_CLI_PAYLOAD_COMMAND_H

#include <stdint.h>

#define PAYLOAD_CODE_AT 0x1000u     /* up to the commands */
#define PAYLOAD_COMMANDS_AT 0x8000u /* PAYLOAD_COMMAND_BYTES a vCPU */
#define PAYLOAD_COMMAND_BYTES 128u
#define PAYLOAD_STACK_BYTES 256u
#define PAYLOAD_STACKS_AT 0x20000u
#define PAYLOAD_TABLES_AT 0x100000u /* of pages, for the 64-bit guest */
#define PAYLOAD_MAX_VCPUS 256u

/* A byte written here says that all writes are done. */
#define PAYLOAD_PORT 0xf4

typedef enum PayloadPattern {
    PAYLOAD_SEQUENTIAL,
    PAYLOAD_RANDOM,
    PAYLOAD_HOT, /* nine writes in ten to the hot pages, at random */
    PAYLOAD_STRIDED,
    PAYLOAD_PATTERNS,
} PayloadPattern;

typedef struct PayloadCommand {
    uint64_t base;      /* address of the vCPU's first page */
    uint64_t pages;     /* below 2^32 */
    uint64_t hot_pages; /* the first ones */
    uint64_t stride;    /* in pages; @pages is a multiple of it */
    uint64_t pattern;
    uint64_t count; /* writes to do, below 2^32 */

    /* Go on from one command to the next. */
    uint64_t position;
    uint64_t random; /* the low half is used; not 0 */
    uint64_t done;   /* writes so far, the low half counts; the host reads
                        it at any time */
} PayloadCommand;

#endif
