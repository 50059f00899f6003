/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo with libvirt: two hosts, each with its own daemon, between which
 * virsh moves a running guest with its two disks.
 *
 * On the way there the guest is paused when it arrives, so that the images
 * of both sides can be compared as they were at switch-over.  On the way back
 * it just goes on, and nothing stays behind.
 */
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>

#include "demo-report.h"
#include "domain.h"
#include "loop.h"
#include "machine.h"

#define VCPUS 2
#define MEMORY_MIB 256
#define FILLED_MIB 96
#define DISK_MIB 1024
/* It takes some seconds then, which one can watch: virsh's MiB/s. */
#define BANDWIDTH " --bandwidth 128"
#define MOVE "migrate --live --verbose --shared-nothing --persistent"
#define THERE MOVE " --suspend"
#define BACK MOVE " --undefinesource --remove-source-storage"
#define MOVE_SECONDS 300
#define DRAW_SECONDS 0.1
#define BEATS 100
#define BEAT_SECONDS 30

typedef struct Demo {
    DomainOptions options;
    Hosts *hosts;
    Domain *domain;
} Demo;

static const DomainOptions demo_options = {
    .vcpus = VCPUS,
    .memory_mib = MEMORY_MIB,
    .disk_mib = DISK_MIB,
    .guest = "mem=96 zero=64 dirty=2000 write=200 wsize=mixed "
             "wz=20 discard=31 read=10",
    .disks = { { .format = "raw" }, { .format = "qcow2" } },
};

static bool describe(const Demo *demo, GError **errp)
{
    report_title("The guest");
    report_line("accelerator", "%s",
                g_str_equal(demo->options.accel, "kvm") ? "KVM" : "TCG");
    report_line("CPUs, RAM", "%u, %u MiB with %u MiB of random bytes", VCPUS,
                MEMORY_MIB, FILLED_MIB);
    for (unsigned i = 0; i < domain_disks(demo->domain); i++) {
        Image image = domain_image(demo->domain, HOST_A, NULL, i);
        int64_t bytes = image_allocated(&image, errp);
        g_autofree char *label = g_strdup_printf("disk%u", i);
        g_autofree char *size = report_size(bytes);

        image_clear(&image);
        if (bytes < 0) {
            return false;
        }
        report_line(label, "%s, %u MiB, %s allocated, the rest holes",
                    demo->options.disks[i].format, DISK_MIB, size);
    }
    report_line("all the while", "dirties 2000 pages/s; on each disk 200 "
                                 "requests/s: writes,");
    report_line("", "write-zeroes, discards, flushes, reads");
    return true;
}

static bool start(Demo *demo, GError **errp)
{
    report_title("Starting");
    report_step("two hosts of their own network, files and libvirtd");
    demo->hosts = hosts_new(errp);
    if (!demo->hosts) {
        return false;
    }
    report_step_done();
    report_step("the guest, on host-a");
    demo->domain = domain_new(demo->hosts, &demo->options, errp);
    if (!demo->domain) {
        return false;
    }
    report_step_done();
    return describe(demo, errp);
}

/* The last per cent that virsh printed, of 1. */
static double share_of(const char *output)
{
    const char *bracket = strrchr(output, '[');

    return bracket ? g_ascii_strtod(bracket + 1, NULL) / 100 : 0;
}

static bool has_ended(void *opaque)
{
    return virsh_ended(opaque);
}

static bool watch(Virsh *virsh, GError **errp)
{
    while (!loop_wait(has_ended, virsh, DRAW_SECONDS)) {
        if (loop_interrupted()) {
            return harness_fail(errp, "it was interrupted");
        }
        report_bar(share_of(virsh_output(virsh)), "moving", "");
    }
    report_progress_done();
    return virsh_wait(virsh, MOVE_SECONDS, errp);
}

static bool move(Demo *demo, Host from, const char *command, GError **errp)
{
    Host to = host_other(from);
    g_autofree char *line =
        g_strdup_printf("%s %s qemu+tcp://%s/system", command,
                        domain_name(demo->domain), host_name(to));
    Virsh *virsh;
    bool moved;

    report_title(to == HOST_B ? "Moving to host-b" : "Moving back to host-a");
    report_line("virsh", "%s", line);
    virsh = virsh_start(demo->hosts, from, errp, "%s" BANDWIDTH, line);
    moved = virsh && watch(virsh, errp);
    virsh_free(virsh);
    return moved;
}

/* What libvirt's own statistics say, in their own words. */
static bool report_job(Demo *demo, Host host, GError **errp)
{
    static const char *const wanted[] = {
        "Time elapsed",     "Total downtime", "Data processed",
        "Memory processed", "File processed",
    };
    g_autofree char *info =
        domain_do(demo->domain, host, "domjobinfo --completed", errp);
    g_auto(GStrv) line = info ? g_strsplit(info, "\n", -1) : NULL;

    for (unsigned i = 0; line && line[i]; i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(wanted); k++) {
            g_auto(GStrv) word = g_strsplit(line[i], ":", 2);
            double number;
            char unit[16] = "";

            if (g_str_equal(word[0], wanted[k]) &&
                sscanf(word[1], "%lf %15s", &number, unit) == 2) {
                report_line(wanted[k], "%6.1f %s", number, unit);
            }
        }
    }
    return info != NULL;
}

static bool stayed_thin(Demo *demo, GError **errp)
{
    for (unsigned i = 0; i < domain_disks(demo->domain); i++) {
        Image a = domain_image(demo->domain, HOST_A, NULL, i);
        Image b = domain_image(demo->domain, HOST_B, NULL, i);
        int64_t was = image_allocated(&a, errp);
        int64_t is = image_allocated(&b, errp);
        g_autofree char *before = report_size(was);
        g_autofree char *after = report_size(is);

        image_clear(&a);
        image_clear(&b);
        if (was < 0 || is < 0) {
            return false;
        }
        report_line(i ? "" : "thin", "disk%u takes up %s there, %s here", i,
                    before, after);
    }
    return true;
}

static bool guest_proves(Demo *demo, Host host, GError **errp)
{
    if (!domain_runs_on(demo->domain, host, errp) ||
        !domain_verify(demo->domain, host, errp)) {
        return false;
    }
    report_proof("guest", "runs on %s alone, and there found every byte of",
                 host_name(host));
    report_line("", "its %u MiB of memory and of its disks as it wrote it",
                FILLED_MIB);
    return true;
}

static bool there(Demo *demo, GError **errp)
{
    g_autofree char *resumed = NULL;

    if (!move(demo, HOST_A, THERE, errp) || !report_job(demo, HOST_B, errp) ||
        !domain_compare(demo->domain, HOST_B, NULL, errp)) {
        return false;
    }
    report_proof("images", "equal, byte for byte, as they were at "
                           "switch-over");
    resumed = domain_do(demo->domain, HOST_B, "resume", errp);
    return resumed && guest_proves(demo, HOST_B, errp) &&
           stayed_thin(demo, errp) &&
           domain_delete_files(demo->domain, HOST_A, errp);
}

static bool nothing_stays(Demo *demo, Host host, GError **errp)
{
    g_autofree char *state = domain_state(demo->domain, host, errp);
    g_autofree char *files =
        state ? domain_files(demo->domain, host, NULL, errp) : NULL;

    if (files && (*files || !g_str_equal(state, "none"))) {
        return harness_fail(errp, "%s still has \"%s\", state \"%s\"",
                            host_name(host), files, state);
    }
    report_proof("end", "%s has neither its images nor its definition",
                 host_name(host));
    return files != NULL;
}

/* How long the guest's heart stood still, as the outside saw it. */
static double gap_ms(const GuestBeats *before, const GuestBeats *after)
{
    return (after->first_us - before->last_us) / 1000.0;
}

static bool back(Demo *demo, GError **errp)
{
    /* Host A's QEMU of the way there is no more: a new one has come. */
    if (!move(demo, HOST_B, BACK, errp) ||
        !guest_wait_beats(domain_guest(demo->domain, HOST_A), BEATS,
                          BEAT_SECONDS, errp)) {
        return false;
    }
    report_line("heartbeats", "%6.1f ms apart across the move",
                gap_ms(guest_beats(domain_guest(demo->domain, HOST_B)),
                       guest_beats(domain_guest(demo->domain, HOST_A))));
    return report_job(demo, HOST_A, errp) && guest_proves(demo, HOST_A, errp) &&
           nothing_stays(demo, HOST_B, errp);
}

static gboolean on_signal(void *opaque)
{
    loop_interrupt();
    return G_SOURCE_CONTINUE;
}

static bool parse(int argc, char **argv, Demo *demo, GError **errp)
{
    static char *accel;
    static const GOptionEntry entries[] = {
        { "accel", 'a', 0, G_OPTION_ARG_STRING, &accel,
          "kvm or tcg (default: kvm where there is one)", "NAME" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(
        "- move a running guest with its disks between two libvirt hosts");

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, errp)) {
        return false;
    }
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
        missing = hosts_missing();
        done = missing ? harness_fail(&error, "%s", missing)
                       : start(&demo, &error) && there(&demo, &error) &&
                             back(&demo, &error);
    }
    if (!done) {
        report_progress_done();
        report_failure(loop_interrupted() ? "it was interrupted"
                                          : error->message);
    }
    domain_free(demo.domain);
    hosts_free(demo.hosts);
    return done ? 0 : 1;
}
