/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Huge pages for a guest's memory, where there are some or can be some. */
#ifndef TESTS_QEMU_HUGEPAGES_H
#define TESTS_QEMU_HUGEPAGES_H

#include <glib.h>
#include <stdbool.h>

/*
 * Sees to it that @mib MiB of huge pages of 2 MiB are free; as root it adds to
 * the host's pool.  False says why there cannot be any.
 */
bool hugepages_reserve(unsigned mib, GError **errp);

/* Gives back what was added. */
void hugepages_release(void);

#endif
