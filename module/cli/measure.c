/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures one tracker.  Before the log is switched on for the first time, the
 * guest is watched without it, once for each of the first iterations: later on,
 * pages are still protected, and the first write to each is slow.  One
 * iteration:
 *
 *   enable         the log is switched on; vCPUs are out of the guest
 *   first-pass     vCPUs write; first-harvest: all is pending, and is taken
 *   clean-cost     harvests that find nothing
 *   steady-pass    vCPUs write to pages that are armed, then the harvest in
 *                  its parts; both several times over
 *   guest-tracked  vCPUs write while the main thread harvests
 *   disable        the log is switched off
 *
 * A harvest is what a migration does: the tracker merges what was written
 * into the pending bitmap; then each chunk is armed, and its pages are taken
 * from the bitmap.  Only the bytes are not read.
 */
#include <math.h>
#include <stddef.h>

#include <linux/kvm.h>

#include "clock.h"
#include "exit.h"
#include "interrupt.h"
#include "measure.h"
#include "progress.h"
#include "subject.h"

/*
 * Some of these take microseconds, and whatever else runs disturbs them: a
 * sample is the median of that many.  More would cost time in the passes,
 * which are slow where KVM emulates.
 */
#define STEADY_ROUNDS 9u
#define CLEAN_ROUNDS 15u

/* Some hundred calls. */
#define WAKE_NS 100000u

/* Watching the guest without a log comes first, and should not go on and on. */
#define MAX_FREE_WINDOWS 20u

/* Of a curve; each of its points is the median of CURVE_ROUNDS. */
#define CURVE_ROUNDS 3u
static const double curve_percents[] = { 0.5, 1, 2, 5, 10, 20, 50, 100 };
static const double curve_rates[] = { 0.125, 0.25, 0.5, 0.75, 1 };

#define GIB (UINT64_C(1) << 30)

typedef struct Job {
    const BenchOptions *options;
    TrackerKind kind;
    Subject *subject;
    Vm *vm;
    ShmigTracker *tracker;
    ShmigRegion *region;
    double gib;             /* of memory */
    double values[FIGURES]; /* of this iteration; NAN: not measured */
} Job;

static bool tracker_failed(Job *job, const char *what, int64_t ret,
                           GError **errp)
{
    g_set_error(errp, CLI_ERROR, CLI_FAILED, "%s: %s failed: %s",
                tracker_names[job->kind], what, g_strerror(-ret));
    return false;
}

/* What one harvest cost, in ns, and the pass before it. */
typedef struct Harvest {
    double pass, get, merge, reap, reset, scan, clear, total;
    double pages;
} Harvest;

static uint64_t take_chunk(Job *job, uint64_t from, uint64_t end)
{
    uint64_t first, n, taken = 0;

    while (
        (n = shmig_region_find(job->region, from, end, end - from, &first))) {
        taken += shmig_region_clear(job->region, first, n);
        from = first + n;
    }
    return taken;
}

/* Arms and takes all that is pending. */
static bool take_all(Job *job, Harvest *h, GError **errp)
{
    uint64_t chunk = job->options->chunk_bytes / 4096;
    uint64_t end = job->region->n_granules;

    for (uint64_t at = 0; at < end; at += chunk) {
        uint64_t n = MIN(chunk, end - at);
        uint64_t begin = clock_ns(), armed;
        int ret;

        if (!shmig_region_any(job->region, at, n)) {
            h->scan += clock_ns() - begin;
            continue;
        }
        ret = job->tracker->ops->clear(job->tracker, job->region, at, n);
        armed = clock_ns();
        if (ret < 0) {
            return tracker_failed(job, "clearing", ret, errp);
        }
        h->clear += armed - begin;
        h->pages += take_chunk(job, at, at + n);
        h->scan += clock_ns() - armed;
    }
    return true;
}

/*
 * A thread that has slept finds the caches of a processor that slept, or did
 * something else: what the first calls to the kernel cost then is chance, and
 * more than what a small log costs.  These do what has nothing to do with it.
 */
static void wake_up(Job *job)
{
    uint64_t end = clock_ns() + WAKE_NS;

    while (clock_ns() < end) {
        vm_ioctl(job->vm, KVM_CHECK_EXTENSION, NULL);
    }
}

static bool harvest(Job *job, Harvest *h, GError **errp)
{
    KernelTimes before = subject_times(job->subject), after;
    uint64_t begin, end;
    int64_t ret;
    double rest;

    wake_up(job);
    begin = clock_ns();
    ret = job->tracker->ops->harvest(job->tracker, false);

    end = clock_ns();
    if (ret < 0) {
        return tracker_failed(job, "a harvest", ret, errp);
    }
    after = subject_times(job->subject);
    h->get += after.get_ns - before.get_ns;
    h->reset += after.reset_ns - before.reset_ns;
    rest = end - begin - (after.get_ns - before.get_ns) -
           (after.reset_ns - before.reset_ns);
    *(job->kind == TRACKER_KVM_RING ? &h->reap : &h->merge) += rest;
    if (!take_all(job, h, errp)) {
        return false;
    }
    h->total += clock_ns() - begin;
    return true;
}

/* vCPUs carry out what they were just told to. */
static bool wait_pass(Job *job, double *ns, GError **errp)
{
    uint64_t begin = clock_ns();
    bool ok = vm_wait(job->vm, interrupt_fd(), errp);

    *ns += clock_ns() - begin;
    return ok;
}

static bool pass(Job *job, double percent, double *ns, GError **errp)
{
    vm_pass(job->vm, percent / 100);
    return wait_pass(job, ns, errp);
}

/* Watches the free guest for a while; pages/s. */
static bool watch(Job *job, uint64_t rate, bool tracked, double *speed,
                  GError **errp)
{
    uint64_t writes, begin, end, now;
    bool ok = true;

    vm_run(job->vm, rate);
    begin = clock_ns();
    writes = vm_writes(job->vm);
    end = begin + job->options->window_ms * 1000000;
    while (ok && !interrupted() && (now = clock_ns()) < end) {
        Harvest ignored = { 0 };
        uint64_t until = now + job->options->interval_ms * 1000000;

        interrupt_wait_until(tracked ? MIN(until, end) : end);
        ok = !tracked || harvest(job, &ignored, errp);
    }
    writes = (uint32_t)(vm_writes(job->vm) - writes);
    *speed = writes * 1e9 / (clock_ns() - begin);

    /* The first error counts. */
    return vm_stop(job->vm, ok ? errp : NULL) && ok;
}

static bool start(Job *job, double *ns, GError **errp)
{
    uint64_t begin = clock_ns();
    bool ok = job->tracker->ops->start(job->tracker, errp);

    *ns = clock_ns() - begin;
    if (!ok) {
        cli_error_set_code(errp, CLI_FAILED);
    }
    return ok;
}

static void stop(Job *job, double *ns)
{
    uint64_t begin = clock_ns();

    job->tracker->ops->stop(job->tracker);
    *ns = clock_ns() - begin;
}

static bool first_harvest(Job *job, GError **errp)
{
    Harvest h = { 0 };

    shmig_region_set(job->region, 0, UINT64_MAX);
    if (!harvest(job, &h, errp)) {
        return false;
    }
    job->values[FIGURE_FIRST_HARVEST] = h.total;
    return true;
}

/* Of one part of several harvests: @at is its offset. */
static double median_of(const Harvest *h, unsigned n, size_t at)
{
    g_autoptr(GArray) x = g_array_new(FALSE, FALSE, sizeof(double));

    for (unsigned i = 0; i < n; i++) {
        g_array_append_vals(x, (const char *)&h[i] + at, 1);
    }
    return summarize(x).median;
}

static bool clean_harvests(Job *job, GError **errp)
{
    Harvest h[CLEAN_ROUNDS] = { 0 };
    bool ok = true;

    for (unsigned i = 0; ok && i < CLEAN_ROUNDS; i++) {
        ok = harvest(job, &h[i], errp);
    }
    job->values[FIGURE_CLEAN_COST] =
        median_of(h, CLEAN_ROUNDS, offsetof(Harvest, total)) / job->gib;
    return ok;
}

#define MEDIAN(field) median_of(h, STEADY_ROUNDS, offsetof(Harvest, field))

static void note_harvests(Job *job, const Harvest *h)
{
    double *v = job->values;

    if (job->kind == TRACKER_KVM_RING) {
        v[FIGURE_REAP] = MEDIAN(reap);
        v[FIGURE_RESET] = MEDIAN(reset);
    } else {
        v[FIGURE_GET] = MEDIAN(get);
        v[FIGURE_MERGE] = MEDIAN(merge);
    }
    /* The others have nothing to clear. */
    if (job->kind == TRACKER_KVM_BITMAP) {
        v[FIGURE_CLEAR] = MEDIAN(clear);
    }
    v[FIGURE_SCAN] = MEDIAN(scan);
    v[FIGURE_HARVEST] = MEDIAN(total);
    v[FIGURE_PAGES] = MEDIAN(pages);
    if (v[FIGURE_PAGES] > 0) {
        v[FIGURE_PAGE_COST] = v[FIGURE_HARVEST] / v[FIGURE_PAGES];
        v[FIGURE_SPEED] = v[FIGURE_PAGES] * 1e9 / v[FIGURE_HARVEST];
    }
}

static bool steady(Job *job, GError **errp)
{
    Harvest h[STEADY_ROUNDS] = { 0 };
    bool ok = true;

    for (unsigned i = 0; ok && i < STEADY_ROUNDS; i++) {
        ok = pass(job, job->options->dirty_percent, &h[i].pass, errp) &&
             harvest(job, &h[i], errp);
    }
    job->values[FIGURE_STEADY_PASS] = MEDIAN(pass);
    note_harvests(job, h);
    return ok;
}

static bool tracked(Job *job, GError **errp)
{
    double *v = job->values;
    double ns = 0;

    if (!start(job, &v[FIGURE_ENABLE], errp)) {
        return false;
    }
    v[FIGURE_FIRST_PASS] = 0;
    if (!pass(job, job->options->dirty_percent, &v[FIGURE_FIRST_PASS], errp) ||
        !first_harvest(job, errp) || !clean_harvests(job, errp) ||
        !steady(job, errp) ||
        !watch(job, job->options->rate, true, &v[FIGURE_GUEST_TRACKED], errp)) {
        stop(job, &ns);
        return false;
    }
    stop(job, &v[FIGURE_DISABLE]);
    return true;
}

static bool iterate(Job *job, double guest_free, GError **errp)
{
    double *v = job->values;
    uint64_t fulls = vm_ring_fulls(job->vm);

    for (unsigned i = 0; i < FIGURES; i++) {
        v[i] = NAN;
    }
    v[FIGURE_GUEST_FREE] = guest_free;
    if (!tracked(job, errp)) {
        return false;
    }
    if (v[FIGURE_GUEST_FREE] > 0) {
        v[FIGURE_GUEST_LOSS] =
            (1 - v[FIGURE_GUEST_TRACKED] / v[FIGURE_GUEST_FREE]) * 100;
    }
    if (job->kind == TRACKER_KVM_RING) {
        v[FIGURE_RING_FULLS] = vm_ring_fulls(job->vm) - fulls;
    }
    return true;
}

static void keep_values(const Job *job, TrackerResult *result)
{
    for (unsigned i = 0; i < FIGURES; i++) {
        if (!isnan(job->values[i])) {
            tracker_result_add(result, i, job->values[i]);
        }
    }
}

/* What the guest writes without a log; later iterations share what there is. */
static bool watch_free(Job *job, double *speeds, uint64_t n, GError **errp)
{
    bool ok = true;

    for (uint64_t i = 0; ok && !interrupted() && i < n; i++) {
        ok = watch(job, job->options->rate, false, &speeds[i], errp);
    }
    return ok;
}

static bool iterations(Job *job, TrackerResult *result, GError **errp)
{
    uint64_t warm_up = job->options->warm_up;
    uint64_t n = warm_up + job->options->iterations;
    uint64_t n_free = MIN(n, MAX_FREE_WINDOWS);
    g_autofree double *guest_free = g_new0(double, n_free);

    progress_say("%s: watching the guest without a log", result->name);
    if (!watch_free(job, guest_free, n_free, errp)) {
        return false;
    }
    for (uint64_t i = 0; !interrupted() && i < n; i++) {
        if (i < warm_up) {
            progress_say("%s: warming up", result->name);
        } else {
            progress_say("%s: iteration %u of %u", result->name,
                         (unsigned)(i - warm_up + 1),
                         (unsigned)job->options->iterations);
        }
        if (!iterate(job, guest_free[i % n_free], errp)) {
            return false;
        }
        /* What was cut short is no measurement. */
        if (interrupted()) {
            break;
        }
        if (i >= warm_up) {
            keep_values(job, result);
        }
    }
    return true;
}

static bool point_by_fraction(Job *job, double percent, Point *point,
                              GError **errp)
{
    g_autoptr(GArray) costs = g_array_new(FALSE, FALSE, sizeof(double));
    double pages = 0;

    for (unsigned i = 0; i < CURVE_ROUNDS; i++) {
        Harvest h = { 0 };
        double ns = 0;

        if (!pass(job, percent, &ns, errp) || !harvest(job, &h, errp)) {
            return false;
        }
        pages += h.pages;
        g_array_append_val(costs, h.total);
    }
    point->x = pages * 100 / CURVE_ROUNDS / job->region->n_granules;
    point->y = summarize(costs).median / job->gib;
    return true;
}

static bool point_by_rate(Job *job, double rate, bool limited, Point *point,
                          GError **errp)
{
    g_autoptr(GArray) speeds = g_array_new(FALSE, FALSE, sizeof(double));

    for (unsigned i = 0; i < CURVE_ROUNDS; i++) {
        double speed;

        if (!watch(job, limited ? rate : 0, true, &speed, errp)) {
            return false;
        }
        g_array_append_val(speeds, speed);
    }
    point->x = rate;
    point->y = summarize(speeds).median;
    return true;
}

static bool curves(Job *job, TrackerResult *result, GError **errp)
{
    double free = summarize(result->samples[FIGURE_GUEST_FREE]).median;
    double ns;
    bool ok = start(job, &ns, errp);

    if (!ok) {
        return false;
    }
    ok = first_harvest(job, errp);
    for (unsigned i = 0;
         ok && !interrupted() && i < G_N_ELEMENTS(curve_percents); i++) {
        Point point;

        progress_say("%s: harvest of %g %%", result->name, curve_percents[i]);
        ok = point_by_fraction(job, curve_percents[i], &point, errp);
        if (ok && !interrupted()) {
            g_array_append_val(result->by_fraction, point);
        }
    }
    for (unsigned i = 0; ok && !interrupted() && i < G_N_ELEMENTS(curve_rates);
         i++) {
        Point point;

        progress_say("%s: guest at %g of its speed", result->name,
                     curve_rates[i]);
        ok = point_by_rate(job, free * curve_rates[i], curve_rates[i] < 1,
                           &point, errp);
        if (ok && !interrupted()) {
            g_array_append_val(result->by_rate, point);
        }
    }
    stop(job, &ns);
    return ok;
}

static bool measure(Job *job, TrackerResult *result, GError **errp)
{
    double ns = 0;

    progress_say("%s: populating memory", result->name);
    vm_populate(job->vm);
    if (!wait_pass(job, &ns, errp)) {
        return false;
    }
    if (interrupted()) {
        return true;
    }
    tracker_result_add(result, FIGURE_POPULATE, ns);
    if (!iterations(job, result, errp)) {
        return false;
    }
    return !job->options->plot || interrupted() || curves(job, result, errp);
}

bool measure_tracker(const BenchOptions *options, const ShmigKvmCaps *caps,
                     TrackerKind kind, TrackerResult *result, GError **errp)
{
    Job job = {
        .options = options,
        .kind = kind,
        .subject = subject_new(options, kind, caps, errp),
        .gib = (double)options->memory_bytes / GIB,
    };
    bool ok;

    if (!job.subject) {
        return false;
    }
    job.vm = subject_vm(job.subject);
    job.tracker = subject_tracker(job.subject);
    job.region = vm_region(job.vm);
    ok = measure(&job, result, errp);
    subject_free(job.subject);
    return ok;
}
