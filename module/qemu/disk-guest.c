/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest disks: which there are, and what they are called.
 *
 * A disk is known by the id of its guest device, because that is what both
 * sides have in common: node names and files may differ.  A device without
 * an id is known by its QOM path.
 */
#include "qemu/osdep.h"

#include "qapi/error.h"
#include "qemu/units.h"
#include "block/block_int.h"
#include "hw/qdev-core.h"

#include "disk-block.h"
#include "disk-guest.h"
#include "disk-identity.h"

static void guest_disk_free(void *opaque)
{
    ShmigGuestDisk *disk = opaque;

    if (!disk) {
        return;
    }
    g_assert(!disk->filter && !disk->hold && !disk->block);
    bdrv_unref(disk->bs);
    blk_unref(disk->guest);
    g_free(disk->id);
    g_free(disk);
}

GPtrArray *shmig_guest_disk_array(void)
{
    return g_ptr_array_new_with_free_func(guest_disk_free);
}

/* Of a virtio disk the attached device is an unnamed child of the one that
 * has the id. */
static char *device_id(BlockBackend *blk)
{
    DeviceState *dev = blk_get_attached_dev(blk);
    Object *owner = OBJECT(dev)->parent;
    const char *name = object_get_canonical_path_component(OBJECT(dev));

    if (!dev->id && name && !strcmp(name, "virtio-backend") &&
        object_dynamic_cast(owner, TYPE_DEVICE) && DEVICE(owner)->id) {
        return g_strdup(DEVICE(owner)->id);
    }
    return blk_get_attached_dev_id(blk);
}

static ShmigGuestDisk *guest_disk_new(BlockBackend *blk, Error **errp)
{
    BlockDriverState *bs = blk_bs(blk);
    g_autofree char *id = device_id(blk);
    int64_t length = bs ? bdrv_getlength(bs) : 0;
    ShmigGuestDisk *disk;

    if (length < 0) {
        error_setg_errno(errp, -length, "disk \"%s\": its size cannot be read",
                         id);
        return NULL;
    }
    disk = g_new0(ShmigGuestDisk, 1);
    disk->id = g_steal_pointer(&id);
    disk->guest = blk;
    blk_ref(blk);
    disk->bs = bs;
    if (bs) {
        bdrv_ref(bs);
    }
    disk->size_bytes = length;
    disk->writable = bs && blk_supports_write_perm(blk) && blk_is_writable(blk);
    disk->path = "";
    return disk;
}

GPtrArray *shmig_guest_disks(Error **errp)
{
    g_autoptr(GPtrArray) disks = shmig_guest_disk_array();
    BlockBackend *blk;

    for (blk = blk_all_next(NULL); blk; blk = blk_all_next(blk)) {
        ShmigGuestDisk *disk;

        if (!blk_get_attached_dev(blk)) {
            continue;
        }
        disk = guest_disk_new(blk, errp);
        if (!disk) {
            return NULL;
        }
        g_ptr_array_add(disks, disk);
    }
    return g_steal_pointer(&disks);
}

ShmigGuestDisk *shmig_guest_disk_find(const GPtrArray *disks, const char *id)
{
    for (unsigned i = 0; i < disks->len; i++) {
        ShmigGuestDisk *disk = g_ptr_array_index(disks, i);

        if (!strcmp(disk->id, id)) {
            return disk;
        }
    }
    return NULL;
}

bool shmig_guest_disk_busy(const ShmigGuestDisk *disk, Error **errp)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    return bdrv_op_is_blocked(disk->bs, BLOCK_OP_TYPE_MIRROR_SOURCE, errp);
}

char *shmig_guest_disk_identity(const ShmigGuestDisk *disk)
{
    return shmig_disk_identity(disk->bs);
}

char *shmig_guest_disk_size_text(uint64_t bytes)
{
    static const struct {
        uint64_t bytes;
        const char *name;
    } units[] = {
        { TiB, "TiB" },
        { GiB, "GiB" },
        { MiB, "MiB" },
        { KiB, "KiB" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++) {
        if (bytes && bytes % units[i].bytes == 0) {
            return g_strdup_printf("%" PRIu64 " %s", bytes / units[i].bytes,
                                   units[i].name);
        }
    }
    return g_strdup_printf("%" PRIu64 " bytes", bytes);
}

ShmigDiskSet *shmig_disk_set_new(GPtrArray *disks)
{
    ShmigDiskSet *set = g_new0(ShmigDiskSet, 1);

    set->disks = disks;
    return set;
}

ShmigDisk *shmig_disk_set_open(ShmigDiskSet *set, ShmigGuestDisk *disk, int fd,
                               BlockBackend *hold, Error **errp)
{
    ShmigDisk *opened;

    disk->hold = hold;
    if (fd >= 0) {
        opened = shmig_disk_file_new(fd, disk->size_bytes);
        disk->path = opened->ops->name;
        return opened;
    }
    if (!set->io) {
        set->io = iothread_create("shmig-disks", errp);
        if (!set->io) {
            return NULL;
        }
    }
    disk->block = shmig_disk_block_new(hold, iothread_get_aio_context(set->io),
                                       disk->size_bytes);
    disk->hold = NULL;
    disk->path = disk->block->ops->name;
    return disk->block;
}

void shmig_disk_set_close(ShmigDiskSet *set, bool all)
{
    for (unsigned i = 0; i < set->disks->len; i++) {
        ShmigGuestDisk *disk = g_ptr_array_index(set->disks, i);

        if (disk->block) {
            shmig_disk_block_close(disk->block);
            disk->block = NULL;
        }
        if (all) {
            blk_unref(disk->hold);
            disk->hold = NULL;
        }
    }
    if (set->io) {
        iothread_destroy(set->io);
        set->io = NULL;
    }
}

void shmig_disks_free(ShmigDiskSet *set)
{
    if (set) {
        shmig_disks_remove(set);
        g_ptr_array_unref(set->disks);
        g_free(set);
    }
}

unsigned shmig_disks_count(const ShmigDiskSet *set)
{
    return set ? set->disks->len : 0;
}

static const ShmigGuestDisk *disk_at(const ShmigDiskSet *set, unsigned index)
{
    return g_ptr_array_index(set->disks, index);
}

const char *shmig_disks_id(const ShmigDiskSet *set, unsigned index)
{
    return disk_at(set, index)->id;
}

uint64_t shmig_disks_size_bytes(const ShmigDiskSet *set, unsigned index)
{
    return disk_at(set, index)->size_bytes;
}

const char *shmig_disks_path(const ShmigDiskSet *set, unsigned index)
{
    return disk_at(set, index)->path;
}
