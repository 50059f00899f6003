/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two QEMUs of a run, and the images they use. */
#ifndef TESTS_PERF_ENDS_H
#define TESTS_PERF_ENDS_H

#include "bench.h"
#include "images.h"
#include "link.h"
#include "machine.h"

/* Of the disk, as both ends name it. */
#define ENDS_NODE "disk0-format"

typedef enum EndsMemory {
    MEMORY_TOUCHED,   /* anonymous, all of it there from the start */
    MEMORY_UNTOUCHED, /* what QEMU does by default */
    MEMORY_SHARED,    /* a memfd, all there: not counted as anonymous */
} EndsMemory;

typedef struct EndsOptions {
    const char *guest;
    BenchSize size;
    EndsMemory memory;
    const char *source_image;
    const char *dest_image; /* is made, empty */
    const char *dir;        /* for files of the run */
    bool iothread;
    bool tls;                 /* of shmig */
    const char *source_cache; /* cache.direct= */
    const char *dest_cache;
    const char *profile; /* where perf writes to; NULL: nowhere */
} EndsOptions;

typedef struct Ends {
    EndsOptions options;
    Link *link;
    Machine *source, *dest;
    Image source_image, dest_image;
    char *uri; /* that the source migrates to, once the other listens */
} Ends;

/* Starts both, and waits until the guest is ready. */
Ends *ends_new(const EndsOptions *options, Link *link, GError **errp);

/* Deletes the destination's image, too. */
void ends_free(Ends *ends);

/* Both ends, a capability or a parameter: "'multifd-channels': 2". */
bool ends_set_capability(Ends *ends, const char *name, GError **errp);
bool ends_set_parameter(Ends *ends, const char *setting, GError **errp);

/* Lets the destination listen at @scheme, host and a port that the system
 * chooses, and sets the URI. */
bool ends_listen(Ends *ends, const char *scheme, GError **errp);

/* Waits until both have completed the migration. */
bool ends_wait_completed(Ends *ends, GError **errp);

/* What both know of why it went wrong. */
bool ends_tell_why(Ends *ends, const char *what, GError **errp);

#endif
