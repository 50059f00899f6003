/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An incoming migration's part in QEMU's loading coroutine. */
#ifndef SHMIG_QEMU_LOAD_H
#define SHMIG_QEMU_LOAD_H

#include "migration/qemu-file.h"

/* SaveVMHandlers' load_state and load_cleanup. */
int shmig_load_state(QEMUFile *f, void *opaque, int version);
int shmig_load_cleanup(void *opaque);

#endif
