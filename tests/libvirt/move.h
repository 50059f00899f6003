/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moving a domain from one host to the other by virsh migrate. */
#ifndef TESTS_LIBVIRT_MOVE_H
#define TESTS_LIBVIRT_MOVE_H

#include "domain.h"

/* Starts virsh migrate --live with more @flags on host @from. */
Virsh *move_start(Domain *domain, Host from, const char *flags, GError **errp);

/* The same, to its end, which is a good one. */
bool move_domain(Domain *domain, Host from, const char *flags, GError **errp);

/* A migration that has to fail: frees @virsh (NULL: the error is set) and
 * returns what it said, or NULL. */
char *move_said(Virsh *virsh, GError **errp);

/* Both. */
char *move_fails(Domain *domain, Host from, const char *flags, GError **errp);

/*
 * Moves it with its guest paused on arrival, and compares the disks of both
 * sides as they were at switch-over.  Images are in @directory on the other
 * host.
 */
bool move_and_compare(Domain *domain, Host from, const char *flags,
                      const char *directory, GError **errp);

/* Then the guest goes on, on host @to, and proves all it has. */
bool move_go_on(Domain *domain, Host to, GError **errp);

/* Both. */
bool move_and_prove(Domain *domain, Host from, const char *flags,
                    const char *directory, GError **errp);

/* After a failure: it runs on @host alone, still has all its bytes, and the
 * other host has no files of it in @directory. */
bool move_left_nothing(Domain *domain, Host host, const char *directory,
                       GError **errp);

/* Flags of one that takes some 20 s, unless it is set free. */
#define MOVE_SLOWLY " --bandwidth 1"

/* Starts one from host A and waits until data are on their way. */
Virsh *move_until_copying(Domain *domain, const char *flags, GError **errp);
bool move_set_free(Domain *domain, GError **errp);

#endif
