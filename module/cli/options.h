/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the user asks of `shmig dirty-bench`. */
#ifndef SHMIG_CLI_OPTIONS_H
#define SHMIG_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "backing.h"
#include "payload/command.h"

typedef enum TrackerKind {
    TRACKER_GENERIC,
    TRACKER_KVM_BITMAP,
    TRACKER_KVM_RING,
    TRACKERS,
} TrackerKind;

extern const char *const tracker_names[TRACKERS];

typedef struct BenchOptions {
    bool help;
    bool trackers[TRACKERS];
    uint64_t vcpus;
    uint64_t memory_bytes;
    uint64_t working_bytes; /* what vCPUs write */
    Backing backing;
    uint64_t slots;
    uint64_t slot_bytes; /* the last one may be smaller */
    PayloadPattern pattern;
    uint64_t stride_pages;
    double hot_percent;
    double dirty_percent;
    uint64_t rate; /* pages/s; 0: no limit */
    uint64_t chunk_bytes;
    uint64_t ring_entries;
    uint64_t iterations;
    uint64_t warm_up;
    uint64_t window_ms;
    uint64_t interval_ms;
    const char *json; /* file names, into argv; "-": standard output */
    const char *csv;
    const char *plot;
    const char *device;
} BenchOptions;

/*
 * Reads argv[1…]; what is not an option is left in *@rest, a NULL-terminated
 * list to be freed.  CLI_USAGE on failure.
 */
bool options_parse(BenchOptions *options, char **argv, char ***rest,
                   GError **errp);

void options_print_help(void);

/* Facts for the report, in the order of the help. */
void options_describe(const BenchOptions *options, GPtrArray *facts);

/* "256M" and so on: K, M, G, T are powers of 1024. */
bool parse_size(const char *text, uint64_t *bytes);
char *format_size(uint64_t bytes);

#endif
