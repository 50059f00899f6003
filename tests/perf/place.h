/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where images are: in memory and on the disk. */
#ifndef TESTS_PERF_PLACE_H
#define TESTS_PERF_PLACE_H

#include "bench.h"

typedef enum PlaceKind {
    PLACE_RAM,
    PLACE_DISK,
    PLACES,
} PlaceKind;

typedef struct Place {
    char *dir;                /* deleted with all that is in it */
    char *image;              /* a source's; NULL: not made yet */
    const char *cache_direct; /* "on" where the file system can do that */
} Place;

/*
 * Makes a folder in @parent, which has to be of @kind and to have room for
 * @mib MiB.
 */
Place *place_new(PlaceKind kind, const char *parent, unsigned mib,
                 GError **errp);
void place_free(Place *place);

/*
 * The path of a raw image of @mib MiB, half random bytes, half holes.  It is
 * made only once: what a guest writes to it goes where data are.
 */
const char *place_image(Place *place, unsigned mib, GError **errp);

#endif
