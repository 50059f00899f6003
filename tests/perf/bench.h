/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bench's cases, and the figures that a run of one of them yields. */
#ifndef TESTS_PERF_BENCH_H
#define TESTS_PERF_BENCH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define BENCH_MIB ((uint64_t)1024 * 1024)

typedef enum BenchWay {
    WAY_SHMIG, /* one migration */
    WAY_STOCK, /* blockdev-mirror over NBD, then multifd */
    WAYS,
} BenchWay;

typedef struct BenchCase {
    const char *name;
    const char *title;
    const char *guest; /* options of the test guest, besides its memory */
    bool on_disk;      /* the source's image is on the disk, too */
    unsigned mbit;     /* of the link; 0: loopback */
} BenchCase;

/* What the guest consists of; --quick makes all of it smaller. */
typedef struct BenchSize {
    unsigned memory_mib; /* of the guest */
    unsigned random_mib; /* of that, random */
    unsigned disk_mib;   /* half random, half holes */
} BenchSize;

/* Seconds, milliseconds and bytes as the names say. */
typedef enum BenchFigure {
    FIG_TOTAL_S,
    FIG_DISK_S,       /* stock: until the mirror was ready */
    FIG_CPU_S,        /* both QEMUs */
    FIG_OWN_CPU_S,    /* of that, not spent in the guest's CPUs */
    FIG_SOURCE_CPU_S, /* as FIG_OWN_CPU_S, one end each */
    FIG_DEST_CPU_S,
    FIG_REST_CPU_S, /* the host's, outside of both QEMUs */
    FIG_DOWNTIME_MS,
    FIG_BLACKOUT_MS,
    FIG_WIRE_BYTES,
    FIG_NONZERO_BYTES,
    FIG_WIRE_RATIO,  /* wire to non-zero bytes */
    FIG_ALLOC_RATIO, /* destination's allocation to the source's */
    FIG_LINK_RATIO,  /* total time to what the link needs for non-zero bytes */
    FIG_SOURCE_MEMORY_BYTES,
    FIG_DEST_MEMORY_BYTES,
    FIGURES,
} BenchFigure;

/* NAN: was not measured. */
typedef struct BenchRun {
    double figure[FIGURES];
} BenchRun;

#endif
