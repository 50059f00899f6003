/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads where a kernel that gives none is an error, and no abort. */
#ifndef SHMIG_BASE_THREAD_H
#define SHMIG_BASE_THREAD_H

#include <glib.h>

/* As g_thread_try_new(); the error is SHMIG_ERROR_SYSTEM and names limits. */
GThread *shmig_thread_new(const char *name, GThreadFunc func, void *opaque,
                          GError **errp);

#endif
