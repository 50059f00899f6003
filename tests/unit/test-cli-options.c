/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command takes, and one sentence for what it does not. */
#include <string.h>

#include <glib.h>

#include "exit.h"
#include "figures.h"
#include "options.h"

#define MIB (UINT64_C(1) << 20)

/* @line: words after "dirty-bench"; they have to outlive @options. */
static bool parse(char **words, BenchOptions *options, GError **errp)
{
    g_autofree char **rest = NULL;

    return options_parse(options, words, &rest, errp);
}

static void test_sizes(void)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t bytes;
    } rows[] = {
        { "0", true, 0 },
        { "1", true, 1 },
        { "64M", true, 64 * MIB },
        { "3g", true, 3072 * MIB },
        { "512b", true, 512 },
        { "1T", true, MIB * MIB },
        { "16383T", true, UINT64_C(16383) << 40 },
        { "16777216T", false, 0 },
        { "", false, 0 },
        { "M", false, 0 },
        { "-1", false, 0 },
        { " 1", false, 0 },
        { "1MB", false, 0 },
        { "1.5G", false, 0 },
        { "99999999999999999999", false, 0 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t bytes = 0;

        g_test_message("%s", rows[i].text);
        g_assert_cmpint(parse_size(rows[i].text, &bytes), ==, rows[i].ok);
        g_assert_cmpuint(bytes, ==, rows[i].bytes);
    }
}

static void test_size_text(void)
{
    g_autofree char *plain = format_size(1000), *zero = format_size(0);
    g_autofree char *chunk = format_size(256 * 1024);
    g_autofree char *large = format_size(MIB * MIB * 3);

    g_assert_cmpstr(plain, ==, "1000");
    g_assert_cmpstr(zero, ==, "0");
    g_assert_cmpstr(chunk, ==, "256K");
    g_assert_cmpstr(large, ==, "3T");
}

static void test_defaults(void)
{
    char *words[] = { (char *)"dirty-bench", NULL };
    BenchOptions o;

    g_assert_true(parse(words, &o, NULL));
    g_assert_true(o.trackers[0] && o.trackers[1] && o.trackers[2]);
    g_assert_cmpuint(o.memory_bytes, ==, 256 * MIB);
    g_assert_cmpuint(o.slots, ==, 1);
    g_assert_cmpuint(o.slot_bytes, ==, 256 * MIB);
    g_assert_cmpstr(o.device, ==, "/dev/kvm");
    g_assert_null(o.json);
}

static void test_both_forms(void)
{
    char *words[] = {
        (char *)"dirty-bench", (char *)"--tracker=kvm-ring",
        (char *)"--dirty",     (char *)"2.5",
        (char *)"--json=-",    (char *)"--memory",
        (char *)"64M",         NULL,
    };
    BenchOptions o;

    g_assert_true(parse(words, &o, NULL));
    g_assert_true(o.trackers[TRACKER_KVM_RING]);
    g_assert_false(o.trackers[TRACKER_GENERIC]);
    g_assert_cmpfloat(o.dirty_percent, ==, 2.5);
    g_assert_cmpstr(o.json, ==, "-");
    g_assert_cmpuint(o.memory_bytes, ==, 64 * MIB);
}

/* Slots, their size and the memory: two say what the third is. */
static void test_slots(void)
{
    static const struct {
        const char *line;
        uint64_t memory_mib, slots, slot_bytes;
    } rows[] = {
        { "--slots=4", 256, 4, 64 * MIB },
        { "--slot-size=64M", 256, 4, 64 * MIB },
        { "--slot-size=100M", 256, 3, 100 * MIB },
        { "--slots=3 --slot-size=16M", 48, 3, 16 * MIB },
        { "--slots=3 --memory=64M", 64, 3, 86 * MIB / 4 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strconcat("x ", rows[i].line, NULL);
        g_auto(GStrv) words = g_strsplit(line, " ", -1);
        g_autoptr(GError) err = NULL;
        BenchOptions o;

        g_test_message("%s", rows[i].line);
        g_assert_true(parse(words, &o, &err));
        g_assert_no_error(err);
        g_assert_cmpuint(o.memory_bytes, ==, rows[i].memory_mib * MIB);
        g_assert_cmpuint(o.slots, ==, rows[i].slots);
        g_assert_cmpuint(o.slot_bytes, ==, rows[i].slot_bytes);
        g_assert_cmpuint(o.slot_bytes % (256 * 1024), ==, 0);
    }
}

typedef struct Bad {
    const char *line;
    const char *say;
} Bad;

static const Bad bad[] = {
    { "--iterations 0", "choose a number from 1 to 10000" },
    { "--iterations 10001", "choose a number from 1 to 10000" },
    { "--iterations ten", "choose a number from 1 to 10000" },
    { "--iterations -1", "choose a number from 1 to 10000" },
    { "--iterations", "its value is missing; add N" },
    { "--vcpus 0", "choose a number from 1 to 256" },
    { "--vcpus 257", "choose a number from 1 to 256" },
    { "--memory 0", "choose a multiple of 256K" },
    { "--memory 1000000", "choose a multiple of 256K" },
    { "--memory 501G", "choose a multiple of 256K from 256K to 500G" },
    { "--memory 499G", "this host has" },
    { "--memory 256K --vcpus 65", "less than a page for each" },
    { "--working-set 512M", "is more than the guest's memory, 256M" },
    { "--slot-size 4K", "choose a multiple of 256K" },
    { "--slots 1025", "cannot be cut into so many" },
    { "--slots 4 --slot-size 1M --memory 8M", "leave one of the three out" },
    { "--slots 32767 --slot-size 499G", "are more than 500G" },
    { "--backing huge", "choose 4k, thp, hugetlb or memfd" },
    { "--backing hugetlb --memory 3328K", "multiples of 2M" },
    { "--pattern Random", "choose sequential, random, hot or strided" },
    { "--dirty 0", "above 0, up to 100" },
    { "--dirty 100.1", "above 0, up to 100" },
    { "--dirty nan", "above 0, up to 100" },
    { "--hot -3", "above 0, up to 100" },
    { "--tracker bitmap", "choose generic, kvm-bitmap, kvm-ring or all" },
    { "--ring 1000", "is no power of two; choose one such as 4096" },
    { "--ring 0", "is no power of two" },
    { "--chunk 100K", "choose a multiple of 256K" },
    { "--window 9", "choose a number from 10" },
    { "--interval 0", "choose a number from 1" },
    { "--plot p.png", "only SVG is drawn" },
    { "--json - --csv -", "only one of them can go to standard output" },
    { "--json=", "name a file" },
    { "--help=yes", "takes no value; leave \"=yes\" out" },
    { "--frob", "there is no such option; see shmig dirty-bench --help" },
    { "--mem 1G", "--mem: there is no such option" },
};

static void test_bad(gconstpointer opaque)
{
    const Bad *row = opaque;
    g_autofree char *line = g_strconcat("dirty-bench ", row->line, NULL);
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    g_autoptr(GError) err = NULL;
    BenchOptions o;

    g_assert_false(parse(words, &o, &err));
    g_assert_error(err, CLI_ERROR, CLI_USAGE);
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, row->say));
    /* One sentence that names the option. */
    g_assert_true(g_str_has_prefix(err->message, "--"));
    g_assert_null(strchr(err->message, '\n'));
}

static void test_facts(void)
{
    char *words[] = { (char *)"dirty-bench", (char *)"--ring=4096", NULL };
    g_autoptr(Result) result = result_new();
    BenchOptions o;

    g_assert_true(parse(words, &o, NULL));
    options_describe(&o, result->settings);
    g_assert_cmpstr(facts_get(result->settings, "ring"), ==, "4096");
    g_assert_cmpstr(facts_get(result->settings, "memory"), ==, "256M");
    g_assert_cmpstr(facts_get(result->settings, "pattern"), ==, "random");
    g_assert_cmpstr(facts_get(result->settings, "tracker"), ==,
                    "generic kvm-bitmap kvm-ring");
    g_assert_null(facts_get(result->settings, "json"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/options/sizes", test_sizes);
    g_test_add_func("/cli/options/size-text", test_size_text);
    g_test_add_func("/cli/options/defaults", test_defaults);
    g_test_add_func("/cli/options/both-forms", test_both_forms);
    g_test_add_func("/cli/options/slots", test_slots);
    g_test_add_func("/cli/options/facts", test_facts);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path =
            g_strdup_printf("/cli/options/bad/%s", bad[i].line);

        g_test_add_data_func(g_strdelimit(path, " ", '_'), &bad[i], test_bad);
    }
    return g_test_run();
}
