/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How shmig compares with what QEMU offers for the same, measured in turns:
 * docs/benchmarking.md says what is measured, and why in this way.
 */
#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <math.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "loop.h"
#include "place.h"
#include "run.h"
#include "table.h"

static const BenchCase all_cases[] = {
    { "idle", "source image on tmpfs, destination's on the disk; loopback",
      "disk=64", false, 0 },
    { "busy",
      "as idle, but 5000 pages/s dirtied and 500 writes/s of 4 KiB to the disk",
      "disk=64 dirty=5000 write=500 wsize=4096 flush=64", false, 0 },
    { "disk", "both images on the disk; loopback", "disk=64", true, 0 },
    { "link", "as idle, over a link of 1 Gbit/s", "disk=64", false, 1000 },
};

/* Memory, random memory, disk. */
static const BenchSize full_size = { 1024, 768, 4096 };
static const BenchSize quick_size = { 512, 256, 1024 };

static const Way *const ways[WAYS] = { &way_shmig, &way_stock };

typedef struct Bench {
    int runs;
    gboolean quick, iothread, untouched, tls;
    char **cases; /* names; NULL: all */
    char *way;    /* name; NULL: both */
    char *ram_dir, *disk_dir;
    BenchSize size;
    char *profile; /* folder; NULL: no */
    Place *places[PLACES];
} Bench;

static bool left_out(const Bench *bench, unsigned way)
{
    return bench->way && !g_str_equal(bench->way, ways[way]->name);
}

static bool measure(const Bench *bench, const EndsOptions *options, Link *link,
                    TableCase *table, unsigned way, GError **errp)
{
    EndsOptions own = *options;
    g_autofree char *profile = NULL;
    BenchRun run;

    fprintf(stderr, "%s, run %u of %d, %s … ", table->bench_case->name,
            table->runs[way]->len + 1, bench->runs, ways[way]->name);
    if (bench->profile) {
        profile = g_strdup_printf("%s/%s-%s-%u.data", bench->profile,
                                  table->bench_case->name, ways[way]->name,
                                  table->runs[way]->len + 1);
    }
    own.profile = profile;
    if (!run_measured(&own, link, ways[way], &run, errp)) {
        fprintf(stderr, "failed\n");
        return false;
    }
    fprintf(stderr, "%.2f s\n", run.figure[FIG_TOTAL_S]);
    g_array_append_val(table->runs[way], run);
    return true;
}

static bool measure_in_turns(const Bench *bench, const EndsOptions *options,
                             Link *link, TableCase *table, GError **errp)
{
    for (unsigned i = 0; i < bench->runs; i++) {
        for (unsigned j = 0; j < WAYS; j++) {
            /* Neither way always comes after the other. */
            unsigned way = (i + j) % WAYS;

            if (!left_out(bench, way) &&
                !measure(bench, options, link, table, way, errp)) {
                return false;
            }
        }
    }
    return true;
}

static bool weigh_memory(const Bench *bench, const EndsOptions *options,
                         Link *link, TableCase *table, GError **errp)
{
    for (unsigned way = 0; way < WAYS; way++) {
        if (left_out(bench, way)) {
            continue;
        }
        fprintf(stderr, "%s, memory, and that all arrived, %s\n",
                table->bench_case->name, ways[way]->name);
        if (!run_footprint(options, link, ways[way], &table->footprint[way],
                           errp)) {
            return false;
        }
    }
    return true;
}

static bool run_on_link(Bench *bench, Link *link, TableCase *table,
                        GError **errp)
{
    const BenchCase *bench_case = table->bench_case;
    Place *source = bench->places[bench_case->on_disk ? PLACE_DISK : PLACE_RAM];
    Place *dest = bench->places[PLACE_DISK];
    g_autofree char *dest_image = g_build_filename(dest->dir, "dest.raw", NULL);
    EndsOptions options = {
        .guest = bench_case->guest,
        .size = bench->size,
        .source_image = place_image(source, bench->size.disk_mib, errp),
        .dest_image = dest_image,
        .dir = dest->dir,
        .memory = bench->untouched ? MEMORY_UNTOUCHED : MEMORY_TOUCHED,
        .iothread = bench->iothread,
        .tls = bench->tls,
        .source_cache = source->cache_direct,
        .dest_cache = dest->cache_direct,
    };

    return options.source_image &&
           measure_in_turns(bench, &options, link, table, errp) &&
           (!g_str_equal(bench_case->name, "idle") ||
            weigh_memory(bench, &options, link, table, errp));
}

static bool run_case(Bench *bench, TableCase *table, GError **errp)
{
    Link *link = link_new(table->bench_case->mbit, errp);
    bool done = link && run_on_link(bench, link, table, errp);

    link_free(link);
    if (done) {
        table_print(table);
    }
    return done;
}

static bool is_chosen(const Bench *bench, const char *name)
{
    return !bench->cases ||
           g_strv_contains((const char *const *)bench->cases, name);
}

static bool run_cases(Bench *bench, GError **errp)
{
    TableCase tables[G_N_ELEMENTS(all_cases)];
    unsigned n = 0;
    bool done = true;

    for (unsigned i = 0; i < G_N_ELEMENTS(all_cases) && done; i++) {
        if (is_chosen(bench, all_cases[i].name)) {
            table_case_init(&tables[n], &all_cases[i]);
            done = run_case(bench, &tables[n++], errp);
        }
    }
    if (done) {
        table_print_goals(tables, n);
    }
    while (n--) {
        table_case_clear(&tables[n]);
    }
    return done;
}

static void describe(const Bench *bench)
{
    struct utsname host;
    double load[3] = { NAN, NAN, NAN };

    uname(&host);
    if (getloadavg(load, 3) < 0) {
        load[0] = NAN;
    }
    printf("Guest: %u MiB of RAM with %u MiB random; raw disk of %u MiB, half "
           "random, half holes; KVM.\n"
           "Host: %ld CPUs, Linux %s, load %.1f when it began.\n"
           "Disks of both ways: aio=io_uring, cache.direct=%s on tmpfs, =%s on "
           "the disk; %s iothread.\n"
           "Memory of both ways: %s.\n"
           "stock: blockdev-mirror (full, background) over NBD, then multifd, "
           "2 channels.\n"
           "shmig: 2 channels, %s.\n",
           bench->size.memory_mib, bench->size.random_mib, bench->size.disk_mib,
           sysconf(_SC_NPROCESSORS_ONLN), host.release, load[0],
           bench->places[PLACE_RAM]->cache_direct,
           bench->places[PLACE_DISK]->cache_direct,
           bench->iothread ? "an" : "no",
           bench->untouched ? "QEMU's default, untouched before it is received"
                            : "preallocated, transparent huge pages",
           bench->tls ? "TLS with a pre-shared key" : "plain");
    fflush(stdout);
}

static bool make_places(Bench *bench, GError **errp)
{
    unsigned half = bench->size.disk_mib / 2;

    bench->places[PLACE_RAM] =
        place_new(PLACE_RAM, bench->ram_dir, half + 256, errp);
    if (!bench->places[PLACE_RAM]) {
        return false;
    }
    /* A source's image and a destination's, which stock makes fat. */
    bench->places[PLACE_DISK] =
        place_new(PLACE_DISK, bench->disk_dir, half * 3 + 256, errp);
    return bench->places[PLACE_DISK] != NULL;
}

static bool run(Bench *bench, GError **errp)
{
    g_autofree char *missing = machine_missing("kvm");

    if (missing) {
        return harness_fail(errp, "%s", missing);
    }
    bench->size = bench->quick ? quick_size : full_size;
    if (!make_places(bench, errp)) {
        return false;
    }
    describe(bench);
    return run_cases(bench, errp);
}

static bool check(const Bench *bench, GError **errp)
{
    for (unsigned i = 0; bench->cases && bench->cases[i]; i++) {
        bool known = false;

        for (unsigned j = 0; j < G_N_ELEMENTS(all_cases); j++) {
            known |= g_str_equal(bench->cases[i], all_cases[j].name);
        }
        if (!known) {
            return harness_fail(errp,
                                "there is no case \"%s\"; there are idle, "
                                "busy, disk and link",
                                bench->cases[i]);
        }
    }
    if (bench->way && left_out(bench, WAY_SHMIG) &&
        left_out(bench, WAY_STOCK)) {
        return harness_fail(errp,
                            "there is no way \"%s\"; there are shmig "
                            "and stock",
                            bench->way);
    }
    if (bench->runs < 1 || bench->runs > 1000) {
        return harness_fail(errp, "--runs must be from 1 to 1000");
    }
    if (bench->profile && g_mkdir_with_parents(bench->profile, 0755) < 0) {
        return harness_fail(errp, "--profile=%s: %s", bench->profile,
                            g_strerror(errno));
    }
    return true;
}

static bool parse(int argc, char **argv, Bench *bench, GError **errp)
{
    const GOptionEntry entries[] = {
        { "runs", 'n', 0, G_OPTION_ARG_INT, &bench->runs,
          "runs of each way (default: 5)", "N" },
        { "case", 'c', 0, G_OPTION_ARG_STRING_ARRAY, &bench->cases,
          "idle, busy, disk or link; may be repeated (default: all)", "NAME" },
        { "quick", 'q', 0, G_OPTION_ARG_NONE, &bench->quick,
          "a smaller guest, to see that it works", NULL },
        { "way", 'w', 0, G_OPTION_ARG_STRING, &bench->way,
          "shmig or stock alone, to profile it", "NAME" },
        { "iothread", 0, 0, G_OPTION_ARG_NONE, &bench->iothread,
          "the disk has a thread of its own in both ways", NULL },
        { "tls", 0, 0, G_OPTION_ARG_NONE, &bench->tls,
          "shmig runs inside TLS, with a pre-shared key", NULL },
        { "untouched", 0, 0, G_OPTION_ARG_NONE, &bench->untouched,
          "memory of the guest is not preallocated", NULL },
        { "profile", 0, 0, G_OPTION_ARG_FILENAME, &bench->profile,
          "have perf sample each run, into files in DIR", "DIR" },
        { "ram-dir", 0, 0, G_OPTION_ARG_FILENAME, &bench->ram_dir,
          "a folder on a tmpfs (default: /dev/shm)", "DIR" },
        { "disk-dir", 0, 0, G_OPTION_ARG_FILENAME, &bench->disk_dir,
          "a folder on a disk (default: /var/tmp)", "DIR" },
        { NULL },
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- compare shmig with mirror and multifd");

    g_option_context_add_main_entries(context, entries, NULL);
    return g_option_context_parse(context, &argc, &argv, errp) &&
           check(bench, errp);
}

static gboolean on_signal(void *opaque)
{
    loop_interrupt();
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    Bench bench = {
        .runs = 5,
        .ram_dir = g_strdup("/dev/shm"),
        .disk_dir = g_strdup("/var/tmp"),
    };
    g_autoptr(GError) error = NULL;
    bool done;

    g_unix_signal_add(SIGINT, on_signal, NULL);
    g_unix_signal_add(SIGTERM, on_signal, NULL);
    done = parse(argc, argv, &bench, &error) && run(&bench, &error);
    if (!done) {
        fprintf(stderr, "bench: %s\n",
                loop_interrupted() ? "it was interrupted" : error->message);
    }
    for (unsigned i = 0; i < PLACES; i++) {
        place_free(bench.places[i]);
    }
    g_strfreev(bench.cases);
    g_free(bench.way);
    g_free(bench.profile);
    g_free(bench.ram_dir);
    g_free(bench.disk_dir);
    return done ? 0 : 1;
}
