/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which storage there is below block nodes. */
#include "qemu/osdep.h"

#include "block/block_int.h"

#include "disk-identity.h"
#include "disk-storage.h"

static GPtrArray *no_identities(void)
{
    return g_ptr_array_new_with_free_func(g_free);
}

static void add_identity(GPtrArray *identities, BlockDriverState *bs)
{
    /* A node that could not be opened again has no driver. */
    g_autofree char *identity = bs->drv ? shmig_disk_identity(bs) : NULL;

    if (identity && *identity &&
        !g_ptr_array_find_with_equal_func(identities, identity, g_str_equal,
                                          NULL)) {
        g_ptr_array_add(identities, g_steal_pointer(&identity));
    }
}

/* Bytes are with nodes that have none below them. */
GPtrArray *shmig_storage_open(void)
{
    GPtrArray *identities = no_identities();
    BlockDriverState *bs = NULL;

    GRAPH_RDLOCK_GUARD_MAINLOOP();

    while ((bs = bdrv_next_all_states(bs))) {
        if (QLIST_EMPTY(&bs->children)) {
            add_identity(identities, bs);
        }
    }
    return identities;
}

static void GRAPH_RDLOCK add_written(GPtrArray *identities,
                                     BlockDriverState *bs)
{
    BdrvChild *child;

    if (QLIST_EMPTY(&bs->children)) {
        add_identity(identities, bs);
    }
    QLIST_FOREACH(child, &bs->children, next)
    {
        if (!(child->role & BDRV_CHILD_COW)) {
            add_written(identities, child->bs);
        }
    }
}

GPtrArray *shmig_storage_written(BlockDriverState *bs)
{
    GPtrArray *identities = no_identities();

    GRAPH_RDLOCK_GUARD_MAINLOOP();

    add_written(identities, bs);
    return identities;
}
