/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's pool of huge pages, by way of sysfs. */
#include <errno.h>
#include <stdio.h>

#include "hugepages.h"
#include "loop.h"

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define PAGE_MIB 2

static unsigned long pool_before;
static bool pool_grown;

static bool pool_read(const char *file, unsigned long *value, GError **errp)
{
    g_autofree char *path = g_strconcat(POOL, file, NULL);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, errp)) {
        return false;
    }
    *value = strtoul(text, NULL, 10);
    return true;
}

/* The file takes a write as it comes, not a new file in its place. */
static bool pool_set(unsigned long pages)
{
    FILE *file = fopen(POOL "nr_hugepages", "w");
    bool set = file && fprintf(file, "%lu\n", pages) > 0;

    return file && fclose(file) == 0 && set;
}

bool hugepages_reserve(unsigned mib, GError **errp)
{
    unsigned long wanted = mib / PAGE_MIB, free_pages;

    if (!pool_read("free_hugepages", &free_pages, errp) ||
        !pool_read("nr_hugepages", &pool_before, errp)) {
        g_prefix_error(errp, "this kernel has no huge pages: ");
        return false;
    }
    if (free_pages >= wanted) {
        return true;
    }
    if (!pool_set(pool_before + wanted - free_pages)) {
        return harness_fail(errp,
                            "%lu huge pages are free, %lu are needed, and "
                            "nr_hugepages cannot be raised: %s",
                            free_pages, wanted, g_strerror(errno));
    }
    pool_grown = true;
    if (!pool_read("free_hugepages", &free_pages, errp)) {
        return false;
    }
    if (free_pages < wanted) {
        hugepages_release();
        return harness_fail(errp, "the host has memory for %lu huge pages only",
                            free_pages);
    }
    return true;
}

void hugepages_release(void)
{
    if (pool_grown) {
        pool_set(pool_before);
        pool_grown = false;
    }
}
