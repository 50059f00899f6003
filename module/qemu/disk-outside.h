/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest disks that another process or the kernel serves, past QEMU's block
 * layer: nobody here could read them or follow what is written to them. */
#ifndef SHMIG_QEMU_DISK_OUTSIDE_H
#define SHMIG_QEMU_DISK_OUTSIDE_H

#include "qom/object.h"

typedef struct ShmigOutsideDisk {
    char *id;
    const char *type; /* of the device, as -device names it */
} ShmigOutsideDisk;

/* All below @root, as ShmigOutsideDisk; the array frees them.  BQL. */
GPtrArray *shmig_outside_disks(Object *root);

#endif
