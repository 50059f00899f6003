/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QEMU's loading coroutine does for us: prepares RAM, waits until RAM
 * and disks are complete before devices are loaded on top of them, and waits
 * for the guest to be given away before it is started.
 */
#include "qemu/osdep.h"

#include "qemu/error-report.h"
#include "migration/migration.h"
#include "system/runstate.h"

#include "incoming.h"
#include "load.h"
#include "trace.h"

/* What is read beyond the end looks like numbers. */
static int check_cut(QEMUFile *f)
{
    int ret = qemu_file_get_error(f);

    if (ret < 0) {
        error_report("the migration stream was cut short in a shmig section: "
                     "%s",
                     strerror(-ret));
    }
    return ret;
}

/* The peer's name is compared and not shown: it may hold anything. */
static int load_block(ShmigIncoming *in, QEMUFile *f, unsigned i)
{
    ShmigRamBlockRef *block = &in->ram->blocks[i];
    Error *error = NULL;
    char name[256];
    uint64_t bytes;
    int ret;

    qemu_get_counted_string(f, name);
    bytes = qemu_get_be64(f);
    ret = check_cut(f);
    if (ret < 0) {
        return ret;
    }
    if (!g_str_equal(name, block->rb->idstr) || bytes != block->used_bytes) {
        error_report("RAM block %u, \"%s\": the source sends another one than "
                     "it has offered",
                     i, block->rb->idstr);
        return -EINVAL;
    }
    if (bytes != block->rb->used_length) {
        memory_region_ram_resize(block->mr, bytes, &error);
        if (error) {
            error_report_err(error);
            return -EINVAL;
        }
    }
    shmig_dest_set_ram(in->dest, i, block->host);
    return 0;
}

/*
 * What decides which RAM there is (virtio-mem) comes earlier in the stream,
 * so from here on the session may write it.
 */
static int load_blocks(ShmigIncoming *in, QEMUFile *f)
{
    uint32_t n = qemu_get_be32(f);
    int ret = check_cut(f);

    if (ret < 0) {
        return ret;
    }
    if (in->has_blocks) {
        error_report("the source sends its RAM blocks twice");
        return -EINVAL;
    }
    in->has_blocks = true;
    if (n != in->ram->n) {
        error_report("the source offered %u RAM blocks and sends %u",
                     in->ram->n, n);
        return -EINVAL;
    }
    for (unsigned i = 0; i < n; i++) {
        ret = load_block(in, f, i);
        if (ret < 0) {
            return ret;
        }
    }
    trace_shmig_incoming_blocks(n);
    shmig_dest_go(in->dest);
    return 0;
}

static int coroutine_fn load_end(ShmigIncoming *in)
{
    return shmig_incoming_wait(in, &in->drained) ? 0 : -EIO;
}

/* Without the blocks nothing is sent that an end could be waited for. */
static int coroutine_fn load_later(ShmigIncoming *in, uint32_t section)
{
    if (!in->has_blocks) {
        error_report("the source goes on before its RAM blocks are known");
        return -EINVAL;
    }
    return section == SHMIG_SECTION_END ? load_end(in) : 0;
}

int shmig_load_state(QEMUFile *f, void *opaque, int version)
{
    ShmigIncoming *in = shmig_incoming;
    uint32_t section = qemu_get_be32(f);
    int ret = check_cut(f);

    if (ret < 0) {
        return ret;
    }
    if (!shmig_incoming_connected()) {
        error_report("a shmig section in a stream that came over another "
                     "transport");
        return -EINVAL;
    }
    switch (section) {
    case SHMIG_SECTION_BLOCKS:
        return load_blocks(in, f);
    case SHMIG_SECTION_PROGRESS:
    case SHMIG_SECTION_END:
        return load_later(in, section);
    default:
        error_report("unknown shmig section %u", section);
        return -EINVAL;
    }
}

bool coroutine_fn shmig_incoming_ready(Error **errp)
{
    ShmigIncoming *in = shmig_incoming;
    Error *error;

    if (!in->drained) {
        error_setg(errp, "the stream ended before all RAM and disks came");
        return false;
    }
    trace_shmig_incoming_ready();
    shmig_dest_ready(in->dest);
    if (shmig_incoming_wait(in, &in->committed)) {
        return true;
    }
    error = shmig_incoming_error();
    error_propagate(errp, error);
    return false;
}

void shmig_incoming_running(void)
{
    ShmigIncoming *in = shmig_incoming;

    if (runstate_check(RUN_STATE_INMIGRATE)) {
        /* Its disks could not be activated, and migrate again it cannot. */
        error_report("shmig: the guest was given to this QEMU, which could "
                     "not activate its disks and does not run it; see that "
                     "nothing else uses their images, quit here, and continue "
                     "the guest at the source");
        return;
    }
    trace_shmig_incoming_running();
    shmig_dest_running(in->dest);
    in->running = true;
}

/* Tells the source why, if it did not end well. */
int shmig_load_cleanup(void *opaque)
{
    MigrationState *s = migrate_get_current();
    ShmigIncoming *in = shmig_incoming;

    if (in && !in->committed) {
        g_autofree char *reason = NULL;

        QEMU_LOCK_GUARD(&s->error_mutex);
        reason = g_strdup_printf(
            "the destination gave up: %s; its log may say more",
            s->error ? error_get_pretty(s->error) : "unknown error");
        shmig_dest_abort(in->dest, reason);
    }
    return 0;
}
