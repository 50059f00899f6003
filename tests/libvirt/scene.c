/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hosts that are not as they should be. */
#include "cases.h"
#include "loop.h"
#include "move.h"
#include "scene.h"

static bool do_on_other(const char *commands, GError **errp)
{
    g_autofree char *output = NULL;

    if (!commands) {
        return true;
    }
    output = host_run(case_hosts(), HOST_B, errp, "sh", "-ec", commands, NULL);
    return output != NULL;
}

static bool nothing_came(Domain *domain, const Scene *scene, GError **errp)
{
    g_autofree char *files = NULL;

    if (!scene->stays) {
        return move_left_nothing(domain, HOST_A, scene->directory, errp);
    }
    files = domain_files(domain, HOST_B, scene->directory, errp);
    if (files && !g_str_equal(files, scene->stays)) {
        return harness_fail(errp, "of %s there is left: %s", scene->stays,
                            files);
    }
    return files && domain_runs_on(domain, HOST_A, errp) &&
           domain_verify(domain, HOST_A, errp);
}

bool scene_refuses(Domain *domain, const Scene *scene, GError **errp)
{
    static const Scene ordinary;
    g_autofree char *said = NULL;
    bool ok;

    scene = scene ? scene : &ordinary;
    if (!do_on_other(scene->set_up, errp)) {
        return false;
    }
    said = move_fails(domain, HOST_A, case_now()->flags, errp);
    ok = said && case_said(said, errp) && nothing_came(domain, scene, errp);
    /* Of two errors the first counts. */
    return do_on_other(scene->take_down, ok ? errp : NULL) && ok;
}
