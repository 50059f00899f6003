/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of DATA frames; docs/protocol.md, "DATA".  A record's own fields
 * are checked when it is decoded; what only the session's regions and
 * channels can tell is checked for a frame as a whole, before any is acted on.
 */
#include "shmig/wire/frame.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "shmig/base/range.h"
#include "shmig/base/units.h"
#include "shmig/wire/pack.h"

enum {
    AT_REGION = 0,
    AT_KIND = 4,
    AT_RESERVED = 5,
    AT_OFFSET = 8,
    AT_LENGTH = 16,
};

void shmig_record_encode(const ShmigRecord *record,
                         uint8_t out[SHMIG_RECORD_BYTES])
{
    shmig_put_u32(out + AT_REGION, record->region);
    out[AT_KIND] = record->kind;
    memset(out + AT_RESERVED, 0, AT_OFFSET - AT_RESERVED);
    shmig_put_u64(out + AT_OFFSET, record->offset);
    shmig_put_u64(out + AT_LENGTH, record->length);
}

int shmig_record_decode(const uint8_t in[SHMIG_RECORD_BYTES],
                        ShmigRecord *record, const char **why)
{
    ShmigRecord r = {
        .region = shmig_get_u32(in + AT_REGION),
        .kind = in[AT_KIND],
        .offset = shmig_get_u64(in + AT_OFFSET),
        .length = shmig_get_u64(in + AT_LENGTH),
    };

    if (r.kind != SHMIG_RECORD_DATA && r.kind != SHMIG_RECORD_ZERO) {
        *why = "record: unknown kind";
        return -EPROTO;
    }
    if (in[AT_RESERVED] | in[AT_RESERVED + 1] | in[AT_RESERVED + 2]) {
        *why = "record: a reserved byte is not zero";
        return -EPROTO;
    }
    if (!shmig_range_ok(r.offset, r.length, UINT64_MAX)) {
        *why = "record: its range is empty or wraps around";
        return -EPROTO;
    }
    if (r.kind == SHMIG_RECORD_DATA && r.length > SHMIG_MAX_PAYLOAD) {
        *why = "record: longer than any payload";
        return -EPROTO;
    }
    *record = r;
    return 0;
}

/* What is wrong with @r as a record of @region, or NULL. */
static const char *record_problem(const ShmigRecord *r,
                                  const ShmigRegionInfo *region,
                                  unsigned channel, unsigned channels)
{
    uint64_t align = region->disk ? SHMIG_SECTOR_BYTES : SHMIG_PAGE_BYTES;
    uint64_t first, last, end;

    if (r->kind != SHMIG_RECORD_DATA && r->kind != SHMIG_RECORD_ZERO) {
        return "record: unknown kind";
    }
    if (!shmig_range_ok(r->offset, r->length, region->length_bytes)) {
        return "record: its range does not lie within the region";
    }
    end = r->offset + r->length;
    if (r->offset % align != 0 ||
        (end % align != 0 && end != region->length_bytes)) {
        return "record: its range is not aligned";
    }
    first = r->offset / SHMIG_STRIPE_BYTES;
    last = (end - 1) / SHMIG_STRIPE_BYTES;
    if (r->kind == SHMIG_RECORD_DATA && first != last) {
        return "record: data of more than one stripe";
    }
    if (shmig_stripe_channel(r->region, first, channels) != channel ||
        shmig_stripe_channel(r->region, last, channels) != channel) {
        return "record: a stripe on the wrong channel";
    }
    return NULL;
}

int shmig_records_check(const ShmigRecord *records, uint32_t n,
                        uint32_t payload, const ShmigRegionInfo *regions,
                        uint32_t n_regions, unsigned channel, unsigned channels,
                        const char **why)
{
    const char *problem = NULL;
    uint64_t data_bytes = 0;

    g_assert(channel < channels);
    if (n == 0 || n > SHMIG_MAX_RECORDS) {
        *why = "records: their number is out of range";
        return -EPROTO;
    }
    for (uint32_t i = 0; i < n && !problem; i++) {
        const ShmigRecord *r = &records[i];

        if (!shmig_index_ok(r->region, n_regions)) {
            problem = "record: no such region";
        } else if (regions[r->region].disk != regions[records[0].region].disk) {
            problem = "records: RAM and disk in one frame";
        } else {
            problem = record_problem(r, &regions[r->region], channel, channels);
        }
        /* At most SHMIG_MAX_RECORDS × 2^21 once none has a problem. */
        if (!problem && r->kind == SHMIG_RECORD_DATA) {
            data_bytes += r->length;
        }
    }
    if (!problem && data_bytes != payload) {
        problem = "records: their lengths do not add up to the payload";
    }
    if (problem) {
        *why = problem;
        return -EPROTO;
    }
    return 0;
}
