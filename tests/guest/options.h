/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KEY=VALUE options from the multiboot command line, some of which can be
 * changed while the guest runs.
 */
#ifndef GUEST_OPTIONS_H
#define GUEST_OPTIONS_H

#include <stdint.h>
#include <stdbool.h>

/* As fast as it goes, for the rates. */
#define RATE_MAX 0xffffffffu

typedef enum Pattern {
    PATTERN_SEQUENTIAL,
    PATTERN_RANDOM,
    PATTERN_HOT, /* nine writes of ten go to the first `hot` per cent */
} Pattern;

typedef struct Options {
    /* Fixed at the start. */
    uint32_t seed;
    uint32_t memory_mib;
    uint32_t zero_mib;
    uint32_t template_mib;
    uint32_t disk_mib;
    uint32_t disk_first_mib;
    bool blank;
    bool prefill;
    uint32_t depth;
    uint32_t hz;
    /* May change while the guest runs. */
    uint32_t dirty;    /* pages per second over all CPUs, or RATE_MAX */
    uint32_t span_mib; /* only the first MiB of the filled memory; 0: all */
    Pattern pattern;
    uint32_t hot;
    uint32_t write;       /* requests per second and disk, or RATE_MAX */
    uint32_t write_bytes; /* 0: mixed sizes at any sector */
    bool sequential;
    uint32_t flush; /* one request in so many; 0: never */
    uint32_t zero;  /* write-zeroes */
    uint32_t discard;
    uint32_t read;    /* reads that are checked at once */
    bool overlap;     /* writes in flight may overlap */
    uint32_t tick_ms; /* 0: no heartbeat */
    bool spin;
} Options;

extern Options options;

/*
 * Applies one KEY=VALUE; `running` refuses those fixed at the start.
 * Returns NULL, or what is wrong with it.
 */
const char *options_set(const char *text, bool running);

/*
 * Applies the options of a command line, whose first word is the program's
 * name.  Returns NULL, or the word that is wrong and, in *why, the reason.
 */
const char *options_parse(char *line, const char **why);

#endif
