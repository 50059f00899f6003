/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks without a BlockBackend are found wherever they are, and named. */
#include "qemu/osdep.h"

#include "qapi/error.h"
#include "qemu/module.h"

#include "disk-outside.h"

/* In place of QEMU's devices of these names, which need a back end. */
static const TypeInfo fakes[] = {
    { .name = "vhost-user-blk", .parent = TYPE_OBJECT },
    { .name = "vhost-scsi-common", .parent = TYPE_OBJECT },
    { .name = "vhost-scsi", .parent = "vhost-scsi-common" },
    { .name = "vhost-user-scsi", .parent = "vhost-scsi-common" },
    { .name = "vhost-user-net", .parent = TYPE_OBJECT },
    { .name = "holder", .parent = TYPE_OBJECT },
};

static Object *add_child(Object *parent, const char *name, const char *type)
{
    Object *child = object_new(type);

    object_property_add_child(parent, name, child);
    object_unref(child);
    return child;
}

static bool is_named(GPtrArray *disks, const char *id, const char *type)
{
    for (unsigned i = 0; i < disks->len; i++) {
        const ShmigOutsideDisk *disk = g_ptr_array_index(disks, i);

        if (!strcmp(disk->id, id) && !strcmp(disk->type, type)) {
            return true;
        }
    }
    return false;
}

static void each_is_named(void)
{
    Object *root = add_child(object_get_root(), "each", "holder");
    Object *slot = add_child(root, "slot", "holder");
    g_autoptr(GPtrArray) disks = NULL;

    add_child(root, "blk", "vhost-user-blk");
    add_child(slot, "virtio-backend", "vhost-scsi");
    add_child(slot, "user-scsi", "vhost-user-scsi");
    add_child(slot, "net", "vhost-user-net");
    disks = shmig_outside_disks(root);
    g_assert_cmpuint(disks->len, ==, 3);
    g_assert_true(is_named(disks, "/each/blk", "vhost-user-blk"));
    g_assert_true(is_named(disks, "/each/slot/virtio-backend", "vhost-scsi"));
    g_assert_true(is_named(disks, "/each/slot/user-scsi", "vhost-user-scsi"));
    object_unparent(root);
}

static void none(void)
{
    Object *root = add_child(object_get_root(), "none", "holder");
    g_autoptr(GPtrArray) disks = NULL;

    add_child(root, "net", "vhost-user-net");
    disks = shmig_outside_disks(root);
    g_assert_cmpuint(disks->len, ==, 0);
    object_unparent(root);
}

int main(int argc, char **argv)
{
    module_call_init(MODULE_INIT_QOM);
    type_register_static_array(fakes, G_N_ELEMENTS(fakes));
    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/qemu/disk-outside/each-is-named", each_is_named);
    g_test_add_func("/qemu/disk-outside/none", none);
    return g_test_run();
}
