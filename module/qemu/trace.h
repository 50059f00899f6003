/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trace points of trace-events, as QEMU's build makes them. */
#include "trace/trace-migration_shmig.h"
