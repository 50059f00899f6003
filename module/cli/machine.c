/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The facts about this machine, as its kernel tells them. */
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backing.h"
#include "figures.h"
#include "kvm-dirty-log.h"
#include "machine.h"

static void add_file(GPtrArray *facts, const char *name, const char *path)
{
    g_autofree char *text = NULL;

    if (g_file_get_contents(path, &text, NULL, NULL)) {
        facts_add(facts, name, text);
    }
}

/* The value behind "key : " of the first processor. */
static char *cpuinfo(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    const char *colon = at ? strchr(at, ':') : NULL;
    const char *end = colon ? strchr(colon, '\n') : NULL;

    return end ? g_strstrip(g_strndup(colon + 1, end - colon - 1)) : NULL;
}

static void add_cpu(GPtrArray *facts)
{
    g_autofree char *text = NULL;
    g_autofree char *model = NULL, *flags = NULL, *mhz = NULL;

    facts_addf(facts, "cpus", "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
        return;
    }
    model = cpuinfo(text, "model name");
    flags = cpuinfo(text, "flags");
    mhz = cpuinfo(text, "cpu MHz");
    facts_add(facts, "cpu", model ? model : "unknown");
    if (mhz) {
        facts_add(facts, "cpu-mhz", mhz);
    }
    if (flags) {
        facts_add(facts, "virtualized-host",
                  strstr(flags, " hypervisor") ? "yes" : "no");
    }
    add_file(facts, "cpu-governor",
             "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, so that two reports can be compared line by line. */
static GPtrArray *names_in(const char *path, const char *prefix)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_prefix(name, prefix)) {
            g_ptr_array_add(names, g_strdup(name));
        }
    }
    if (dir) {
        g_dir_close(dir);
    }
    g_ptr_array_sort(names, by_name);
    return names;
}

static void add_parameters(GPtrArray *facts, const char *module)
{
    g_autofree char *path =
        g_strdup_printf("/sys/module/%s/parameters", module);
    g_autoptr(GPtrArray) names = names_in(path, "");

    for (unsigned i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autofree char *file = g_build_filename(path, name, NULL);
        g_autofree char *fact = g_strdup_printf("%s.%s", module, name);

        add_file(facts, fact, file);
    }
}

static void add_modules(GPtrArray *facts)
{
    g_autoptr(GPtrArray) modules = names_in("/sys/module", "kvm");
    GString *list = g_string_new(NULL);

    for (unsigned i = 0; i < modules->len; i++) {
        g_string_append_printf(list, "%s ", (char *)modules->pdata[i]);
    }
    facts_add(facts, "modules", list->str);
    g_string_free(list, TRUE);
    for (unsigned i = 0; i < modules->len; i++) {
        add_parameters(facts, modules->pdata[i]);
    }
}

static void add_caps(GPtrArray *facts, const ShmigKvmCaps *caps)
{
    facts_add(facts, "has-get-dirty-log", caps->get ? "yes" : "no");
    facts_add(facts, "has-clear-dirty-log",
              caps->manual_protect & SHMIG_KVM_MANUAL_PROTECT_ENABLE ? "yes"
                                                                     : "no");
    facts_add(facts, "has-initially-set",
              caps->manual_protect & SHMIG_KVM_MANUAL_INITIALLY_SET ? "yes"
                                                                    : "no");
    facts_addf(facts, "has-dirty-ring-bytes", "%" PRIu32, caps->ring_max_bytes);
    facts_add(facts, "has-dirty-ring-acq-rel",
              caps->ring_acq_rel ? "yes" : "no");
    facts_add(facts, "has-dirty-ring-with-bitmap",
              caps->ring_with_bitmap ? "yes" : "no");
}

void machine_describe(const ShmigKvmCaps *caps, GPtrArray *facts)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
    struct utsname uts;

    facts_add(facts, "shmig", SHMIG_VERSION);
    facts_add(facts, "date", date);
    if (uname(&uts) == 0) {
        facts_addf(facts, "kernel", "%s %s", uts.release, uts.version);
        facts_add(facts, "architecture", uts.machine);
    }
    add_cpu(facts);
    facts_addf(facts, "memory-mib", "%" PRIu64, backing_host_bytes() >> 20);
    add_file(facts, "thp", "/sys/kernel/mm/transparent_hugepage/enabled");
    add_file(facts, "thp-defrag", "/sys/kernel/mm/transparent_hugepage/defrag");
    add_caps(facts, caps);
    add_modules(facts);
}
