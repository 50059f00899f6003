/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests as rows: what domain to start on host A, and what to do with it.  All
 * rows of a program share the two hosts.
 */
#ifndef TESTS_LIBVIRT_CASES_H
#define TESTS_LIBVIRT_CASES_H

#include "domain.h"

/* Options of a guest that does all it can, and of one that does nothing. */
#define CASE_BUSY "dirty=500 write=100 wsize=mixed wz=20 discard=31 read=10"
#define CASE_IDLE "dirty=0 write=0"

/* False, and a sentence, if anything does not hold. */
typedef bool (*CaseFn)(Domain *domain, GError **errp);

typedef struct Case {
    const char *path; /* of the test: "/libvirt/…" */
    DomainOptions options;
    CaseFn fn;
    const char *flags;         /* of virsh migrate */
    const char *expect;        /* words, separated by '|', for case_said() */
    const char *config[HOSTS]; /* more lines of qemu.conf, meanwhile */
    const void *data;          /* for the function */
} Case;

/*
 * A test for each row; those after one that fails run all the same.  @cases
 * has to stay.
 */
void cases_add(const Case *cases, size_t n);

/* Runs what was added, on hosts that are made for it; for main(). */
int cases_run(void);

/* The row that runs, and where. */
const Case *case_now(void);
Hosts *case_hosts(void);

/* Whether @text has all the words that the row expects. */
bool case_said(const char *text, GError **errp);

#endif
