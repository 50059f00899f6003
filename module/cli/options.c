/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user asks of `shmig dirty-bench`: one table says which options
 * there are, what they take, and what --help tells of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exit.h"
#include "figures.h"
#include "options.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)

/* The bitmap's words of 64 pages do not cross from slot to slot. */
#define STEP_BYTES (256 * KIB)
#define HUGE_BYTES (2 * MIB)

/* What the guest's page tables and 32-bit counts of pages hold. */
#define MAX_MEMORY (500 * GIB)

#define DEFAULT_MEMORY (256 * MIB)

const char *const tracker_names[TRACKERS] = {
    [TRACKER_GENERIC] = "generic",
    [TRACKER_KVM_BITMAP] = "kvm-bitmap",
    [TRACKER_KVM_RING] = "kvm-ring",
};

static const char *const pattern_names[PAYLOAD_PATTERNS] = {
    [PAYLOAD_SEQUENTIAL] = "sequential",
    [PAYLOAD_RANDOM] = "random",
    [PAYLOAD_HOT] = "hot",
    [PAYLOAD_STRIDED] = "strided",
};

typedef enum SpecKind {
    SPEC_HELP,
    SPEC_COUNT,   /* uint64_t, from min to max */
    SPEC_SIZE,    /* uint64_t, a multiple of STEP_BYTES, from min to max */
    SPEC_PERCENT, /* double, above 0, to 100 */
    SPEC_TRACKER,
    SPEC_BACKING,
    SPEC_PATTERN,
    SPEC_TEXT,
} SpecKind;

typedef struct Spec {
    const char *name;
    const char *arg; /* NULL: it takes none */
    SpecKind kind;
    size_t at;
    uint64_t min, max;
    const char *help;
} Spec;

#define AT(field) offsetof(BenchOptions, field)

static const Spec specs[] = {
    { "tracker", "NAME", SPEC_TRACKER, 0, 0, 0,
      "generic, kvm-bitmap, kvm-ring, or all (default)" },
    { "vcpus", "N", SPEC_COUNT, AT(vcpus), 1, PAYLOAD_MAX_VCPUS,
      "vCPUs, each writing a part of its own (2)" },
    { "memory", "SIZE", SPEC_SIZE, AT(memory_bytes), STEP_BYTES, MAX_MEMORY,
      "guest memory (256M)" },
    { "working-set", "SIZE", SPEC_SIZE, AT(working_bytes), STEP_BYTES,
      MAX_MEMORY, "its first part, the only one that is written (all)" },
    { "backing", "KIND", SPEC_BACKING, AT(backing), 0, 0,
      "4k (default), thp, hugetlb or memfd" },
    { "slots", "N", SPEC_COUNT, AT(slots), 1, 32767,
      "KVM memory slots of equal size (1)" },
    { "slot-size", "SIZE", SPEC_SIZE, AT(slot_bytes), STEP_BYTES, MAX_MEMORY,
      "size of one slot, instead of --slots" },
    { "pattern", "NAME", SPEC_PATTERN, AT(pattern), 0, 0,
      "sequential, random (default), hot or strided" },
    { "stride", "PAGES", SPEC_COUNT, AT(stride_pages), 1, 1 << 20,
      "distance of strided writes (8)" },
    { "hot", "PERCENT", SPEC_PERCENT, AT(hot_percent), 0, 0,
      "memory that takes 9 in 10 writes of hot (10)" },
    { "dirty", "PERCENT", SPEC_PERCENT, AT(dirty_percent), 0, 0,
      "writes in a pass, of the pages there are (10)" },
    { "rate", "PAGES", SPEC_COUNT, AT(rate), 0, UINT32_MAX,
      "pages/s the free guest writes; 0: no limit (0)" },
    { "chunk", "SIZE", SPEC_SIZE, AT(chunk_bytes), STEP_BYTES, 64 * GIB,
      "memory that one clear covers (64M)" },
    { "ring", "ENTRIES", SPEC_COUNT, AT(ring_entries), 0, UINT64_MAX,
      "size of each vCPU's ring, a power of two (65536)" },
    { "iterations", "N", SPEC_COUNT, AT(iterations), 1, 10000,
      "how often each phase is measured (10)" },
    { "warm-up", "N", SPEC_COUNT, AT(warm_up), 0, 10000,
      "iterations before that, not counted (1)" },
    { "window", "MS", SPEC_COUNT, AT(window_ms), 10, 3600000,
      "how long the free guest is watched (200)" },
    { "interval", "MS", SPEC_COUNT, AT(interval_ms), 1, 3600000,
      "from one harvest to the next meanwhile (100)" },
    { "json", "FILE", SPEC_TEXT, AT(json), 0, 0,
      "everything, for programs and compare; -: stdout" },
    { "csv", "FILE", SPEC_TEXT, AT(csv), 0, 0,
      "everything, for spreadsheets; -: stdout" },
    { "plot", "FILE.svg", SPEC_TEXT, AT(plot), 0, 0,
      "measure curves too, and draw them with gnuplot" },
    { "device", "PATH", SPEC_TEXT, AT(device), 0, 0,
      "KVM's device (/dev/kvm)" },
    { "help", NULL, SPEC_HELP, 0, 0, 0, "print this" },
};

static const BenchOptions defaults = {
    .trackers = { true, true, true },
    .vcpus = 2,
    .backing = BACKING_4K,
    .slots = 1,
    .pattern = PAYLOAD_RANDOM,
    .stride_pages = 8,
    .hot_percent = 10,
    .dirty_percent = 10,
    .chunk_bytes = 64 * MIB,
    .ring_entries = 65536,
    .iterations = 10,
    .warm_up = 1,
    .window_ms = 200,
    .interval_ms = 100,
    .device = "/dev/kvm",
};

static bool parse_number(const char *text, uint64_t *number, char **end)
{
    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(text, end, 10);
    return errno == 0;
}

bool parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "BKMGT";
    uint64_t number;
    unsigned shift = 0;
    char *end;

    if (!parse_number(text, &number, &end)) {
        return false;
    }
    if (*end) {
        const char *unit = strchr(units, g_ascii_toupper(*end));

        if (!unit || end[1]) {
            return false;
        }
        shift = (unit - units) * 10;
    }
    if (number > UINT64_MAX >> shift) {
        return false;
    }
    *bytes = number << shift;
    return true;
}

char *format_size(uint64_t bytes)
{
    static const char units[] = "BKMGT";
    unsigned i = 0;

    while (i + 2 < sizeof(units) && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    return i ? g_strdup_printf("%" PRIu64 "%c", bytes, units[i])
             : g_strdup_printf("%" PRIu64, bytes);
}

static bool refuse(GError **errp, const Spec *spec, const char *value,
                   const char *advice)
{
    g_set_error(errp, CLI_ERROR, CLI_USAGE, "--%s %s: %s", spec->name, value,
                advice);
    return false;
}

static bool set_count(const Spec *spec, uint64_t *to, const char *value,
                      GError **errp)
{
    g_autofree char *advice = g_strdup_printf(
        "choose a number from %" PRIu64 " to %" PRIu64, spec->min, spec->max);
    uint64_t number;
    char *end;

    if (!parse_number(value, &number, &end) || *end || number < spec->min ||
        number > spec->max) {
        return refuse(errp, spec, value, advice);
    }
    *to = number;
    return true;
}

static bool set_size(const Spec *spec, uint64_t *to, const char *value,
                     GError **errp)
{
    g_autofree char *min = format_size(spec->min);
    g_autofree char *max = format_size(spec->max);
    g_autofree char *advice = g_strdup_printf(
        "choose a multiple of 256K from %s to %s, such as 64M", min, max);
    uint64_t bytes;

    if (!parse_size(value, &bytes) || bytes % STEP_BYTES || bytes < spec->min ||
        bytes > spec->max) {
        return refuse(errp, spec, value, advice);
    }
    *to = bytes;
    return true;
}

static bool set_percent(const Spec *spec, double *to, const char *value,
                        GError **errp)
{
    char *end;
    double percent = g_ascii_strtod(value, &end);

    if (end == value || *end || !isfinite(percent) || percent <= 0 ||
        percent > 100) {
        return refuse(errp, spec, value, "choose a number above 0, up to 100");
    }
    *to = percent;
    return true;
}

static bool set_tracker(const Spec *spec, BenchOptions *options,
                        const char *value, GError **errp)
{
    bool all = strcmp(value, "all") == 0, any = all;

    for (unsigned i = 0; i < TRACKERS; i++) {
        options->trackers[i] = all || strcmp(value, tracker_names[i]) == 0;
        any |= options->trackers[i];
    }
    return any || refuse(errp, spec, value,
                         "choose generic, kvm-bitmap, kvm-ring or all");
}

static bool set_pattern(const Spec *spec, BenchOptions *options,
                        const char *value, GError **errp)
{
    for (unsigned i = 0; i < PAYLOAD_PATTERNS; i++) {
        if (strcmp(value, pattern_names[i]) == 0) {
            options->pattern = i;
            return true;
        }
    }
    return refuse(errp, spec, value,
                  "choose sequential, random, hot or strided");
}

static bool set_option(BenchOptions *options, const Spec *spec,
                       const char *value, GError **errp)
{
    void *to = (char *)options + spec->at;

    switch (spec->kind) {
    case SPEC_HELP:
        options->help = true;
        return true;
    case SPEC_COUNT:
        return set_count(spec, to, value, errp);
    case SPEC_SIZE:
        return set_size(spec, to, value, errp);
    case SPEC_PERCENT:
        return set_percent(spec, to, value, errp);
    case SPEC_TRACKER:
        return set_tracker(spec, options, value, errp);
    case SPEC_PATTERN:
        return set_pattern(spec, options, value, errp);
    case SPEC_BACKING:
        return backing_find(value, &options->backing) ||
               refuse(errp, spec, value, "choose 4k, thp, hugetlb or memfd");
    case SPEC_TEXT:
        *(const char **)to = value;
        return *value || refuse(errp, spec, "\"\"", "name a file");
    }
    g_assert_not_reached();
}

static const Spec *find_spec(const char *name, size_t length)
{
    for (size_t i = 0; i < G_N_ELEMENTS(specs); i++) {
        if (strlen(specs[i].name) == length &&
            strncmp(specs[i].name, name, length) == 0) {
            return &specs[i];
        }
    }
    return NULL;
}

static bool usage(GError **errp, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool usage(GError **errp, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (errp) {
        *errp = g_error_new_valist(CLI_ERROR, CLI_USAGE, format, args);
    }
    va_end(args);
    return false;
}

static bool check_slots(BenchOptions *options, bool slots_given, GError **errp)
{
    uint64_t slots = options->slots;

    if (options->slot_bytes && slots_given && !options->memory_bytes) {
        if (options->slot_bytes > MAX_MEMORY / slots) {
            return usage(errp,
                         "--slots %" PRIu64 ": so many slots of that "
                         "size are more than 500G; choose fewer",
                         slots);
        }
        options->memory_bytes = options->slot_bytes * slots;
    }
    if (!options->memory_bytes) {
        options->memory_bytes = DEFAULT_MEMORY;
    }
    if (options->slot_bytes && slots_given &&
        (options->memory_bytes - 1) / options->slot_bytes + 1 != slots) {
        return usage(errp,
                     "--slots %" PRIu64 ": does not fit --memory and "
                     "--slot-size; leave one of the three out",
                     slots);
    }
    if (!options->slot_bytes) {
        options->slot_bytes =
            ((options->memory_bytes - 1) / slots / STEP_BYTES + 1) * STEP_BYTES;
        if ((options->memory_bytes - 1) / options->slot_bytes + 1 != slots) {
            return usage(errp,
                         "--slots %" PRIu64 ": the memory cannot be "
                         "cut into so many multiples of 256K; choose fewer, "
                         "or more --memory",
                         slots);
        }
    }
    options->slots = (options->memory_bytes - 1) / options->slot_bytes + 1;
    return true;
}

static bool check(BenchOptions *options, bool slots_given, GError **errp)
{
    uint64_t ring = options->ring_entries;
    g_autofree char *memory = NULL;

    if (!check_slots(options, slots_given, errp)) {
        return false;
    }
    memory = format_size(options->memory_bytes);
    if (!options->working_bytes) {
        options->working_bytes = options->memory_bytes;
    }
    if (options->working_bytes > options->memory_bytes) {
        return usage(errp,
                     "--working-set: is more than the guest's memory, %s; "
                     "choose less",
                     memory);
    }
    if (options->working_bytes > backing_host_bytes()) {
        return usage(errp,
                     "--memory %s: this host has %" PRIu64
                     " MiB; choose less, or a smaller --working-set",
                     memory, backing_host_bytes() / MIB);
    }
    if (options->backing == BACKING_HUGETLB &&
        (options->memory_bytes % HUGE_BYTES ||
         options->slot_bytes % HUGE_BYTES)) {
        return usage(errp, "--backing hugetlb: memory and slots have to be "
                           "multiples of 2M");
    }
    if (options->working_bytes / 4096 < options->vcpus) {
        return usage(errp,
                     "--vcpus %" PRIu64 ": there is less than a page "
                     "for each; choose fewer",
                     options->vcpus);
    }
    if (ring & (ring - 1) || ring == 0) {
        return usage(errp,
                     "--ring %" PRIu64 ": is no power of two; choose "
                     "one such as 4096 or 65536",
                     ring);
    }
    if (options->plot && !g_str_has_suffix(options->plot, ".svg")) {
        return usage(errp,
                     "--plot %s: only SVG is drawn; choose a name that "
                     "ends in .svg",
                     options->plot);
    }
    if (options->json && options->csv && strcmp(options->json, "-") == 0 &&
        strcmp(options->csv, "-") == 0) {
        return usage(errp, "--json - and --csv -: only one of them can go to "
                           "standard output; name a file for the other");
    }
    return true;
}

/* One option at @argv[*at], which is moved past it. */
static bool parse_one(BenchOptions *options, char **argv, unsigned *at,
                      bool *slots_given, GError **errp)
{
    const char *text = argv[*at] + 2;
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    const Spec *spec = find_spec(text, length);
    const char *value = equals ? equals + 1 : NULL;

    if (!spec) {
        return usage(errp,
                     "--%.*s: there is no such option; see "
                     "shmig dirty-bench --help",
                     (int)length, text);
    }
    if (!spec->arg && value) {
        return usage(errp, "--%s: takes no value; leave \"=%s\" out",
                     spec->name, value);
    }
    if (spec->arg && !value) {
        value = argv[*at + 1];
        *at += 1;
    }
    if (spec->arg && !value) {
        return usage(errp, "--%s: its value is missing; add %s", spec->name,
                     spec->arg);
    }
    *slots_given |= strcmp(spec->name, "slots") == 0;
    *at += 1;
    return set_option(options, spec, value, errp);
}

bool options_parse(BenchOptions *options, char **argv, char ***rest,
                   GError **errp)
{
    g_autoptr(GPtrArray) others = g_ptr_array_new();
    bool slots_given = false;
    unsigned i = 1;

    *options = defaults;
    while (argv[i]) {
        if (!g_str_has_prefix(argv[i], "--")) {
            g_ptr_array_add(others, argv[i++]);
        } else if (!parse_one(options, argv, &i, &slots_given, errp)) {
            return false;
        }
    }
    if (!options->help && !check(options, slots_given, errp)) {
        return false;
    }
    g_ptr_array_add(others, NULL);
    *rest = (char **)g_ptr_array_free(g_steal_pointer(&others), FALSE);
    return true;
}

void options_print_help(void)
{
    printf("Usage: shmig dirty-bench [OPTION]…\n"
           "       shmig dirty-bench compare A.json B.json\n\n"
           "Measures what tracking dirty pages costs with this kernel's KVM: "
           "for whoever\ncollects them, and for the guest.  Defaults are in "
           "parentheses.\n\n");
    for (size_t i = 0; i < G_N_ELEMENTS(specs); i++) {
        g_autofree char *left =
            g_strdup_printf("--%s%s%s", specs[i].name, specs[i].arg ? " " : "",
                            specs[i].arg ? specs[i].arg : "");

        printf("  %-20s %s\n", left, specs[i].help);
    }
    printf("\nSIZE is in bytes, or with K, M, G or T for powers of 1024.\n"
           "Exit status: 0 done, 1 failed or interrupted, 2 wrong usage,\n"
           "77 cannot run here.\n");
}

static char *describe_trackers(const BenchOptions *options)
{
    GString *names = g_string_new(NULL);

    for (unsigned i = 0; i < TRACKERS; i++) {
        if (options->trackers[i]) {
            g_string_append_printf(names, "%s%s", names->len ? " " : "",
                                   tracker_names[i]);
        }
    }
    return g_string_free(names, FALSE);
}

static char *describe(const BenchOptions *options, const Spec *spec)
{
    const void *at = (const char *)options + spec->at;

    switch (spec->kind) {
    case SPEC_COUNT:
        return g_strdup_printf("%" PRIu64, *(const uint64_t *)at);
    case SPEC_SIZE:
        return format_size(*(const uint64_t *)at);
    case SPEC_PERCENT:
        return g_strdup_printf("%g", *(const double *)at);
    case SPEC_TRACKER:
        return describe_trackers(options);
    case SPEC_BACKING:
        return g_strdup(backing_name(options->backing));
    case SPEC_PATTERN:
        return g_strdup(pattern_names[options->pattern]);
    default:
        return NULL;
    }
}

void options_describe(const BenchOptions *options, GPtrArray *facts)
{
    for (size_t i = 0; i < G_N_ELEMENTS(specs); i++) {
        g_autofree char *value = describe(options, &specs[i]);

        if (value) {
            facts_add(facts, specs[i].name, value);
        }
    }
}
