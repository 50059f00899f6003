/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `shmig dirty-bench`: what is asked, measured, and told. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "bench.h"
#include "interrupt.h"
#include "machine.h"
#include "measure.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "subject.h"

static CliExit complain(const GError *err)
{
    progress_end();
    fprintf(stderr, "shmig dirty-bench: %s\n", err->message);
    return err->domain == CLI_ERROR ? err->code : CLI_FAILED;
}

static bool is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

/* Rather now than after minutes. */
static bool check_output(const char *path, GError **errp)
{
    FILE *file;

    if (!path || is_stdout(path)) {
        return true;
    }
    file = fopen(path, "a");
    if (!file) {
        g_set_error(errp, CLI_ERROR, CLI_FAILED,
                    "%s: cannot be written: %s; name another file", path,
                    g_strerror(errno));
        return false;
    }
    fclose(file);
    return true;
}

static bool check_machine(const BenchOptions *options, const ShmigKvmCaps *caps,
                          uint64_t max_slots, GError **errp)
{
    if (options->working_bytes > backing_free_bytes() &&
        options->backing != BACKING_HUGETLB) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT,
                    "memory: only %" PRIu64 " MiB are free on this host now; "
                    "choose less --memory, or a smaller --working-set",
                    backing_free_bytes() >> 20);
        return false;
    }
    /* One slot is the guest's own. */
    if (options->slots >= max_slots) {
        g_set_error(errp, CLI_ERROR, CLI_USAGE,
                    "--slots %" PRIu64 ": KVM has %" PRIu64
                    " for the guest's memory; choose fewer",
                    options->slots, max_slots - 1);
        return false;
    }
    if (options->trackers[TRACKER_KVM_RING] && caps->ring_max_bytes &&
        !shmig_kvm_ring_size_ok(caps, options->ring_entries, errp)) {
        cli_error_set_code(errp, CLI_USAGE);
        return false;
    }
    if (options->plot && !report_has_gnuplot()) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT,
                    "--plot: there is no gnuplot; install it (Debian: "
                    "gnuplot-nox), or take the curves from --json");
        return false;
    }
    return check_output(options->json, errp) &&
           check_output(options->csv, errp) &&
           check_output(options->plot, errp);
}

/* A tracker that was asked for by name has to be there. */
static bool check_trackers(const BenchOptions *options,
                           const ShmigKvmCaps *caps, GError **errp)
{
    g_autofree char *missing = NULL;
    unsigned wanted = 0, possible = 0;

    for (unsigned i = 0; i < TRACKERS; i++) {
        g_autofree char *why = subject_missing(i, caps);

        wanted += options->trackers[i];
        possible += options->trackers[i] && !why;
        if (options->trackers[i] && why && !missing) {
            missing = g_steal_pointer(&why);
        }
    }
    if (possible == 0 || (wanted == 1 && missing)) {
        g_set_error_literal(errp, CLI_ERROR, CLI_CANNOT, missing);
        return false;
    }
    return true;
}

static bool measure_all(const BenchOptions *options, const ShmigKvmCaps *caps,
                        Result *result, GError **errp)
{
    bool ok = true;

    for (unsigned i = 0; ok && i < TRACKERS && !interrupted(); i++) {
        TrackerResult *tracker;

        if (!options->trackers[i]) {
            continue;
        }
        tracker = result_add_tracker(result, tracker_names[i]);
        tracker->missing = subject_missing(i, caps);
        ok = tracker->missing ||
             measure_tracker(options, caps, i, tracker, errp);
    }
    progress_end();
    result->interrupted = interrupted();
    return ok;
}

static bool put(const char *path, const char *text, GError **errp)
{
    g_autoptr(GError) why = NULL;

    if (is_stdout(path)) {
        fputs(text, stdout);
        return true;
    }
    if (!g_file_set_contents(path, text, -1, &why)) {
        g_set_error(errp, CLI_ERROR, CLI_FAILED, "%s", why->message);
        return false;
    }
    return true;
}

static bool tell(const BenchOptions *options, const Result *result,
                 GError **errp)
{
    g_autofree char *json = options->json ? report_json(result) : NULL;
    g_autofree char *csv = options->csv ? report_csv(result) : NULL;

    if (!is_stdout(options->json) && !is_stdout(options->csv)) {
        g_autofree char *table = report_table(result);

        fputs(table, stdout);
    }
    return (!json || put(options->json, json, errp)) &&
           (!csv || put(options->csv, csv, errp)) &&
           (!options->plot || report_plot(result, options->plot, errp));
}

static bool any_samples(const Result *result)
{
    for (unsigned i = 0; i < result->trackers->len; i++) {
        const TrackerResult *tracker = result->trackers->pdata[i];

        if (tracker->samples[FIGURE_POPULATE]->len) {
            return true;
        }
    }
    return false;
}

static CliExit run(const BenchOptions *options)
{
    g_autoptr(Result) result = result_new();
    g_autoptr(GError) err = NULL, told = NULL;
    ShmigKvmCaps caps;
    uint64_t max_slots;
    bool ok;

    if (!vm_probe(options->device, &caps, &max_slots, &err) ||
        !check_trackers(options, &caps, &err) ||
        !check_machine(options, &caps, max_slots, &err)) {
        return complain(err);
    }
    machine_describe(&caps, result->machine);
    options_describe(options, result->settings);
    interrupt_init();
    ok = measure_all(options, &caps, result, &err);

    if (!ok && !any_samples(result)) {
        return complain(err);
    }
    /* What was measured before it went wrong is told all the same. */
    if (!tell(options, result, &told)) {
        return complain(ok ? told : err);
    }
    if (!ok) {
        return complain(err);
    }
    if (result->interrupted) {
        fprintf(stderr, "shmig dirty-bench: interrupted; this is what was "
                        "measured until then\n");
        return CLI_FAILED;
    }
    return CLI_OK;
}

static CliExit compare(char **paths)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Result) a = NULL, b = NULL;
    g_autofree char *text = NULL;

    if (!paths[0] || !paths[1] || paths[2]) {
        fprintf(stderr, "shmig dirty-bench: compare takes two files; give "
                        "what two runs wrote with --json\n");
        return CLI_USAGE;
    }
    a = report_read_json(paths[0], &err);
    b = a ? report_read_json(paths[1], &err) : NULL;
    if (!b) {
        return complain(err);
    }
    text = report_compare(a, b);
    fputs(text, stdout);
    return CLI_OK;
}

CliExit bench_main(char **argv)
{
    g_autoptr(GError) err = NULL;
    g_autofree char **rest = NULL;
    BenchOptions options;

    if (!options_parse(&options, argv, &rest, &err)) {
        return complain(err);
    }
    if (options.help) {
        options_print_help();
        return CLI_OK;
    }
    if (rest[0] && strcmp(rest[0], "compare") == 0) {
        return compare(rest + 1);
    }
    if (rest[0]) {
        fprintf(stderr,
                "shmig dirty-bench: %s: is neither an option nor "
                "\"compare\"; see shmig dirty-bench --help\n",
                rest[0]);
        return CLI_USAGE;
    }
    return run(&options);
}
