/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's disks: which travel, and the filters above them.
 */
#include "qemu/osdep.h"

#include "qapi/error.h"
#include "block/block_int.h"
#include "qapi/qapi-commands-block-export.h"
#include "hw/qdev-core.h"

#include "disk-guest.h"
#include "disk-outside.h"
#include "disk-raw.h"
#include "disk-storage.h"
#include "mirror-filter.h"
#include "trace.h"

#define LEAVE_OUT_HINT "leave it out with the option \"disks\""

/* Why @disk cannot travel with its guest, if so. */
static bool can_travel(const ShmigGuestDisk *disk, Error **errp)
{
    Object *dev = OBJECT(blk_get_attached_dev(disk->guest));
    Error *err = NULL;

    if (!disk->size_bytes) {
        error_setg(errp, "disk \"%s\": its image is empty; " LEAVE_OUT_HINT,
                   disk->id);
        return false;
    }
    if (object_dynamic_cast(dev, "scsi-block") ||
        object_dynamic_cast(dev, "scsi-generic")) {
        error_setg(
            errp,
            "disk \"%s\": a %s passes commands past the block "
            "layer, so that its writes cannot be followed; " LEAVE_OUT_HINT,
            disk->id, object_get_typename(dev));
        return false;
    }
    if (disk->bs->bl.zoned != BLK_Z_NONE) {
        error_setg(
            errp,
            "disk \"%s\": zoned devices are not supported; " LEAVE_OUT_HINT,
            disk->id);
        return false;
    }
    if (shmig_guest_disk_busy(disk, &err)) {
        error_setg(errp, "disk \"%s\": %s; wait for it or cancel it", disk->id,
                   error_get_pretty(err));
        error_free(err);
        return false;
    }
    return true;
}

static char *writable_ids(const GPtrArray *all)
{
    GString *text = g_string_new("");

    for (unsigned i = 0; i < all->len; i++) {
        const ShmigGuestDisk *disk = g_ptr_array_index(all, i);

        if (disk->writable) {
            g_string_append_printf(text, "%s\"%s\"", text->len ? ", " : "",
                                   disk->id);
        }
    }
    if (!text->len) {
        g_string_append(text, "none");
    }
    return g_string_free(text, FALSE);
}

/* By id, or by the name that `query-block` gives: the device's QOM path. */
static ShmigGuestDisk *find_named(const GPtrArray *all, const char *name)
{
    ShmigGuestDisk *found = shmig_guest_disk_find(all, name);

    for (unsigned i = 0; !found && i < all->len; i++) {
        ShmigGuestDisk *disk = g_ptr_array_index(all, i);
        g_autofree char *path = blk_get_attached_dev_id(disk->guest);

        if (!strcmp(path, name)) {
            found = disk;
        }
    }
    return found;
}

/* The disk a selection names. */
static ShmigGuestDisk *find_selected(const GPtrArray *all, const char *name,
                                     Error **errp)
{
    ShmigGuestDisk *disk = find_named(all, name);
    g_autofree char *ids = writable_ids(all);

    if (!disk) {
        error_setg(errp,
                   "disks=: the guest has no disk \"%s\"; its writable "
                   "disks are: %s",
                   name, ids);
    } else if (!disk->writable) {
        error_setg(errp,
                   "disks=: disk \"%s\" is not writable and therefore "
                   "is not copied; the guest's writable disks are: %s",
                   name, ids);
        disk = NULL;
    }
    return disk;
}

/* A set of the ShmigGuestDisks that @selection means, or NULL. */
static GHashTable *select_disks(const GPtrArray *all, const char *selection,
                                Error **errp)
{
    g_autoptr(GHashTable) chosen = g_hash_table_new(NULL, NULL);
    g_auto(GStrv) names = NULL;

    if (!selection) {
        for (unsigned i = 0; i < all->len; i++) {
            ShmigGuestDisk *disk = g_ptr_array_index(all, i);

            if (disk->writable) {
                g_hash_table_add(chosen, disk);
            }
        }
        return g_steal_pointer(&chosen);
    }
    if (!strcmp(selection, "none")) {
        return g_steal_pointer(&chosen);
    }
    if (!*selection) {
        error_setg(errp, "disks=: no disk is named; say \"none\" for none");
        return NULL;
    }
    names = g_strsplit(selection, ";", -1);
    for (unsigned i = 0; names[i]; i++) {
        ShmigGuestDisk *disk = find_selected(all, names[i], errp);

        if (!disk) {
            return NULL;
        }
        g_hash_table_add(chosen, disk);
    }
    return g_steal_pointer(&chosen);
}

/* Two devices may share an image, but one region cannot be two disks. */
static bool is_unshared(const GPtrArray *all, GHashTable *chosen,
                        const ShmigGuestDisk *disk, Error **errp)
{
    for (unsigned i = 0; i < all->len; i++) {
        ShmigGuestDisk *other = g_ptr_array_index(all, i);

        if (other != disk && other->bs == disk->bs &&
            g_hash_table_contains(chosen, other)) {
            error_setg(errp,
                       "disks \"%s\" and \"%s\" are one and the same "
                       "image; leave both out with the option \"disks\"",
                       disk->id, other->id);
            return false;
        }
    }
    return true;
}

static void offer_disk(ShmigOffer *offer, const ShmigGuestDisk *disk)
{
    g_autofree char *identity = shmig_guest_disk_identity(disk);
    const char *format;

    GRAPH_RDLOCK_GUARD_MAINLOOP();

    format = bdrv_get_format_name(bdrv_skip_filters(disk->bs));
    shmig_offer_add_disk(offer, disk->id, format, identity, disk->size_bytes);
    trace_shmig_disk_offer(disk->id, disk->size_bytes, identity);
}

/* Adds the chosen disks to @offer and moves them out of @all. */
static GPtrArray *offer_disks(ShmigOffer *offer, GPtrArray *all,
                              GHashTable *chosen)
{
    GPtrArray *travel = shmig_guest_disk_array();

    for (unsigned i = 0; i < all->len; i++) {
        ShmigGuestDisk *disk = g_ptr_array_index(all, i);

        if (g_hash_table_contains(chosen, disk)) {
            offer_disk(offer, disk);
            g_ptr_array_add(travel, disk);
            all->pdata[i] = NULL;
        } else if (disk->writable) {
            shmig_offer_leave_out(offer, disk->id);
        }
    }
    return travel;
}

/* Of all that is open, what @offer does not have as that of a disk. */
static void offer_kept(ShmigOffer *offer)
{
    g_autoptr(GPtrArray) open = shmig_storage_open();

    for (unsigned i = 0; i < open->len; i++) {
        const char *identity = g_ptr_array_index(open, i);
        bool travels = false;

        for (unsigned j = 0; j < offer->disks->len; j++) {
            const ShmigOfferDisk *disk = g_ptr_array_index(offer->disks, j);

            travels |= !strcmp(disk->identity, identity);
        }
        if (!travels) {
            shmig_offer_keep(offer, identity);
        }
    }
}

/*
 * What the block layer does not serve is refused by name, unless @selection
 * says which disks travel: then it was left out on purpose.
 */
static bool leave_outside_disks(ShmigOffer *offer, const char *selection,
                                Error **errp)
{
    g_autoptr(GPtrArray) disks = shmig_outside_disks(object_get_root());

    for (unsigned i = 0; i < disks->len; i++) {
        const ShmigOutsideDisk *disk = g_ptr_array_index(disks, i);

        if (!selection) {
            error_setg(errp,
                       "disk \"%s\": a %s is not served by QEMU's block layer, "
                       "so that it cannot be copied; name the disks that "
                       "shall travel, or none, with the option \"disks\"",
                       disk->id, disk->type);
            return false;
        }
        shmig_offer_leave_out(offer, disk->id);
    }
    return true;
}

/* The disk of @disks that @blk reads and writes, by way of whatever nodes. */
static const ShmigGuestDisk *disk_below(const GPtrArray *disks,
                                        BlockBackend *blk)
{
    BlockDriverState *bs;

    GRAPH_RDLOCK_GUARD_MAINLOOP();

    for (bs = blk_bs(blk); bs; bs = bdrv_primary_bs(bs)) {
        for (unsigned i = 0; i < disks->len; i++) {
            const ShmigGuestDisk *disk = g_ptr_array_index(disks, i);

            if (bs == disk->bs) {
                return disk;
            }
        }
    }
    return NULL;
}

/* What a user calls @blk: the export that it is for, or NULL. */
static char *export_name(BlockBackend *blk)
{
    const char *node = bdrv_get_node_name(blk_bs(blk));
    BlockExportInfoList *exports = qmp_query_block_exports(NULL);
    char *name = NULL;

    for (BlockExportInfoList *l = exports; l && !name; l = l->next) {
        if (!strcmp(l->value->node_name, node)) {
            name = g_strdup_printf("%s export \"%s\"",
                                   BlockExportType_str(l->value->type),
                                   l->value->id);
        }
    }
    qapi_free_BlockExportInfoList(exports);
    return name;
}

static void describe_keeper(const GPtrArray *disks, BlockBackend *blk,
                            const char *name, Error **errp)
{
    const ShmigGuestDisk *disk = disk_below(disks, blk);
    const char *node = bdrv_get_node_name(blk_bs(blk));

    error_setg(errp,
               "%s \"%s\": %s may write to it, and would not let go of it "
               "when the guest moves; end it before, or make it read-only",
               disk ? "disk" : "block node", disk ? disk->id : node,
               name ? name : "a block job or another user");
}

static bool can_be_left(const GPtrArray *disks, bool exports_only, Error **errp)
{
    BlockBackend *blk;

    for (blk = blk_all_next(NULL); blk; blk = blk_all_next(blk)) {
        g_autofree char *name = NULL;

        if (!blk_bs(blk) || blk_can_inactivate(blk)) {
            continue;
        }
        name = export_name(blk);
        if (name || !exports_only) {
            describe_keeper(disks, blk, name, errp);
            return false;
        }
    }
    return true;
}

bool shmig_disks_can_be_left(const ShmigDiskSet *set, Error **errp)
{
    return can_be_left(set->disks, false, errp);
}

bool shmig_disks_collect(ShmigOffer *offer, const char *selection,
                         ShmigDiskSet **set, Error **errp)
{
    g_autoptr(GPtrArray) all = shmig_guest_disks(errp);
    g_autoptr(GHashTable) chosen = NULL;

    if (!all) {
        return false;
    }
    chosen = select_disks(all, selection, errp);
    if (!chosen) {
        return false;
    }
    for (unsigned i = 0; i < all->len; i++) {
        ShmigGuestDisk *disk = g_ptr_array_index(all, i);

        if (g_hash_table_contains(chosen, disk) &&
            (!can_travel(disk, errp) ||
             !is_unshared(all, chosen, disk, errp))) {
            return false;
        }
    }
    if (!leave_outside_disks(offer, selection, errp) ||
        !can_be_left(all, true, errp)) {
        return false;
    }
    *set = shmig_disk_set_new(offer_disks(offer, all, chosen));
    offer_kept(offer);
    return true;
}

/* Whether @disk still is what was offered: time has passed since. */
static bool is_unchanged(const ShmigGuestDisk *disk, Error **errp)
{
    if (blk_bs(disk->guest) != disk->bs ||
        bdrv_getlength(disk->bs) != disk->size_bytes) {
        error_setg(errp,
                   "disk \"%s\": it was changed after the migration "
                   "began; start it again",
                   disk->id);
        return false;
    }
    return can_travel(disk, errp);
}

/*
 * Reads through the filter.  Nobody may resize the image; that it only asks
 * for reading lets the image be inactivated at switch-over, after which it
 * still is read.
 */
static BlockBackend *open_reader(BlockDriverState *filter, Error **errp)
{
    BlockBackend *blk =
        blk_new(bdrv_get_aio_context(filter), BLK_PERM_CONSISTENT_READ,
                BLK_PERM_ALL & ~BLK_PERM_RESIZE);

    blk_set_allow_aio_context_change(blk, true);
    if (blk_insert_bs(blk, filter, errp) < 0) {
        blk_unref(blk);
        return NULL;
    }
    return blk;
}

static bool insert_disk(ShmigDiskSet *set, ShmigSource *src, unsigned index,
                        Error **errp)
{
    ShmigGuestDisk *disk = g_ptr_array_index(set->disks, index);
    Error *err = NULL;
    BlockBackend *reader;
    ShmigDisk *opened = NULL;

    if (!is_unchanged(disk, errp)) {
        return false;
    }
    disk->filter = shmig_filter_insert(disk->bs, &err);
    reader = disk->filter ? open_reader(disk->filter, &err) : NULL;
    if (reader) {
        opened = shmig_disk_set_open(
            set, disk, shmig_disk_raw_open(disk->bs, false), reader, &err);
    }
    if (!opened) {
        error_setg(errp, "disk \"%s\": its writes cannot be followed: %s",
                   disk->id, error_get_pretty(err));
        error_free(err);
        return false;
    }
    shmig_filter_set_mirror(disk->filter,
                            shmig_source_set_disk(src, index, opened));
    trace_shmig_disk_insert(disk->id, disk->path);
    return true;
}

bool shmig_disks_insert(ShmigDiskSet *set, ShmigSource *src, Error **errp)
{
    for (unsigned i = 0; i < set->disks->len; i++) {
        if (!insert_disk(set, src, i, errp)) {
            shmig_disks_remove(set);
            return false;
        }
    }
    return true;
}

void shmig_disks_disarm(ShmigDiskSet *set)
{
    for (unsigned i = 0; i < shmig_disks_count(set); i++) {
        ShmigGuestDisk *disk = g_ptr_array_index(set->disks, i);

        if (disk->filter) {
            shmig_filter_set_mirror(disk->filter, NULL);
        }
    }
}

void shmig_disks_remove(ShmigDiskSet *set)
{
    if (!set) {
        return;
    }
    shmig_disk_set_close(set, true);
    for (unsigned i = 0; i < set->disks->len; i++) {
        ShmigGuestDisk *disk = g_ptr_array_index(set->disks, i);

        if (disk->filter) {
            shmig_filter_drop(disk->filter);
            disk->filter = NULL;
            trace_shmig_disk_remove(disk->id);
        }
    }
}
