/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest-check DUMP [IMAGE...]: checks a test guest's memory dump and the raw
 * images of its disks, in the order of their numbers.
 *
 * Exit code 0: all as the guest expects; 1: bad content; 2: could not check.
 */
#include <stdbool.h>
#include <stdio.h>

#include "check.h"

static bool report(const char *what, const char *unit, const GuestCheck *c)
{
    printf("%s: %" G_GUINT64_FORMAT " %s compared, %" G_GUINT64_FORMAT
           " zero, %" G_GUINT64_FORMAT " unknown: ",
           what, c->checked, unit, c->zero, c->unknown);
    if (c->bad) {
        printf("%" G_GUINT64_FORMAT " BAD, the first at %" G_GUINT64_FORMAT
               "\n",
               c->bad, c->first_bad);
        return false;
    }
    printf("ok\n");
    return true;
}

static int check(const char *path, char **images, GError **errp)
{
    g_autoptr(GuestDump) dump = guest_dump_open(path, errp);
    GuestCheck result;
    bool good;

    if (!dump || !guest_check_memory(dump, &result, errp)) {
        return 2;
    }
    good = report(path, "pages", &result);
    for (unsigned i = 0; images[i]; i++) {
        if (!guest_check_disk(dump, i, images[i], &result, errp)) {
            return 2;
        }
        good = report(images[i], "sectors", &result) && good;
    }
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int code;

    if (argc < 2) {
        fprintf(stderr, "usage: guest-check DUMP [IMAGE...]\n");
        return 2;
    }
    code = check(argv[1], argv + 2, &error);
    if (error) {
        fprintf(stderr, "guest-check: %s\n", error->message);
    }
    return code;
}
