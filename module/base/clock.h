/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one clock of the library, in the unit that rates are computed in. */
#ifndef SHMIG_BASE_CLOCK_H
#define SHMIG_BASE_CLOCK_H

#include <glib.h>

static inline int64_t shmig_now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

#endif
