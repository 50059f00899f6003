/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inline mirroring: guest writes are handed to the lanes of their stripes. */
#include "shmig/disk/mirror-set.h"
#include "shmig/base/range.h"
#include "shmig/base/units.h"

struct ShmigMirror {
    ShmigRegion *region;
    ShmigRegionStats *stats;
    ShmigLane **lanes;
    unsigned n_lanes;
};

ShmigMirror *shmig_mirror_new(ShmigRegion *region, ShmigRegionStats *stats,
                              ShmigLane **lanes, unsigned n_lanes)
{
    ShmigMirror *mirror = g_new0(ShmigMirror, 1);

    mirror->region = region;
    mirror->stats = stats;
    mirror->lanes = g_memdup2(lanes, n_lanes * sizeof(*lanes));
    mirror->n_lanes = n_lanes;
    return mirror;
}

void shmig_mirror_free(ShmigMirror *mirror)
{
    if (mirror) {
        g_free(mirror->lanes);
        g_free(mirror);
    }
}

/* Splits at stripes; the longest delay counts. */
static int64_t written(ShmigMirror *mirror, uint64_t offset, uint64_t length,
                       const uint8_t *buf)
{
    ShmigRegion *region = mirror->region;
    uint64_t at = offset, end = offset + length;
    int64_t delay = 0;

    while (at < end) {
        uint64_t stripe = at / SHMIG_STRIPE_BYTES;
        uint64_t stop = MIN((stripe + 1) * SHMIG_STRIPE_BYTES, end);
        unsigned lane =
            shmig_stripe_channel(region->id, stripe, mirror->n_lanes);
        int64_t d =
            shmig_lane_written(mirror->lanes[lane], region, mirror->stats, at,
                               stop - at, buf ? buf + (at - offset) : NULL);

        delay = MAX(delay, d);
        at = stop;
    }
    return delay;
}

/* Marks what can't travel as it is; true if there is nothing more to do. */
static bool reread(ShmigMirror *mirror, uint64_t offset, uint64_t length,
                   int ret)
{
    ShmigRegion *region = mirror->region;

    if (!shmig_range_ok(offset, length, region->length_bytes)) {
        return true;
    }
    if (ret < 0 || offset % SHMIG_SECTOR_BYTES || length % SHMIG_SECTOR_BYTES) {
        shmig_mirror_discarded(mirror, offset, length);
        return true;
    }
    return false;
}

int64_t shmig_mirror_written(ShmigMirror *mirror, uint64_t offset,
                             uint64_t length, const void *buf, int ret)
{
    return reread(mirror, offset, length, ret)
               ? 0
               : written(mirror, offset, length, buf);
}

int64_t shmig_mirror_zeroed(ShmigMirror *mirror, uint64_t offset,
                            uint64_t length, int ret)
{
    return reread(mirror, offset, length, ret)
               ? 0
               : written(mirror, offset, length, NULL);
}

void shmig_mirror_discarded(ShmigMirror *mirror, uint64_t offset,
                            uint64_t length)
{
    ShmigRegion *region = mirror->region;

    if (shmig_range_ok(offset, length, region->length_bytes)) {
        shmig_region_set_bytes(region, offset, length);
        for (unsigned i = 0; i < mirror->n_lanes; i++) {
            mirror->lanes[i]->wake(mirror->lanes[i]->opaque);
        }
    }
}
