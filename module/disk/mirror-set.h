/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making mirrors, for the session; users of a mirror see disk/mirror.h. */
#ifndef SHMIG_DISK_MIRROR_SET_H
#define SHMIG_DISK_MIRROR_SET_H

#include "shmig/disk/lane.h"
#include "shmig/disk/mirror.h"

/* @lanes: of every channel, in order; they outlive the mirror. */
ShmigMirror *shmig_mirror_new(ShmigRegion *region, ShmigRegionStats *stats,
                              ShmigLane **lanes, unsigned n_lanes);
void shmig_mirror_free(ShmigMirror *mirror);

#endif
