/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads where a kernel that gives none is an error, and no abort. */
#include "shmig/base/thread.h"
#include "shmig/base/error.h"

GThread *shmig_thread_new(const char *name, GThreadFunc func, void *opaque,
                          GError **errp)
{
    g_autoptr(GError) error = NULL;
    GThread *thread = g_thread_try_new(name, func, opaque, &error);

    if (!thread) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_SYSTEM,
                    "thread \"%s\": the kernel gives this process none: %s; "
                    "raise its limits on threads (pids.max of its cgroup, "
                    "RLIMIT_NPROC) and on memory",
                    name, error->message);
    }
    return thread;
}
