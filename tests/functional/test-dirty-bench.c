/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `shmig dirty-bench` on this machine's KVM. */
#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "command.h"
#include "report.h"
#include "subject.h"
#include "vm.h"

/* As short as it can be: what it finds is not of interest here. */
#define SHORT                                                          \
    "dirty-bench --memory 16M --iterations 2 --warm-up 0 --window 30 " \
    "--interval 10"

/* 10 % of 16 MiB, in two parts. */
#define PASS_PAGES 408

static char *folder;

static char *in_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

/* Skips the test if there is no KVM, or it lacks what @kind takes. */
static bool can_run(TrackerKind kind)
{
    ShmigKvmCaps caps;
    uint64_t max_slots;
    g_autoptr(GError) err = NULL;
    g_autofree char *missing = NULL;

    if (!vm_probe("/dev/kvm", &caps, &max_slots, &err)) {
        g_autofree char *why = g_strdup_printf("missing: %s", err->message);

        g_test_skip(why);
        return false;
    }
    missing = subject_missing(kind, &caps);
    if (missing) {
        g_test_skip(missing);
    }
    return !missing;
}

static void assert_done(const Said *said)
{
    if (said->status != 0) {
        g_error("exit status %d: %s", said->status, said->err);
    }
    g_assert_cmpstr(said->err, ==, "");
}

/* Runs with --json, and reads that. */
static Result *run_json(const char *line)
{
    g_autofree char *json = in_folder("run.json");
    g_autofree char *with = g_strdup_printf("%s --json %s", line, json);
    g_auto(Said) said = command_run(with);
    g_autoptr(GError) err = NULL;
    Result *result;

    assert_done(&said);
    result = report_read_json(json, &err);
    g_assert_no_error(err);
    return result;
}

static Summary figure(const Result *result, const char *tracker, FigureId id)
{
    TrackerResult *found = result_find_tracker(result, tracker);

    g_assert_nonnull(found);
    return summarize(found->samples[id]);
}

static void assert_measured(const Result *result, const char *tracker,
                            FigureId id, unsigned n)
{
    Summary s = figure(result, tracker, id);

    if (s.n != n || (n && s.median <= 0)) {
        g_error("%s %s: %u samples, median %g", tracker, figures[id].name, s.n,
                s.median);
    }
}

/* Each tracker has its own phases, and those that all have. */
static void test_all(void)
{
    static const FigureId always[] = {
        FIGURE_ENABLE,      FIGURE_FIRST_PASS, FIGURE_FIRST_HARVEST,
        FIGURE_STEADY_PASS, FIGURE_SCAN,       FIGURE_HARVEST,
        FIGURE_DISABLE,     FIGURE_PAGES,      FIGURE_SPEED,
        FIGURE_PAGE_COST,   FIGURE_CLEAN_COST, FIGURE_GUEST_FREE,
    };
    g_autoptr(Result) result = NULL;

    if (!can_run(TRACKER_KVM_BITMAP) || !can_run(TRACKER_KVM_RING)) {
        return;
    }
    result = run_json(SHORT);
    g_assert_cmpuint(result->trackers->len, ==, 3);
    for (unsigned t = 0; t < TRACKERS; t++) {
        const char *name = tracker_names[t];
        bool ring = t == TRACKER_KVM_RING;

        assert_measured(result, name, FIGURE_POPULATE, 1);
        for (size_t i = 0; i < G_N_ELEMENTS(always); i++) {
            assert_measured(result, name, always[i], 2);
        }
        assert_measured(result, name, FIGURE_GET, ring ? 0 : 2);
        assert_measured(result, name, FIGURE_MERGE, ring ? 0 : 2);
        assert_measured(result, name, FIGURE_REAP, ring ? 2 : 0);
        assert_measured(result, name, FIGURE_RESET, ring ? 2 : 0);
        assert_measured(result, name, FIGURE_CLEAR,
                        t == TRACKER_KVM_BITMAP ? 2 : 0);
        g_assert_cmpuint(figure(result, name, FIGURE_GUEST_LOSS).n, ==, 2);
        /* At random, some pages are hit twice. */
        g_assert_cmpfloat(figure(result, name, FIGURE_PAGES).median, <=,
                          PASS_PAGES);
        g_assert_cmpfloat(figure(result, name, FIGURE_PAGES).median, >=,
                          PASS_PAGES * 0.85);
    }
    g_assert_nonnull(facts_get(result->machine, "kernel"));
    g_assert_nonnull(facts_get(result->machine, "modules"));
    g_assert_cmpstr(facts_get(result->settings, "memory"), ==, "16M");
}

typedef struct Variant {
    const char *name, *options;
    TrackerKind kind;
    double pages; /* exactly so many are dirty after a pass; 0: not known */
} Variant;

static const Variant variants[] = {
    { "generic-sequential", "--pattern sequential", TRACKER_GENERIC,
      PASS_PAGES },
    { "bitmap-sequential", "--pattern sequential", TRACKER_KVM_BITMAP,
      PASS_PAGES },
    { "ring-sequential", "--pattern sequential", TRACKER_KVM_RING, PASS_PAGES },
    { "strided", "--pattern strided --stride 7", TRACKER_KVM_BITMAP,
      PASS_PAGES },
    { "hot", "--pattern hot --hot 1", TRACKER_KVM_BITMAP, 0 },
    { "slots", "--pattern sequential --slots 5", TRACKER_KVM_BITMAP,
      PASS_PAGES },
    { "ring-slots", "--pattern sequential --slots 5", TRACKER_KVM_RING,
      PASS_PAGES },
    { "small-chunks", "--pattern sequential --chunk 256K", TRACKER_KVM_BITMAP,
      PASS_PAGES },
    { "one-vcpu", "--pattern sequential --vcpus 1", TRACKER_KVM_BITMAP, 409 },
    { "memfd", "--pattern sequential --backing memfd", TRACKER_KVM_BITMAP,
      PASS_PAGES },
    { "thp", "--pattern sequential --backing thp", TRACKER_KVM_BITMAP,
      PASS_PAGES },
    { "working-set", "--pattern sequential --memory 64M --working-set 16M",
      TRACKER_KVM_BITMAP, PASS_PAGES },
    { "rate", "--pattern sequential --rate 2000", TRACKER_KVM_BITMAP,
      PASS_PAGES },
};

static void test_variant(gconstpointer opaque)
{
    const Variant *v = opaque;
    const char *name = tracker_names[v->kind];
    g_autofree char *line =
        g_strdup_printf(SHORT " --tracker %s %s", name, v->options);
    g_autoptr(Result) result = NULL;
    Summary pages;

    if (!can_run(v->kind)) {
        return;
    }
    result = run_json(line);
    pages = figure(result, name, FIGURE_PAGES);
    if (v->pages) {
        g_assert_cmpfloat(pages.min, ==, v->pages);
        g_assert_cmpfloat(pages.max, ==, v->pages);
    } else {
        g_assert_cmpfloat(pages.min, >, 0);
    }
}

/* More is written in a pass than a ring holds, and no page is missed. */
static void test_ring_overflow(void)
{
    g_autoptr(Result) result = NULL;

    if (!can_run(TRACKER_KVM_RING)) {
        return;
    }
    result = run_json(SHORT " --tracker kvm-ring --ring 1024 --dirty 100 "
                            "--pattern sequential");
    g_assert_cmpfloat(figure(result, "kvm-ring", FIGURE_RING_FULLS).min, >=, 4);
    g_assert_cmpfloat(figure(result, "kvm-ring", FIGURE_PAGES).min, ==, 4096);
}

static void test_rate_is_kept(void)
{
    g_autoptr(Result) result = NULL;
    double speed;

    if (!can_run(TRACKER_KVM_BITMAP)) {
        return;
    }
    result = run_json("dirty-bench --memory 16M --iterations 3 --warm-up 0 "
                      "--window 200 --interval 50 --tracker kvm-bitmap "
                      "--rate 5000");
    /* Not more than that, whatever else this machine does. */
    speed = figure(result, "kvm-bitmap", FIGURE_GUEST_FREE).median;
    g_assert_cmpfloat(speed, >, 0);
    g_assert_cmpfloat(speed, <, 5000 * 1.1);
}

/* Above 3 GiB the guest is another one. */
static void test_large(void)
{
    g_autoptr(Result) result = NULL;

    if (!can_run(TRACKER_KVM_BITMAP)) {
        return;
    }
    if (backing_free_bytes() < UINT64_C(6) << 30) {
        g_test_skip("missing: 6 GiB of free memory");
        return;
    }
    result = run_json("dirty-bench --memory 3073M --iterations 1 --warm-up 0 "
                      "--window 10 --tracker kvm-bitmap --dirty 0.1 "
                      "--pattern sequential");
    g_assert_cmpfloat(figure(result, "kvm-bitmap", FIGURE_PAGES).median, ==,
                      786);
}

static void test_stdout_is_pure(void)
{
    g_auto(Said) json = { 0 }, csv = { 0 };

    if (!can_run(TRACKER_GENERIC)) {
        return;
    }
    json = command_run(SHORT " --tracker generic --json -");
    assert_done(&json);
    g_assert_true(g_str_has_prefix(json.out, "{\n"));
    g_assert_true(g_str_has_suffix(json.out, "}\n"));
    csv = command_run(SHORT " --tracker generic --csv -");
    assert_done(&csv);
    g_assert_true(g_str_has_prefix(csv.out, "record,tracker,name,"));
    g_assert_null(strstr(csv.out, "median  "));
}

static void test_compare(void)
{
    g_autofree char *a = in_folder("a.json"), *b = in_folder("b.json");
    g_autofree char *first =
        g_strdup_printf(SHORT " --tracker generic --json %s", a);
    g_autofree char *second =
        g_strdup_printf(SHORT " --tracker generic --dirty 50 --json %s", b);
    g_autofree char *line = g_strdup_printf("dirty-bench compare %s %s", a, b);
    g_auto(Said) said_a = { 0 }, said_b = { 0 }, said = { 0 };

    if (!can_run(TRACKER_GENERIC)) {
        return;
    }
    said_a = command_run(first);
    said_b = command_run(second);
    assert_done(&said_a);
    assert_done(&said_b);
    said = command_run(line);
    assert_done(&said);
    g_assert_nonnull(strstr(said.out, "  dirty: 10 → 50\n"));
    g_assert_nonnull(strstr(said.out, "\n  pages "));
    g_assert_nonnull(strstr(said.out, "  changed\n"));
}

static void test_plot(void)
{
    g_autofree char *svg = in_folder("curves.svg"), *text = NULL;
    g_autofree char *line =
        g_strdup_printf(SHORT " --tracker kvm-bitmap --plot %s", svg);
    g_auto(Said) said = { 0 };

    if (!can_run(TRACKER_KVM_BITMAP)) {
        return;
    }
    if (!report_has_gnuplot()) {
        g_test_skip("missing: gnuplot");
        return;
    }
    said = command_run(line);
    assert_done(&said);
    g_assert_true(g_file_get_contents(svg, &text, NULL, NULL));
    g_assert_nonnull(strstr(text, "<svg"));
    g_assert_nonnull(strstr(text, "Cost of one harvest"));
    g_assert_nonnull(strstr(text, "kvm-bitmap"));
}

/* A line on the terminal while it runs; what was measured is not lost. */
static void test_interrupt(void)
{
    g_auto(Said) said = { 0 };

    if (!can_run(TRACKER_GENERIC)) {
        return;
    }
    said = command_interrupt_at("dirty-bench --memory 16M --iterations 10000 "
                                "--warm-up 0 --window 20 --interval 10",
                                "iteration 3 of 10000");
    g_assert_cmpint(said.status, ==, 1);
    g_assert_nonnull(strstr(said.err, "generic: iteration 1 of 10000"));
    g_assert_nonnull(strstr(said.err, "interrupted; this is what was"));
    g_assert_nonnull(strstr(said.out, "\n  harvest "));
    g_assert_null(strstr(said.out, "kvm-ring"));
}

typedef struct Bad {
    const char *name, *line;
    int status;
    const char *say;
} Bad;

static const Bad bad[] = {
    { "no-command", "", 2, "there is no such command" },
    { "wrong-command", "frobnicate", 2,
      "frobnicate: there is no such command" },
    { "word", "dirty-bench now", 2, "now: is neither an option nor" },
    { "option", "dirty-bench --frob 1", 2, "--frob: there is no such option" },
    { "no-iterations", "dirty-bench --iterations 0", 2,
      "--iterations 0: choose a number from 1" },
    { "too-much-memory", "dirty-bench --memory 400G", 2, "this host has" },
    { "no-device", "dirty-bench --device /nonexistent/kvm", 77,
      "/nonexistent/kvm: No such file or directory; load kvm_intel" },
    { "no-kvm", "dirty-bench --device /dev/null", 77,
      "/dev/null: is not a KVM device; name one with --device" },
    { "compare-one", "dirty-bench compare a.json", 2,
      "compare takes two files" },
    { "compare-nothing", "dirty-bench compare /nonexistent/a /nonexistent/b", 1,
      "/nonexistent/a: No such file or directory; give a file that" },
    { "compare-text", "dirty-bench compare /etc/passwd /etc/passwd", 1,
      "/etc/passwd: is not JSON; give a file that shmig dirty-bench --json" },
};

static void assert_one_sentence(const Said *said, int status, const char *say)
{
    g_test_message("%s", said->err);
    g_assert_cmpint(said->status, ==, status);
    g_assert_cmpstr(said->out, ==, "");
    g_assert_nonnull(strstr(said->err, say));
    g_assert_true(strchr(said->err, '\n') == said->err + strlen(said->err) - 1);
}

static void test_bad(gconstpointer opaque)
{
    const Bad *row = opaque;
    g_auto(Said) said = command_run(row->line);

    assert_one_sentence(&said, row->status, row->say);
}

/* Those that are only found with a KVM. */
static const Bad bad_here[] = {
    { "ring-too-large", "dirty-bench --ring 1048576", 2,
      "1048576 entries are not possible; choose a power of two from 256" },
    { "too-many-slots", "dirty-bench --memory 9G --slots 32767", 2,
      "--slots 32767: " },
    { "json-elsewhere", "dirty-bench --json /nonexistent/a.json", 1,
      "/nonexistent/a.json: cannot be written: No such file" },
};

static void test_bad_here(gconstpointer opaque)
{
    if (can_run(TRACKER_KVM_RING)) {
        test_bad(opaque);
    }
}

static void test_no_permission(void)
{
    g_auto(Said) said = { 0 };

    if (geteuid() != 0 || g_access("/dev/kvm", F_OK) < 0) {
        g_test_skip("missing: root, to become somebody else, and /dev/kvm");
        return;
    }
    said = command_run_as_nobody("dirty-bench");
    if (said.status == 99 || said.status == 0) {
        g_test_skip("missing: a /dev/kvm that is not everybody's");
        return;
    }
    assert_one_sentence(&said, 77,
                        "/dev/kvm: Permission denied; become a member");
}

/* More reserved huge pages than there can be: nothing but a sentence. */
static void test_no_hugetlb(void)
{
    g_auto(Said) said = { 0 };

    if (!can_run(TRACKER_GENERIC)) {
        return;
    }
    said = command_run("dirty-bench --backing hugetlb --memory 400G "
                       "--working-set 2M");
    assert_one_sentence(&said, 77, "reserve 2 MiB pages in /proc/sys/vm");
}

static void test_no_gnuplot(void)
{
    g_auto(Said) said = { 0 };
    g_autofree char *svg = in_folder("no.svg");
    g_autofree char *line = g_strdup_printf("dirty-bench --plot %s", svg);

    if (!can_run(TRACKER_GENERIC)) {
        return;
    }
    said = command_run_with_path(line, folder);
    assert_one_sentence(&said, 77, "there is no gnuplot; install it");
}

/* What a kernel without it gets to hear. */
static void test_missing_interfaces(void)
{
    const ShmigKvmCaps old = { .get = true };
    const ShmigKvmCaps recent = { .get = true, .manual_protect = 3 };
    const ShmigKvmCaps none = { 0 };
    g_autofree char *ring = subject_missing(TRACKER_KVM_RING, &recent);
    g_autofree char *bitmap = subject_missing(TRACKER_KVM_BITMAP, &old);
    g_autofree char *generic = subject_missing(TRACKER_GENERIC, &none);

    g_assert_nonnull(strstr(ring, "use Linux 5.11 or later"));
    g_assert_nonnull(strstr(bitmap, "use Linux 5.2 or later"));
    g_assert_nonnull(strstr(generic, "no dirty log at all"));
    g_assert_null(subject_missing(TRACKER_KVM_BITMAP, &recent));
    g_assert_null(subject_missing(TRACKER_GENERIC, &old));
}

/* "--name ARG" of each option in the help's table. */
static GHashTable *options_of_help(void)
{
    GHashTable *found =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(Said) said = command_run("dirty-bench --help");
    g_auto(GStrv) lines = g_strsplit(said.out, "\n", -1);

    assert_done(&said);
    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, "  --")) {
            char *option = g_strndup(*line + 2, 20);

            g_assert_true((*line)[22] == ' ');
            g_hash_table_add(found, g_strchomp(option));
        }
    }
    return found;
}

/* The same of "=item B<--name> I<ARG>" in the manual page. */
static GHashTable *options_of_manual(const char *text)
{
    GHashTable *found =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GRegex) regex = g_regex_new(
        "^=item B<(--[a-z-]+)>(?: I<([^>]+)>)?$", G_REGEX_MULTILINE, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    for (g_regex_match(regex, text, 0, &match); g_match_info_matches(match);
         g_match_info_next(match, NULL)) {
        g_autofree char *name = g_match_info_fetch(match, 1);
        g_autofree char *arg = g_match_info_fetch(match, 2);

        g_hash_table_add(found, arg && *arg ? g_strconcat(name, " ", arg, NULL)
                                            : g_strdup(name));
    }
    return found;
}

static void assert_all_in(GHashTable *a, GHashTable *b, const char *where)
{
    GHashTableIter iter;
    void *key;

    g_hash_table_iter_init(&iter, a);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (!g_hash_table_contains(b, key)) {
            g_error("%s is not in %s", (char *)key, where);
        }
    }
}

static void test_help_and_manual(void)
{
    g_autofree char *pod = NULL;
    g_autoptr(GHashTable) help = options_of_help(), manual = NULL;
    const char *examples, *options;

    g_assert_true(g_file_get_contents(g_getenv("SHMIG_POD"), &pod, NULL, NULL));
    manual = options_of_manual(pod);
    g_assert_cmpuint(g_hash_table_size(help), >=, 20);
    assert_all_in(help, manual, "the manual page");
    assert_all_in(manual, help, "--help");

    /* Who opens it wants to see how it is used. */
    examples = strstr(pod, "=head1 EXAMPLES");
    options = strstr(pod, "=head1 OPTIONS");
    g_assert_true(examples && options && examples < options);
}

static void remove_folder(void)
{
    static const char *const files[] = { "run.json", "a.json", "b.json",
                                         "curves.svg", "no.svg" };

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = in_folder(files[i]);

        g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(folder), ==, 0);
    g_free(folder);
}

static void add_rows(const char *group, const Bad *rows, size_t n,
                     GTestDataFunc func)
{
    for (size_t i = 0; i < n; i++) {
        g_autofree char *path =
            g_strdup_printf("/dirty-bench/%s/%s", group, rows[i].name);

        g_test_add_data_func(path, &rows[i], func);
    }
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("shmig-bench-XXXXXX", NULL);
    g_assert_nonnull(folder);
    g_test_add_func("/dirty-bench/help-and-manual", test_help_and_manual);
    g_test_add_func("/dirty-bench/missing-interfaces", test_missing_interfaces);
    add_rows("bad", bad, G_N_ELEMENTS(bad), test_bad);
    add_rows("bad-here", bad_here, G_N_ELEMENTS(bad_here), test_bad_here);
    g_test_add_func("/dirty-bench/bad/no-permission", test_no_permission);
    g_test_add_func("/dirty-bench/bad/no-hugetlb", test_no_hugetlb);
    g_test_add_func("/dirty-bench/bad/no-gnuplot", test_no_gnuplot);
    g_test_add_func("/dirty-bench/all", test_all);
    for (size_t i = 0; i < G_N_ELEMENTS(variants); i++) {
        g_autofree char *path =
            g_strdup_printf("/dirty-bench/variant/%s", variants[i].name);

        g_test_add_data_func(path, &variants[i], test_variant);
    }
    g_test_add_func("/dirty-bench/ring-overflow", test_ring_overflow);
    g_test_add_func("/dirty-bench/rate-is-kept", test_rate_is_kept);
    g_test_add_func("/dirty-bench/large", test_large);
    g_test_add_func("/dirty-bench/stdout-is-pure", test_stdout_is_pure);
    g_test_add_func("/dirty-bench/compare", test_compare);
    g_test_add_func("/dirty-bench/plot", test_plot);
    g_test_add_func("/dirty-bench/interrupt", test_interrupt);
    status = g_test_run();
    remove_folder();
    return status;
}
