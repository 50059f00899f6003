/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a row of a test that fails on purpose does to the other host first. */
#ifndef TESTS_LIBVIRT_SCENE_H
#define TESTS_LIBVIRT_SCENE_H

#include "domain.h"

typedef struct Scene {
    const char *set_up; /* shell commands, in host B; NULL: none */
    const char *take_down;
    const char *directory; /* where nothing may be left, if not as usual */
    const char *stays;     /* a file that was there and still has to be */
} Scene;

/*
 * In a scene (NULL: an ordinary host) virsh migrate with the row's flags fails
 * with the words that the row expects, and nothing came of it.
 */
bool scene_refuses(Domain *domain, const Scene *scene, GError **errp);

#endif
