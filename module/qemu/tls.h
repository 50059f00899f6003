/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TLS by what QEMU is told: the migration parameters tls-creds, tls-hostname
 * and tls-authz. */
#ifndef SHMIG_QEMU_TLS_H
#define SHMIG_QEMU_TLS_H

#include "ask.h"
#include "glue.h"

#include "shmig/session/dest.h"
#include "shmig/session/source.h"

/*
 * Main thread: has a side use TLS, if tls-creds is set.  False with an error
 * where that is no object of the right kind.  @asks outlives @dest.
 */
bool shmig_tls_use_source(ShmigSource *source, const SocketAddress *address,
                          Error **errp);
bool shmig_tls_use_dest(ShmigDest *dest, ShmigAsks *asks, Error **errp);

#endif
