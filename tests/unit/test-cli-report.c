/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables that fit, files that can be read back, and files that are not ours. */
#include <string.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "exit.h"
#include "report.h"

/* Long facts, and figures from nothing to a lot. */
static Result *make(double factor)
{
    static const char *const names[] = { "generic", "kvm-bitmap", "kvm-ring" };
    Result *result = result_new();

    facts_add(result->machine, "cpu",
              "A \"Processor\" whose maker, as they do, writes a long name");
    facts_add(result->machine, "cpus", "1024");
    facts_add(result->machine, "kernel",
              "6.18.44-with-a-long-local-version #1 SMP PREEMPT_DYNAMIC of a "
              "date\n");
    facts_add(result->machine, "modules", "kvm kvm_amd kvm_intel");
    facts_add(result->settings, "vcpus", "2");
    facts_add(result->settings, "memory", "256M");
    for (unsigned t = 0; t < G_N_ELEMENTS(names); t++) {
        TrackerResult *tracker = result_add_tracker(result, names[t]);
        Point point = { 1.5, 1e5 };

        for (unsigned i = 0; i < FIGURES; i++) {
            for (unsigned n = 0; n < 5; n++) {
                tracker_result_add(tracker, i, factor * (1 + t) * (100 + n));
            }
        }
        g_array_append_val(tracker->by_fraction, point);
        g_array_append_val(tracker->by_rate, point);
    }
    return result;
}

static void assert_fits(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        if (g_utf8_strlen(*line, -1) > REPORT_COLUMNS) {
            g_error("more than %d columns: %s", REPORT_COLUMNS, *line);
        }
    }
}

static void test_table_fits(void)
{
    static const double factors[] = { 0,       1e-6, 0.0999, 1,
                                      9.99999, 1e7,  1e12,   -1e12 };

    for (size_t i = 0; i < G_N_ELEMENTS(factors); i++) {
        g_autoptr(Result) result = make(factors[i]);
        g_autofree char *text = report_table(result);

        assert_fits(text);
        g_assert_nonnull(strstr(text, "kvm-bitmap"));
        g_assert_nonnull(strstr(text, "cheapest here"));
    }
}

static void test_values(void)
{
    static const struct {
        FigureId id;
        double value;
        const char *text;
    } rows[] = {
        { FIGURE_GET, 0, "0.00 ns" },
        { FIGURE_GET, 9.994, "9.99 ns" },
        { FIGURE_GET, 9.996, "10.0 ns" },
        { FIGURE_GET, 99.96, "100 ns" },
        { FIGURE_GET, 999.4, "999 ns" },
        { FIGURE_GET, 999.6, "1.00 us" },
        { FIGURE_GET, 1234567, "1.23 ms" },
        { FIGURE_GET, 12.3e9, "12.3 s" },
        { FIGURE_GUEST_FREE, 253100, "253 k" },
        { FIGURE_PAGES, 12, "12.0" },
        { FIGURE_GUEST_LOSS, -3.25, "-3.2 %" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = report_value(rows[i].id, rows[i].value);

        g_assert_cmpstr(text, ==, rows[i].text);
    }
}

/* An interface that is not there is said, with no row of figures. */
static void test_missing(void)
{
    g_autoptr(Result) result = result_new();
    TrackerResult *tracker = result_add_tracker(result, "kvm-ring");
    g_autofree char *table = NULL, *csv = NULL;

    tracker->missing = g_strdup("kvm-ring: this kernel has none");
    table = report_table(result);
    csv = report_csv(result);
    g_assert_nonnull(strstr(table, "this kernel has none"));
    g_assert_null(strstr(table, "median"));
    g_assert_nonnull(strstr(csv, "\"kvm-ring: this kernel has none\""));
}

static unsigned count_commas(const char *line)
{
    unsigned n = 0;
    bool quoted = false;

    for (; *line; line++) {
        quoted ^= *line == '"';
        n += *line == ',' && !quoted;
    }
    return n;
}

static void test_csv(void)
{
    g_autoptr(Result) result = make(1);
    g_autofree char *text = report_csv(result);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned n = 0;

    for (char **line = lines; **line; line++, n++) {
        g_assert_cmpuint(count_commas(*line), ==, 9);
    }
    g_assert_cmpuint(n, ==, 1 + 4 + 2 + 3 * (FIGURES + 2));
    g_assert_nonnull(strstr(text, "\"A \"\"Processor\"\" whose maker"));
    g_assert_nonnull(
        strstr(text, "\nfigure,kvm-ring,get,ns,5,306,300,312,3,\n"));
}

static char *write_file(const char *text)
{
    char *path;
    int fd = g_file_open_tmp("shmig-test-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void test_read_back(void)
{
    g_autoptr(Result) result = make(0.1), again = NULL;
    g_autofree char *json = report_json(result);
    g_autofree char *path = write_file(json);
    g_autoptr(GError) err = NULL;
    TrackerResult *ring;

    again = report_read_json(path, &err);
    g_unlink(path);
    g_assert_no_error(err);
    g_assert_cmpuint(again->trackers->len, ==, 3);
    g_assert_cmpstr(facts_get(again->machine, "cpu"), ==,
                    facts_get(result->machine, "cpu"));
    ring = result_find_tracker(again, "kvm-ring");
    for (unsigned i = 0; i < FIGURES; i++) {
        g_assert_cmpuint(ring->samples[i]->len, ==, 5);
        g_assert_cmpfloat(g_array_index(ring->samples[i], double, 4), ==,
                          0.1 * 3 * 104);
    }
}

typedef struct BadFile {
    const char *name, *text, *say;
} BadFile;

#define HEAD "{\"format\":\"shmig-dirty-bench\",\"version\":1,"
#define FACTS "\"machine\":{},\"settings\":{},"

static const BadFile bad_files[] = {
    { "empty", "", "no result of dirty-bench" },
    { "text", "hello", "is not JSON" },
    { "cut", "{\"format\": \"shmig", "is not JSON" },
    { "array", "[]", "no result of dirty-bench" },
    { "number", "1", "no result of dirty-bench" },
    { "other", "{\"format\":\"fio\",\"version\":1}", "no result" },
    { "no-version", "{\"format\":\"shmig-dirty-bench\"}", "no result" },
    { "odd-version", "{\"format\":\"shmig-dirty-bench\",\"version\":[]}",
      "no result" },
    { "newer", "{\"format\":\"shmig-dirty-bench\",\"version\":2}",
      "another version" },
    { "no-facts", HEAD "\"trackers\":[]}", "damaged" },
    { "odd-fact", HEAD "\"machine\":{\"a\":1},\"settings\":{},\"trackers\":[]}",
      "damaged" },
    { "no-trackers", HEAD FACTS "\"x\":1}", "damaged" },
    { "odd-tracker", HEAD FACTS "\"trackers\":[1]}", "damaged" },
    { "nameless", HEAD FACTS "\"trackers\":[{\"figures\":{}}]}", "damaged" },
    { "no-figures", HEAD FACTS "\"trackers\":[{\"name\":\"a\"}]}", "damaged" },
    { "twice",
      HEAD FACTS "\"trackers\":[{\"name\":\"a\",\"figures\":{}},"
                 "{\"name\":\"a\",\"figures\":{}}]}",
      "damaged" },
    { "odd-sample",
      HEAD FACTS "\"trackers\":[{\"name\":\"a\",\"figures\":"
                 "{\"get\":{\"samples\":[1,\"2\"]}}}]}",
      "damaged" },
    { "no-samples",
      HEAD FACTS "\"trackers\":[{\"name\":\"a\",\"figures\":{\"get\":{}}}]}",
      "damaged" },
    { "odd-figure",
      HEAD FACTS "\"trackers\":[{\"name\":\"a\",\"figures\":{\"get\":3}}]}",
      "damaged" },
};

static void test_bad_file(gconstpointer opaque)
{
    const BadFile *row = opaque;
    g_autofree char *path = write_file(row->text);
    g_autoptr(GError) err = NULL;

    g_assert_null(report_read_json(path, &err));
    g_unlink(path);
    g_assert_error(err, CLI_ERROR, CLI_FAILED);
    g_test_message("%s", err->message);
    g_assert_true(g_str_has_prefix(err->message, path));
    g_assert_nonnull(strstr(err->message, row->say));
    g_assert_nonnull(strstr(err->message, "give a file that"));
}

static void test_no_file(void)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(report_read_json("/nonexistent/a.json", &err));
    g_assert_error(err, CLI_ERROR, CLI_FAILED);
    g_assert_nonnull(strstr(err->message, "/nonexistent/a.json"));
}

/* The same twice differs in nothing; half the time is better, speed is not. */
static void test_compare(void)
{
    g_autoptr(Result) a = make(1), b = make(0.5);
    g_autofree char *same = report_compare(a, a);
    g_autofree char *faster = NULL;

    assert_fits(same);
    g_assert_nonnull(strstr(same, "the same in both"));
    g_assert_null(strstr(same, "better"));
    g_assert_nonnull(strstr(same, "within noise"));

    g_ptr_array_set_size(b->machine, 1);
    facts_add(b->machine, "kernel", "7.0");
    faster = report_compare(a, b);
    assert_fits(faster);
    g_assert_nonnull(strstr(faster, "cpus: 1024 → none"));
    g_assert_nonnull(strstr(faster, "→ 7.0"));
    g_assert_nonnull(strstr(faster, "get               102 ns    51.0 ns"
                                    "     -50.0 %      4.9 %  better"));
    g_assert_nonnull(strstr(faster, "harvest-speed        102       51.0"
                                    "     -50.0 %      4.9 %  worse"));
}

static void test_nothing_in_common(void)
{
    g_autoptr(Result) a = result_new(), b = result_new();
    g_autofree char *text = NULL;

    result_add_tracker(a, "generic");
    result_add_tracker(b, "kvm-ring");
    text = report_compare(a, b);
    g_assert_nonnull(strstr(text, "no tracker was measured in both"));
}

/* What gnuplot gets: quoted names, a block of data for each curve. */
static void test_plot_script(void)
{
    g_autoptr(Result) result = make(1);
    g_autofree char *script = report_plot_script(result, "it's.svg");

    g_assert_nonnull(strstr(script, "set output 'it''s.svg'"));
    g_assert_nonnull(strstr(script, "$fraction2 << EOD\n1.5 100 \nEOD\n"));
    g_assert_nonnull(strstr(script, "$rate1 with linespoints lw 2 "
                                    "title 'kvm-bitmap'"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/report/table-fits", test_table_fits);
    g_test_add_func("/cli/report/values", test_values);
    g_test_add_func("/cli/report/missing", test_missing);
    g_test_add_func("/cli/report/csv", test_csv);
    g_test_add_func("/cli/report/read-back", test_read_back);
    for (size_t i = 0; i < G_N_ELEMENTS(bad_files); i++) {
        g_autofree char *path =
            g_strdup_printf("/cli/report/bad-file/%s", bad_files[i].name);

        g_test_add_data_func(path, &bad_files[i], test_bad_file);
    }
    g_test_add_func("/cli/report/no-file", test_no_file);
    g_test_add_func("/cli/report/compare", test_compare);
    g_test_add_func("/cli/report/nothing-in-common", test_nothing_in_common);
    g_test_add_func("/cli/report/plot-script", test_plot_script);
    return g_test_run();
}
