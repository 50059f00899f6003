/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where both QEMUs spend their time, as perf samples it. */
#ifndef TESTS_PERF_PROFILE_H
#define TESTS_PERF_PROFILE_H

#include "machine.h"

typedef struct Profile Profile;

/* Samples both from now on, into @path; what they take is no figure then. */
Profile *profile_start(const char *path, const Machine *source,
                       const Machine *dest, GError **errp);
bool profile_stop(Profile *profile, GError **errp);

#endif
