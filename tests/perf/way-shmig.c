/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One migration, disk included; inside TLS where the bench is told so. */
#include "way.h"

#define KEY "qemu:6b657920666f722074686520626565636820\n"

static bool add_key(Machine *machine, const char *dir, const char *endpoint,
                    GError **errp)
{
    return qmp_run(machine->qmp, errp, "object-add",
                   "{'qom-type': 'tls-creds-psk', 'id': 'tls0', 'dir': '%s', "
                   "'endpoint': '%s'}",
                   dir, endpoint);
}

static bool use_tls(Ends *ends, GError **errp)
{
    const char *dir = ends->options.dir;
    g_autofree char *file = g_build_filename(dir, "keys.psk", NULL);

    return g_file_set_contents(file, KEY, -1, errp) &&
           add_key(ends->source, dir, "client", errp) &&
           add_key(ends->dest, dir, "server", errp) &&
           ends_set_parameter(ends, "'tls-creds': 'tls0'", errp);
}

static bool prepare(Ends *ends, GError **errp)
{
    return (!ends->options.tls || use_tls(ends, errp)) &&
           ends_listen(ends, "shmig", errp);
}

static bool move(Ends *ends, BenchRun *run, GError **errp)
{
    return qmp_run(ends->source->qmp, errp, "migrate", "{'uri': '%s'}",
                   ends->uri) &&
           ends_wait_completed(ends, errp);
}

const Way way_shmig = { "shmig", prepare, move };
