/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The facts about this machine that a figure means nothing without. */
#ifndef SHMIG_CLI_MACHINE_H
#define SHMIG_CLI_MACHINE_H

#include <glib.h>

#include "shmig/dirty/kvm-probe.h"

/* Adds Facts. */
void machine_describe(const ShmigKvmCaps *caps, GPtrArray *facts);

#endif
