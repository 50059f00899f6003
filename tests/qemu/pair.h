/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two QEMUs, a source with a running test guest and a destination that waits
 * for it, each with disks of its own.
 *
 * A test says what it wants in PairOptions and does as many of the steps as
 * it is about:
 *
 *   pair_new → pair_migrate → pair_wait_moved → pair_compare_disks
 *            → pair_resume → pair_verify → pair_quit → pair_free
 *
 * Every step returns false and a sentence if what it is about does not hold.
 */
#ifndef TESTS_QEMU_PAIR_H
#define TESTS_QEMU_PAIR_H

#include "images.h"
#include "machine.h"

#define PAIR_MAX_DISKS 8

/* A switch-over takes longer only if something hangs. */
#define PAIR_MOVE_SECONDS 90

/* Bytes a second of a pair that is slow. */
#define PAIR_SLOW_BYTES 1048576

typedef struct PairDisk {
    const char *format;      /* NULL: there is no such disk */
    const char *dest_format; /* default: the same */
    ImageContent content;
    /* Options of -drive, "cache=none"; {image} and {dir} stand for paths.  One
     * that begins with "file" takes the place of file={image}. */
    const char *drive; /* both sides, unless the next say otherwise */
    const char *source_drive, *dest_drive;
    const char *model;    /* guest device, default "virtio-blk-pci"; the test
                           * guest uses no other */
    const char *device;   /* its options, both sides */
    unsigned dest_mib;    /* size on the destination; default: the same */
    const char *dest_dir; /* where the destination's image is, if elsewhere */
    StorageKind source_storage, dest_storage; /* what an image is put on */
    bool only_source; /* the destination has no such disk */
    bool only_dest;
    bool same_file; /* the destination opens the source's image */
} PairDisk;

typedef enum PairAddress {
    PAIR_UNIX,
    PAIR_TCP4,
    PAIR_TCP6,
} PairAddress;

typedef struct PairOptions {
    const char *accel;   /* "kvm" or "tcg", and options of -accel */
    const char *machine; /* default "pc" */
    const char *dest_machine;
    unsigned vcpus;          /* default 1 */
    unsigned memory_mib;     /* default 64 */
    const char *memory_more; /* "maxmem=1G": more of -m, both sides */
    unsigned dest_memory_mib;
    const char *guest;       /* options of the test guest */
    unsigned disk_mib;       /* size of each disk, default 40 */
    unsigned disk_odd_bytes; /* that each is larger */
    PairDisk disks[PAIR_MAX_DISKS];
    const char *arguments; /* more of QEMU's, split at blanks, both sides */
    const char *source_arguments;
    const char *dest_arguments;
    bool slow; /* it would take some 20 s, unless pair_hurry() is called */

    PairAddress address;
    unsigned channels;  /* default: what QEMU chooses */
    const char *select; /* value of the option disks= */
    bool dest_runs;     /* the destination is started without -S */
    bool defer;         /* -incoming defer, then migrate-incoming */
    bool no_listen; /* -incoming defer, and migrate-incoming is the test's */
    bool dest_survives; /* exit-on-error=false; needs defer */
    bool no_dest;       /* there is none, and nothing listens */
} PairOptions;

typedef struct Pair {
    PairOptions options;
    char *dir; /* everything of this pair, deleted with it */
    Machine *source, *dest;
    Image *source_disks[PAIR_MAX_DISKS], *dest_disks[PAIR_MAX_DISKS];
    unsigned disks; /* that the guest writes */
    char *uri;      /* where the source migrates to */
} Pair;

/* Makes images, starts both, waits until the guest has begun its work. */
Pair *pair_new(const PairOptions *options, GError **errp);
void pair_free(Pair *pair);

/* A second destination, on new images, in place of one that ended. */
bool pair_renew_dest(Pair *pair, GError **errp);

/* No more limits. */
bool pair_hurry(Pair *pair, GError **errp);

/* On both sides. */
bool pair_set_capability(Pair *pair, const char *name, bool on, GError **errp);
/* "'downtime-limit': 5" */
bool pair_set_parameter(Machine *machine, const char *setting, GError **errp);

/* The command migrate; it returns when QEMU has begun. */
bool pair_migrate(Pair *pair, GError **errp);

/* Waits until both sides have "completed". */
bool pair_wait_moved(Pair *pair, GError **errp);

/* Whether it has completed on both sides, or ended otherwise: a LoopTest. */
bool pair_is_over(void *pair);

/* Waits until the source has an event MIGRATION with that status. */
bool pair_wait_status(Pair *pair, const char *status, GError **errp);

/* Waits for "failed" on the source and returns QEMU's sentence, or NULL. */
char *pair_wait_failed(Pair *pair, GError **errp);

/* Whether @info, of query-migrate, shows what is waited for. */
typedef bool (*PairQueryTest)(JsonNode *info);

/*
 * Asks the source again and again until @test holds: phases and counters have
 * no events.  Fails if the migration is over before.
 */
bool pair_wait_query(Pair *pair, PairQueryTest test, GError **errp);

/* The status and everything else query-migrate tells of the source. */
JsonNode *pair_query(Pair *pair, GError **errp);

/* Nothing has changed the images since the switch-over: they are equal. */
bool pair_compare_disks(Pair *pair, GError **errp);
/* Holes have stayed holes. */
bool pair_compare_allocation(Pair *pair, GError **errp);

/* Lets the destination's guest run, and sees it run. */
bool pair_resume(Pair *pair, GError **errp);

/* The guest goes on for some heartbeats, then proves memory and disks. */
bool pair_verify(Machine *machine, unsigned disks, GError **errp);

/* The source's guest still runs, what it writes from now on is there, and so is
 * what its images held before it began. */
bool pair_source_unharmed(Pair *pair, GError **errp);

/* The destination ends by itself with status 1, as QEMU's do by default when a
 * migration fails; returns what it printed, or NULL. */
char *pair_wait_dest_end(Pair *pair, GError **errp);

/*
 * A new destination on new images takes the guest after all; limits that
 * were set are lifted.
 */
bool pair_move_after_all(Pair *pair, GError **errp);

/* Both quit in good order, and the formats' structures are sound. */
bool pair_quit(Pair *pair, GError **errp);

/* From pair_wait_moved() to pair_quit(), the migration having begun. */
bool pair_arrive(Pair *pair, GError **errp);

/* All of it, from pair_migrate() to pair_quit(). */
bool pair_move(Pair *pair, GError **errp);

#endif
