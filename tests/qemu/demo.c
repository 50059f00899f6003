/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo: a running guest and its two disks leave one QEMU for another that
 * shares nothing with it, and what came over is proven.
 *
 * The destination starts paused.  As soon as it has the guest, each of its
 * images gets an overlay, which freezes it as it was at switch-over, and the
 * guest goes on; the images are compared while it runs.
 */
#include <glib-unix.h>
#include <inttypes.h>
#include <stdio.h>

#include "demo-report.h"
#include "loop.h"
#include "pair.h"

#define VCPUS 2
#define MEMORY_MIB 256
#define FILLED_MIB 96
#define DISK_MIB 1024
/* It takes some seconds then, which one can watch. */
#define BANDWIDTH_MIB 128
/* The progress line is drawn that often. */
#define DRAW_SECONDS 0.1
/* The guest knows what its clock missed within 3 s: heartbeats of 10 ms. */
#define SETTLE_BEATS 330
#define SETTLE_SECONDS 30
#define STATS_SECONDS 20

typedef struct Demo {
    PairOptions options;
    Pair *pair;
    JsonNode *info;    /* query-migrate, at the end */
    double frozen_ms;  /* that the guest waited for the overlays */
    double gap_ms;     /* between heartbeats, across the move */
    char *stats;       /* the guest's */
    int bandwidth_mib; /* per second */
} Demo;

static const PairOptions demo_options = {
    .vcpus = VCPUS,
    .memory_mib = MEMORY_MIB,
    .disk_mib = DISK_MIB,
    .guest = "mem=96 zero=64 dirty=2000 write=200 wsize=mixed "
             "wz=20 discard=31 read=10",
    .disks = { { .format = "raw" }, { .format = "qcow2" } },
    .address = PAIR_TCP4,
};

static bool freeze_images(Demo *demo, GError **errp)
{
    const char *dir = demo->pair->dir;

    return qmp_run(demo->pair->dest->qmp, errp, "transaction",
                   "{'actions': ["
                   "{'type': 'blockdev-snapshot-sync', 'data': {"
                   "'device': 'drive0', 'snapshot-file': '%s/overlay0', "
                   "'format': 'qcow2', 'mode': 'existing'}}, "
                   "{'type': 'blockdev-snapshot-sync', 'data': {"
                   "'device': 'drive1', 'snapshot-file': '%s/overlay1', "
                   "'format': 'qcow2', 'mode': 'existing'}}]}",
                   dir, dir);
}

static bool make_overlays(Demo *demo, GError **errp)
{
    for (unsigned i = 0; i < demo->pair->disks; i++) {
        const Image *base = demo->pair->dest_disks[i];
        g_autofree char *path =
            g_strdup_printf("%s/overlay%u", demo->pair->dir, i);

        if (!image_run_program(errp, machine_qemu_img(), "create", "-u", "-f",
                               "qcow2", "-F", base->format, "-b", base->path,
                               path, G_STRINGIFY(DISK_MIB) "M", NULL)) {
            return false;
        }
    }
    return true;
}

static bool describe(Demo *demo, GError **errp)
{
    Pair *pair = demo->pair;

    report_title("The guest");
    report_line("accelerator", "%s",
                g_str_equal(demo->options.accel, "kvm") ? "KVM" : "TCG");
    report_line("CPUs, RAM", "%u, %u MiB with %u MiB of random bytes", VCPUS,
                MEMORY_MIB, FILLED_MIB);
    for (unsigned i = 0; i < pair->disks; i++) {
        int64_t bytes = image_allocated(pair->source_disks[i], errp);
        g_autofree char *label = g_strdup_printf("disk%u", i);
        g_autofree char *size = report_size(bytes);

        if (bytes < 0) {
            return false;
        }
        report_line(label, "%s, %u MiB, %s allocated, the rest holes",
                    pair->source_disks[i]->format, DISK_MIB, size);
    }
    report_line("all the while", "dirties 2000 pages/s; on each disk 200 "
                                 "requests/s: writes,");
    report_line("", "write-zeroes, discards, flushes, reads");
    return true;
}

static bool start(Demo *demo, GError **errp)
{
    report_title("Starting");
    report_step("two QEMUs with images of their own, and the guest");
    demo->pair = pair_new(&demo->options, errp);
    if (!demo->pair || !make_overlays(demo, errp)) {
        return false;
    }
    report_step_done();
    return describe(demo, errp);
}

/* Draws until it is over, one way or another. */
static bool watch(Demo *demo, GError **errp)
{
    while (!loop_wait(pair_is_over, demo->pair, DRAW_SECONDS)) {
        g_autoptr(JsonNode) info = NULL;

        if (loop_interrupted()) {
            return harness_fail(errp, "it was interrupted");
        }
        info = pair_query(demo->pair, errp);
        if (!info) {
            return false;
        }
        report_progress(info);
    }
    report_progress_done();
    return pair_wait_moved(demo->pair, errp);
}

static bool limit_bandwidth(Demo *demo, GError **errp)
{
    g_autofree char *setting = g_strdup_printf(
        "'max-bandwidth': %" PRId64, (int64_t)demo->bandwidth_mib << 20);

    return pair_set_parameter(demo->pair->source, setting, errp);
}

static bool move(Demo *demo, GError **errp)
{
    Machine *source, *dest;
    g_autofree char *cleared = NULL;
    int64_t arrived_us;

    source = demo->pair->source;
    dest = demo->pair->dest;
    report_title("Moving");
    report_line("to", "%s", demo->pair->uri);
    report_line("at most", "%d MiB/s (max-bandwidth)", demo->bandwidth_mib);
    cleared = guest_command(source->guest, "z", STATS_SECONDS, errp);
    if (!cleared || !limit_bandwidth(demo, errp) ||
        !pair_migrate(demo->pair, errp) || !watch(demo, errp)) {
        return false;
    }
    arrived_us = loop_now_us();
    if (!freeze_images(demo, errp) || !pair_resume(demo->pair, errp)) {
        return false;
    }
    demo->frozen_ms =
        (guest_beats(dest->guest)->first_us - arrived_us) / 1000.0;
    demo->gap_ms = (guest_beats(dest->guest)->first_us -
                    guest_beats(source->guest)->last_us) /
                   1000.0;
    demo->info = pair_query(demo->pair, errp);
    return demo->info != NULL;
}

/* Lets the guest find out what its clock missed. */
static bool ask_guest(Demo *demo, GError **errp)
{
    Guest *guest = demo->pair->dest->guest;

    for (unsigned tries = 0; tries < 3; tries++) {
        g_free(demo->stats);
        demo->stats = NULL;
        if (!guest_wait_beats(guest, SETTLE_BEATS, SETTLE_SECONDS, errp)) {
            return false;
        }
        demo->stats = guest_command(guest, "s", STATS_SECONDS, errp);
        if (!demo->stats || guest_value(demo->stats, "settling") == 0) {
            return demo->stats != NULL;
        }
    }
    return harness_fail(errp,
                        "the guest does not learn what its clock "
                        "missed: %s",
                        demo->stats);
}

static bool prove(Demo *demo, GError **errp)
{
    Pair *pair = demo->pair;
    g_autofree char *source = NULL, *dest = NULL;

    report_title("Proof");
    if (!pair_compare_disks(pair, errp)) {
        return false;
    }
    report_proof("images", "equal, byte for byte, as they were at "
                           "switch-over");
    if (!pair_compare_allocation(pair, errp)) {
        return false;
    }
    source = report_size(image_allocated(pair->source_disks[0], NULL));
    dest = report_size(image_allocated(pair->dest_disks[0], NULL));
    report_proof("holes", "disk0 takes up %s there, %s here", source, dest);
    if (!guest_verify(pair->dest->guest, pair->disks, errp)) {
        return false;
    }
    report_proof("guest", "runs on the destination, and there found every "
                          "byte of");
    report_line("", "its %u MiB of memory and of its disks as it wrote it",
                FILLED_MIB);
    return true;
}

/* A clock may stop with the guest, and then the RTC tells; or go on. */
static double guest_missed_ms(const Demo *demo)
{
    unsigned gap_us = guest_beats(demo->pair->dest->guest)->first_gap_us;
    int64_t lost_us = guest_value(demo->stats, "lost_us");

    return (gap_us + MAX(lost_us, 0)) / 1000.0;
}

static void report(Demo *demo)
{
    g_autofree char *wire =
        report_size(json_int_at(demo->info, "shmig.wire-bytes"));

    report_title("Report");
    report_line("total time", "%.2f s",
                json_int_at(demo->info, "total-time") / 1000.0);
    report_line("downtime",
                "%" PRId64 " ms by QEMU; the guest's own clock missed %.1f ms,",
                json_int_at(demo->info, "downtime"), guest_missed_ms(demo));
    report_line("", "its heartbeats %.1f ms (%.1f ms to freeze the images)",
                demo->gap_ms, demo->frozen_ms);
    report_line("on the wire", "%s over %" PRId64 " connections", wire,
                json_int_at(demo->info, "shmig.channels"));
    report_line("dirty pages", "from %s",
                json_text_at(demo->info, "shmig.tracker"));
    report_bytes(demo->info);
}

static bool run(Demo *demo, GError **errp)
{
    if (!start(demo, errp) || !move(demo, errp) || !ask_guest(demo, errp)) {
        return false;
    }
    report(demo);
    if (!prove(demo, errp) || !pair_quit(demo->pair, errp)) {
        return false;
    }
    report_proof("end", "both QEMUs quit in good order");
    return true;
}

static gboolean on_signal(void *opaque)
{
    loop_interrupt();
    return G_SOURCE_CONTINUE;
}

static bool parse(int argc, char **argv, Demo *demo, GError **errp)
{
    static char *accel;
    static int channels;
    static int bandwidth_mib = BANDWIDTH_MIB;
    static const GOptionEntry entries[] = {
        { "accel", 'a', 0, G_OPTION_ARG_STRING, &accel,
          "kvm or tcg (default: kvm where there is one)", "NAME" },
        { "channels", 'c', 0, G_OPTION_ARG_INT, &channels,
          "number of connections (default: QEMU's)", "N" },
        { "max-bandwidth", 'b', 0, G_OPTION_ARG_INT, &bandwidth_mib,
          "MiB per second (default: 128, as QEMU's)", "MIB" },
        { NULL },
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- move a running guest with its disks");

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, errp)) {
        return false;
    }
    if (bandwidth_mib < 1 || channels < 0 || channels > 64) {
        return harness_fail(errp, "--max-bandwidth has to be 1 or more, "
                                  "--channels 1 to 64");
    }
    demo->bandwidth_mib = bandwidth_mib;
    demo->options.channels = channels;
    demo->options.accel = accel;
    if (!accel) {
        g_autofree char *missing = machine_missing("kvm");

        demo->options.accel = missing ? "tcg" : "kvm";
    }
    return true;
}

int main(int argc, char **argv)
{
    Demo demo = { .options = demo_options };
    g_autoptr(GError) error = NULL;
    g_autofree char *missing = NULL;
    bool done = false;

    g_unix_signal_add(SIGINT, on_signal, NULL);
    g_unix_signal_add(SIGTERM, on_signal, NULL);
    if (parse(argc, argv, &demo, &error)) {
        missing = machine_missing(demo.options.accel);
        done =
            missing ? harness_fail(&error, "%s", missing) : run(&demo, &error);
    }
    if (!done) {
        report_progress_done();
        report_failure(loop_interrupted() ? "it was interrupted"
                                          : error->message);
    }
    pair_free(demo.pair);
    g_clear_pointer(&demo.info, json_node_unref);
    g_free(demo.stats);
    return done ? 0 : 1;
}
