/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run, measured from outside and by its guest. */
#include <math.h>
#include <string.h>

#include "loop.h"
#include "meter.h"
#include "profile.h"
#include "run.h"

/* The guest knows within 3 s what its clock missed; a heartbeat is 10 ms. */
#define SETTLE_BEATS 330
#define SETTLE_SECONDS 60
#define COMMAND_SECONDS 60
#define VERIFY_SECONDS 300

/* Processor time and bytes up to some moment. */
typedef struct Reading {
    double source, dest, source_vcpus, dest_vcpus, host;
    int64_t wire_bytes;
    int64_t time_us;
} Reading;

static bool read_meters(Ends *ends, Reading *r, GError **errp)
{
    r->wire_bytes = link_bytes(ends->link, errp);
    return r->wire_bytes >= 0 && meter_cpu(ends->source, &r->source, errp) &&
           meter_cpu(ends->dest, &r->dest, errp) &&
           meter_host(&r->host, errp) &&
           meter_vcpus(ends->source, &r->source_vcpus, errp) &&
           meter_vcpus(ends->dest, &r->dest_vcpus, errp);
}

static void take_difference(const Reading *from, const Reading *to,
                            BenchRun *run)
{
    double *f = run->figure;
    double source = to->source - from->source, dest = to->dest - from->dest;

    f[FIG_TOTAL_S] = (to->time_us - from->time_us) / 1e6;
    f[FIG_CPU_S] = source + dest;
    f[FIG_SOURCE_CPU_S] = source - (to->source_vcpus - from->source_vcpus);
    f[FIG_DEST_CPU_S] = dest - (to->dest_vcpus - from->dest_vcpus);
    f[FIG_OWN_CPU_S] = f[FIG_SOURCE_CPU_S] + f[FIG_DEST_CPU_S];
    f[FIG_REST_CPU_S] = to->host - from->host - source - dest;
    f[FIG_WIRE_BYTES] = to->wire_bytes - from->wire_bytes;
}

static bool set_up(Ends *ends, const Way *way, GError **errp)
{
    /* 0 would do for stock, but the default is 1 Gbit/s. */
    return ends_set_parameter(ends, "'max-bandwidth': 1000000000000", errp) &&
           ends_set_parameter(ends, "'multifd-channels': 2", errp) &&
           way->prepare(ends, errp);
}

static bool move_profiled(Ends *ends, const Way *way, BenchRun *run,
                          GError **errp)
{
    Profile *profile;
    bool moved;

    if (!ends->options.profile) {
        return way->move(ends, run, errp);
    }
    profile =
        profile_start(ends->options.profile, ends->source, ends->dest, errp);
    if (!profile) {
        return false;
    }
    moved = way->move(ends, run, errp);
    return profile_stop(profile, moved ? errp : NULL) && moved;
}

static bool move(Ends *ends, const Way *way, BenchRun *run, GError **errp)
{
    g_autofree char *cleared =
        guest_command(ends->source->guest, "z", COMMAND_SECONDS, errp);
    Reading from, to;

    if (!cleared || !read_meters(ends, &from, errp)) {
        return false;
    }
    from.time_us = loop_now_us();
    if (!move_profiled(ends, way, run, errp)) {
        return false;
    }
    to.time_us = loop_now_us();
    if (!read_meters(ends, &to, errp)) {
        return false;
    }
    take_difference(&from, &to, run);
    return true;
}

static bool ask_downtime(Ends *ends, BenchRun *run, GError **errp)
{
    g_autoptr(JsonNode) info =
        qmp_call(ends->source->qmp, errp, "query-migrate", NULL);
    Guest *guest = ends->dest->guest;
    g_autofree char *stats = NULL;

    if (!info || !guest_wait_beats(guest, SETTLE_BEATS, SETTLE_SECONDS, errp)) {
        return false;
    }
    stats = guest_command(guest, "s", COMMAND_SECONDS, errp);
    if (!stats) {
        return false;
    }
    run->figure[FIG_DOWNTIME_MS] = json_int_at(info, "downtime");
    run->figure[FIG_BLACKOUT_MS] = guest_value(stats, "blackout_us") / 1e3;
    return true;
}

static bool weigh(Ends *ends, BenchRun *run, GError **errp)
{
    double *f = run->figure;
    uint64_t memory = ends->options.size.memory_mib * BENCH_MIB;
    int64_t nonzero, source, dest;

    if (!meter_nonzero(ends->source, memory, &nonzero, errp)) {
        return false;
    }
    source = image_allocated(&ends->source_image, errp);
    dest = source < 0 ? -1 : image_allocated(&ends->dest_image, errp);
    if (dest < 0) {
        return false;
    }
    /* The half of the disk that is not holes has no zeroes. */
    f[FIG_NONZERO_BYTES] = nonzero + ends->dest_image.bytes / 2;
    f[FIG_WIRE_RATIO] = f[FIG_WIRE_BYTES] / f[FIG_NONZERO_BYTES];
    f[FIG_ALLOC_RATIO] = (double)dest / source;
    if (link_goodput(ends->link) > 0) {
        f[FIG_LINK_RATIO] =
            f[FIG_TOTAL_S] / (f[FIG_NONZERO_BYTES] / link_goodput(ends->link));
    }
    return true;
}

static void forget(BenchRun *run)
{
    for (unsigned i = 0; i < FIGURES; i++) {
        run->figure[i] = NAN;
    }
}

bool run_measured(const EndsOptions *options, Link *link, const Way *way,
                  BenchRun *run, GError **errp)
{
    Ends *ends = ends_new(options, link, errp);
    bool done;

    forget(run);
    done = ends && set_up(ends, way, errp) && move(ends, way, run, errp) &&
           ask_downtime(ends, run, errp) && weigh(ends, run, errp);
    ends_free(ends);
    return done;
}

static bool move_for_footprint(Ends *ends, const Way *way, BenchRun *run,
                               GError **errp)
{
    int64_t before[2], peak[2];

    if (!meter_resident(ends->source, &before[0], errp) ||
        !meter_resident(ends->dest, &before[1], errp) ||
        !way->move(ends, run, errp) ||
        !meter_peak(ends->source, &peak[0], errp) ||
        !meter_peak(ends->dest, &peak[1], errp)) {
        return false;
    }
    run->figure[FIG_SOURCE_MEMORY_BYTES] = peak[0] - before[0];
    run->figure[FIG_DEST_MEMORY_BYTES] = peak[1] - before[1];
    return true;
}

/* By the stamps of each page: reading every byte takes an interpreted guest a
 * minute, and the tests do that. */
static bool verify(Ends *ends, GError **errp)
{
    static const char *const commands[] = { "w", "d" };

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autofree char *reply =
            guest_command(ends->dest->guest, commands[i], VERIFY_SECONDS, errp);

        if (!reply) {
            return false;
        }
        if (!strstr(reply, " ok ") || strstr(reply, " bad ")) {
            return harness_fail(errp, "the guest did not arrive whole: %s",
                                reply);
        }
    }
    return image_compare(&ends->source_image, &ends->dest_image, errp);
}

bool run_footprint(const EndsOptions *options, Link *link, const Way *way,
                   BenchRun *run, GError **errp)
{
    EndsOptions all_there = *options;
    Ends *ends;
    bool done;

    all_there.memory = MEMORY_SHARED;
    forget(run);
    ends = ends_new(&all_there, link, errp);
    done = ends && set_up(ends, way, errp) &&
           move_for_footprint(ends, way, run, errp) && verify(ends, errp);
    ends_free(ends);
    return done;
}
