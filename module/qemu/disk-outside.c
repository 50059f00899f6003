/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that have disks and no BlockBackend.  Their state migrates, and
 * stock migration takes their storage for shared; without it, the guest would
 * arrive and its disk would not.
 */
#include "qemu/osdep.h"

#include "hw/qdev-core.h"

#include "disk-outside.h"

/* The second is the parent of vhost-scsi and vhost-user-scsi.  Other such
 * devices (VFIO, vDPA) cannot be migrated at all. */
static const char *const types[] = { "vhost-user-blk", "vhost-scsi-common" };

static void outside_disk_free(void *opaque)
{
    ShmigOutsideDisk *disk = opaque;

    g_free(disk->id);
    g_free(disk);
}

/* The virtio device is an unnamed child of the one that has the id. */
static char *device_id(Object *obj)
{
    for (Object *o = obj; o; o = o->parent) {
        DeviceState *dev = (DeviceState *)object_dynamic_cast(o, TYPE_DEVICE);

        if (dev && dev->id) {
            return g_strdup(dev->id);
        }
        if (g_strcmp0(object_get_canonical_path_component(o),
                      "virtio-backend")) {
            break;
        }
    }
    return object_get_canonical_path(obj);
}

static int look_at(Object *obj, void *opaque)
{
    GPtrArray *disks = opaque;

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if (object_dynamic_cast(obj, types[i])) {
            ShmigOutsideDisk *disk = g_new(ShmigOutsideDisk, 1);

            disk->id = device_id(obj);
            disk->type = object_get_typename(obj);
            g_ptr_array_add(disks, disk);
        }
    }
    return 0;
}

GPtrArray *shmig_outside_disks(Object *root)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func(outside_disk_free);

    object_child_foreach_recursive(root, look_at, disks);
    return disks;
}
