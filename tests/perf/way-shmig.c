/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One migration, disk included. */
#include "way.h"

static bool prepare(Ends *ends, GError **errp)
{
    return ends_listen(ends, "shmig", errp);
}

static bool move(Ends *ends, BenchRun *run, GError **errp)
{
    return qmp_run(ends->source->qmp, errp, "migrate", "{'uri': '%s'}",
                   ends->uri) &&
           ends_wait_completed(ends, errp);
}

const Way way_shmig = { "shmig", prepare, move };
