/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node above a migrated disk that tells a ShmigMirror of guest writes.
 *
 * Users cannot create it: the driver is not registered, and the node is
 * implicit, so that queries by device do not show it.  Main thread, BQL, no
 * coroutine, no graph lock, unless it says otherwise.
 */
#ifndef SHMIG_QEMU_MIRROR_FILTER_H
#define SHMIG_QEMU_MIRROR_FILTER_H

#include "block/block.h"
#include "shmig/disk/mirror.h"

/*
 * Puts a filter between @bs and all its users.  It passes everything through
 * until it has a mirror; nobody but the filter may write or resize @bs, no
 * block job or other operation on it may begin, and no other image take the
 * place of those it consists of, until it is dropped.
 */
BlockDriverState *shmig_filter_insert(BlockDriverState *bs, Error **errp);

/*
 * Any thread.  Writes that end from now on are reported to @mirror, or to
 * nobody if it is NULL.  A former mirror may be used until the next drain.
 */
void shmig_filter_set_mirror(BlockDriverState *filter, ShmigMirror *mirror);

/* Takes the filter out again and frees it; nothing uses its mirror then. */
void shmig_filter_drop(BlockDriverState *filter);

#endif
