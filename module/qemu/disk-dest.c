/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's disks: whether they can take what is offered, and who
 * may write them when.
 *
 * QEMU opened the images inactive, as -incoming does.  They are activated
 * once the whole offer is known to fit, and written under a BlockBackend of
 * ours, as an NBD server would.  The guest's devices get what they need to
 * own them when the guest starts; ours is gone by then.
 */
#include "qemu/osdep.h"

#include "qapi/error.h"
#include "block/block_int.h"

#include "disk-guest.h"
#include "disk-raw.h"
#include "disk-storage.h"
#include "trace.h"

static void G_GNUC_PRINTF(2, 3)
    add_problem(GPtrArray *problems, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_ptr_array_add(problems, g_strdup_vprintf(format, ap));
    va_end(ap);
}

/*
 * Both directions are refused: a bigger image would make the guest's disk
 * grow under it, without a word of the hypervisor to the guest.
 */
static void check_size(const ShmigGuestDisk *disk,
                       const ShmigOfferDisk *offered, GPtrArray *problems)
{
    g_autofree char *here = shmig_guest_disk_size_text(disk->size_bytes);
    g_autofree char *there = shmig_guest_disk_size_text(offered->size_bytes);

    if (disk->size_bytes < offered->size_bytes) {
        add_problem(problems,
                    "disk \"%s\": destination is %s, source is %s; "
                    "grow the destination image to %s",
                    offered->id, here, there, there);
    } else if (disk->size_bytes > offered->size_bytes) {
        add_problem(problems,
                    "disk \"%s\": destination is %s, source is %s, "
                    "and the guest's disk must not change its size; make the "
                    "destination image exactly %s",
                    offered->id, here, there, there);
    }
}

/* The disk of the offer that is on the storage @identity, whichever it is. */
static const ShmigOfferDisk *disk_on(const ShmigOffer *offer,
                                     const char *identity)
{
    for (unsigned i = 0; i < offer->disks->len; i++) {
        const ShmigOfferDisk *other = g_ptr_array_index(offer->disks, i);

        if (!strcmp(identity, other->identity)) {
            return other;
        }
    }
    return NULL;
}

/*
 * Bulk data would destroy its own source, or what stays behind.  That a disk
 * which does not travel is the same on both sides is not looked at: it may.
 */
static void check_storage(const ShmigGuestDisk *disk, const ShmigOffer *offer,
                          GPtrArray *problems)
{
    g_autoptr(GPtrArray) written = shmig_storage_written(disk->bs);

    for (unsigned i = 0; i < written->len; i++) {
        const char *identity = g_ptr_array_index(written, i);
        const ShmigOfferDisk *other = disk_on(offer, identity);

        if (other) {
            add_problem(problems,
                        "disk \"%s\": its image is the very same "
                        "file or device as that of the source's disk "
                        "\"%s\"; give the destination an image of its own, "
                        "or leave a shared disk out with the option "
                        "\"disks\"",
                        disk->id, other->id);
        } else if (g_ptr_array_find_with_equal_func(offer->kept, identity,
                                                    g_str_equal, NULL)) {
            add_problem(problems,
                        "disk \"%s\": its image is the very same file or "
                        "device as one that the source has open and keeps (of "
                        "a disk left out, a read-only disk or a backing "
                        "file); give the destination an image of its own",
                        disk->id);
        }
    }
}

static void check_unshared(const GPtrArray *all, const ShmigOffer *offer,
                           const ShmigGuestDisk *disk, GPtrArray *problems)
{
    for (unsigned i = 0; i < offer->disks->len; i++) {
        const ShmigOfferDisk *offered = g_ptr_array_index(offer->disks, i);
        const ShmigGuestDisk *other = shmig_guest_disk_find(all, offered->id);

        if (other && other != disk && other->bs == disk->bs) {
            add_problem(problems,
                        "disk \"%s\": its image on the destination "
                        "is that of \"%s\" too; give each its own",
                        disk->id, other->id);
            return;
        }
    }
}

static void check_disk(const GPtrArray *all, const ShmigOffer *offer,
                       const ShmigOfferDisk *offered, GPtrArray *problems)
{
    const ShmigGuestDisk *disk = shmig_guest_disk_find(all, offered->id);
    g_autofree char *size = shmig_guest_disk_size_text(offered->size_bytes);
    Error *err = NULL;

    if (!disk) {
        add_problem(problems,
                    "disk \"%s\": the destination has no such "
                    "disk; start it with an empty image of %s for a device "
                    "of that id, or leave the disk out with the option "
                    "\"disks\"",
                    offered->id, size);
        return;
    }
    if (!disk->bs) {
        add_problem(problems,
                    "disk \"%s\": the destination's drive is "
                    "empty; give it an image of %s",
                    offered->id, size);
        return;
    }
    if (!disk->writable) {
        add_problem(problems,
                    "disk \"%s\": the destination's is read-only, "
                    "the source's is not",
                    offered->id);
        return;
    }
    if (shmig_guest_disk_busy(disk, &err)) {
        add_problem(problems,
                    "disk \"%s\": the destination's cannot be "
                    "written now: %s",
                    offered->id, error_get_pretty(err));
        error_free(err);
    }
    check_size(disk, offered, problems);
    check_storage(disk, offer, problems);
    check_unshared(all, offer, disk, problems);
}

static bool is_offered(const ShmigOffer *offer, const char *id)
{
    for (unsigned i = 0; i < offer->disks->len; i++) {
        const ShmigOfferDisk *offered = g_ptr_array_index(offer->disks, i);

        if (!strcmp(offered->id, id)) {
            return true;
        }
    }
    for (unsigned i = 0; i < offer->left_out->len; i++) {
        if (!strcmp(g_ptr_array_index(offer->left_out, i), id)) {
            return true;
        }
    }
    return false;
}

/* A disk that the source knows of and left out is the user's own affair; one
 * that it does not know of would appear in the guest out of nothing. */
static void check_surplus(const GPtrArray *all, const ShmigOffer *offer,
                          GPtrArray *problems)
{
    for (unsigned i = 0; i < all->len; i++) {
        const ShmigGuestDisk *disk = g_ptr_array_index(all, i);

        if (disk->writable && !is_offered(offer, disk->id)) {
            add_problem(problems,
                        "disk \"%s\": the destination has it, the "
                        "source has no writable disk of that id; start the "
                        "destination without it",
                        disk->id);
        }
    }
}

/* The disks of the offer, in its order; moved out of @all. */
static GPtrArray *take_offered(GPtrArray *all, const ShmigOffer *offer)
{
    GPtrArray *taken = shmig_guest_disk_array();

    for (unsigned i = 0; i < offer->disks->len; i++) {
        const ShmigOfferDisk *offered = g_ptr_array_index(offer->disks, i);
        ShmigGuestDisk *disk = shmig_guest_disk_find(all, offered->id);
        guint index;

        g_ptr_array_find(all, disk, &index);
        g_ptr_array_steal_index(all, index);
        g_ptr_array_add(taken, disk);
    }
    return taken;
}

/*
 * The right to write while the guest's device does not need it yet.  It is
 * kept on the direct path too: it is what locks the image.
 */
static BlockBackend *open_writer(ShmigGuestDisk *disk, Error **errp)
{
    BlockBackend *blk;
    int ret;

    bdrv_graph_rdlock_main_loop();
    ret = bdrv_activate(disk->bs, errp);
    bdrv_graph_rdunlock_main_loop();
    if (ret < 0) {
        return NULL;
    }
    blk = blk_new(bdrv_get_aio_context(disk->bs),
                  BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE,
                  BLK_PERM_ALL & ~BLK_PERM_RESIZE);
    blk_set_allow_aio_context_change(blk, true);
    if (blk_insert_bs(blk, disk->bs, errp) < 0) {
        blk_unref(blk);
        return NULL;
    }
    return blk;
}

static ShmigDisk *open_disk(ShmigDiskSet *set, ShmigGuestDisk *disk,
                            GPtrArray *problems)
{
    Error *err = NULL;
    BlockBackend *writer = open_writer(disk, &err);
    ShmigDisk *opened = NULL;

    if (writer) {
        opened = shmig_disk_set_open(
            set, disk, shmig_disk_raw_open(disk->bs, true), writer, &err);
    }
    if (!opened) {
        add_problem(problems,
                    "disk \"%s\": the destination cannot write its "
                    "image: %s",
                    disk->id,
                    err ? error_get_pretty(err) : "it cannot be activated");
        error_free(err);
    }
    return opened;
}

/* All or none. */
static bool open_disks(ShmigDest *dest, ShmigDiskSet *set, GPtrArray *problems)
{
    unsigned n = set->disks->len, i;
    g_autofree ShmigDisk **opened = g_new0(ShmigDisk *, n);

    for (i = 0; i < n; i++) {
        opened[i] = open_disk(set, g_ptr_array_index(set->disks, i), problems);
        if (!opened[i]) {
            break;
        }
    }
    if (i < n) {
        while (i-- > 0) {
            shmig_disk_free(opened[i]);
        }
        return false;
    }
    for (i = 0; i < n; i++) {
        shmig_dest_set_disk(dest, i, opened[i]);
        trace_shmig_disk_open(shmig_disks_id(set, i), shmig_disks_path(set, i));
    }
    return true;
}

bool shmig_disks_check(ShmigDest *dest, const ShmigOffer *offer,
                       ShmigDiskSet **set, GPtrArray *problems)
{
    Error *err = NULL;
    g_autoptr(GPtrArray) all = shmig_guest_disks(&err);
    unsigned before = problems->len;

    *set = NULL;
    if (!all) {
        add_problem(problems, "destination: %s", error_get_pretty(err));
        error_free(err);
        return false;
    }
    for (unsigned i = 0; i < offer->disks->len; i++) {
        check_disk(all, offer, g_ptr_array_index(offer->disks, i), problems);
    }
    check_surplus(all, offer, problems);
    if (problems->len > before) {
        return false;
    }
    *set = shmig_disk_set_new(take_offered(all, offer));
    if (!open_disks(dest, *set, problems)) {
        shmig_disks_free(*set);
        *set = NULL;
        return false;
    }
    return true;
}

void shmig_disks_cancel(ShmigDiskSet *set)
{
    if (set) {
        shmig_disk_set_close(set, false);
    }
}

void shmig_disks_release(ShmigDiskSet *set)
{
    if (set) {
        trace_shmig_disk_release(set->disks->len);
        shmig_disk_set_close(set, true);
    }
}
