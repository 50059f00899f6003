/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What identifies the storage of a disk, seen from whatever host: equal
 * strings mean one and the same storage.  Different ones mean nothing: not
 * all storage has a name that two hosts can agree on.
 */
#ifndef SHMIG_QEMU_DISK_IDENTITY_H
#define SHMIG_QEMU_DISK_IDENTITY_H

#include "block/block.h"

/* At most SHMIG_MAX_IDENTITY bytes; "" if it can't be told.  Main thread, BQL.
 */
char *shmig_disk_identity(BlockDriverState *bs);

/* The rest is for tests: what the above is made of. */

/* Of a file or a block device; @sysfs is "/sys". */
char *shmig_identity_storage(const char *sysfs, const struct stat *st);

/*
 * The name of block device @dev that is the same on every host that sees it,
 * or NULL.  It may be made of a loop device, whose name is its file's identity.
 */
char *shmig_identity_device(const char *sysfs, dev_t dev);

/*
 * What is mounted as @dev, if another host can mount the same under that name
 * ("server:/export"), or NULL; @mountinfo is the text of
 * /proc/self/mountinfo.
 */
char *shmig_identity_mount(const char *mountinfo, dev_t dev);

/* Whether @host is another machine on every machine: "localhost", 127.x. */
bool shmig_identity_host_is_local(const char *host);

#endif
