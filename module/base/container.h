/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a member to the structure around it. */
#ifndef SHMIG_BASE_CONTAINER_H
#define SHMIG_BASE_CONTAINER_H

#include <stddef.h>

#define SHMIG_CONTAINER_OF(ptr, type, member) \
    ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
