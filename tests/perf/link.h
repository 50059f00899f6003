/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Networks of the bench's own, so that nobody else's bytes are counted and
 * nothing is left behind: network namespaces without names, which go with the
 * last process in them.
 *
 * Main thread; it is in the source's namespace except while link_enter()
 * says otherwise.
 */
#ifndef TESTS_PERF_LINK_H
#define TESTS_PERF_LINK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Link Link;

/*
 * One namespace with its loopback, or, if @mbit is not 0, two of them joined
 * by a pair of veth devices, each shaped to @mbit Mbit/s.
 */
Link *link_new(unsigned mbit, GError **errp);
/* Goes back to where the process was at first. */
void link_free(Link *link);

/* Where the destination listens. */
const char *link_address(const Link *link);

/* What is started from now on is on the destination's side, or the
 * source's. */
bool link_enter(Link *link, bool dest, GError **errp);

/* Bytes that have left either side, headers included as far as the device
 * sees them; -1 and an error if it cannot be told. */
int64_t link_bytes(Link *link, GError **errp);

/* Bytes of payload that the link can carry in a second; 0: not shaped. */
double link_goodput(const Link *link);

#endif
