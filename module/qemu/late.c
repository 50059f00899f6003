/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM that devices write while the guest is stopped.
 *
 * The rule: between the last look at what is dirty and the state of the
 * devices the BQL is not given up, or the two would not belong together: a
 * device that took a buffer of the guest's would have its index saved, and
 * what it wrote lost.  But sending all that is pending takes its time, and
 * meanwhile the main loop has to run: disks may need it, and a user may
 * cancel.  It carries input to devices that do not ask whether the guest is
 * running (a chardev's to virtio-serial, a resize's event to virtio-scsi), and
 * resets the guest.
 *
 * So the last look is taken here, after all else has gone and with the BQL
 * held until the devices are saved.  No vCPU has run and vhost has stopped
 * since the session's last harvest: whatever wrote is in QEMU itself and has
 * set QEMU's own bitmap, so that KVM need not be asked again.  The session has
 * drained for good by then; the pages, most often none and else a few, go into
 * QEMU's stream, where the destination puts them on top of what the session
 * has brought.
 */
#include "qemu/osdep.h"

#include "qemu/error-report.h"
#include "qemu/units.h"
#include "migration/register.h"

#include "shmig/base/range.h"
#include "incoming.h"
#include "late.h"
#include "trace.h"
#include "tracker.h"

#define PAGE_BYTES (1 << SHMIG_RAM_GRANULE_SHIFT)
/* The guest is stopped while they go: more is for another attempt. */
#define MAX_BYTES (64 * MiB)

static bool is_active(void *opaque)
{
    return migrate_shmig();
}

/* A section begins like the last one, so that both are read alike. */
static int save_setup(QEMUFile *f, void *opaque, Error **errp)
{
    qemu_put_be32(f, 0);
    return 0;
}

static GArray *take_pages(ShmigOutgoing *out, Error **errp)
{
    g_autoptr(GArray) pages = g_array_new(false, false, sizeof(ShmigLatePage));

    if (!shmig_ram_blocks_same(out->ram, errp)) {
        return NULL;
    }
    shmig_tracker_take_late(out->ram, pages);
    trace_shmig_late(pages->len);
    if (pages->len > MAX_BYTES / PAGE_BYTES) {
        error_setg(errp,
                   "devices wrote %u MiB of the guest's memory while it was "
                   "stopped for the switch-over; migrate again",
                   (unsigned)(pages->len / (MiB / PAGE_BYTES)));
        return NULL;
    }
    return g_steal_pointer(&pages);
}

static int save_complete(QEMUFile *f, void *opaque)
{
    ShmigOutgoing *out = shmig_outgoing;
    g_autoptr(GArray) pages = NULL;
    Error *error = NULL;

    pages = take_pages(out, &error);
    if (!pages) {
        return shmig_save_fail(out, error);
    }
    qemu_put_be32(f, pages->len);
    for (unsigned i = 0; i < pages->len; i++) {
        const ShmigLatePage *page = &g_array_index(pages, ShmigLatePage, i);
        uint64_t offset = page->page << SHMIG_RAM_GRANULE_SHIFT;

        qemu_put_be32(f, page->block);
        qemu_put_be64(f, offset);
        qemu_put_buffer(f, out->ram->blocks[page->block].host + offset,
                        PAGE_BYTES);
    }
    return 0;
}

static bool load_page(const ShmigRamBlocks *ram, QEMUFile *f)
{
    uint32_t block = qemu_get_be32(f);
    uint64_t offset = qemu_get_be64(f);

    return shmig_index_ok(block, ram->n) && offset % PAGE_BYTES == 0 &&
           shmig_range_ok(offset, PAGE_BYTES, ram->blocks[block].used_bytes) &&
           qemu_get_buffer(f, ram->blocks[block].host + offset, PAGE_BYTES) ==
               PAGE_BYTES;
}

static int load_state(QEMUFile *f, void *opaque, int version)
{
    ShmigIncoming *in = shmig_incoming;
    uint32_t n = qemu_get_be32(f);

    if (!n) {
        /* Or it is what is read beyond the end. */
        return qemu_file_get_error(f);
    }
    if (!shmig_incoming_connected() || !in->drained ||
        n > MAX_BYTES / PAGE_BYTES) {
        error_report("pages of RAM that the stream must not hold here");
        return -EINVAL;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!load_page(in->ram, f)) {
            error_report("a page of RAM in the stream that is none, or cut "
                         "short");
            return -EINVAL;
        }
    }
    return 0;
}

static const SaveVMHandlers handlers = {
    .is_active = is_active,
    .save_setup = save_setup,
    .save_live_complete_precopy = save_complete,
    .load_state = load_state,
};

void shmig_register_late(void)
{
    register_savevm_live("shmig-late", 0, 1, &handlers, NULL);
}
