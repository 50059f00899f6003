/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What query-migrate and info migrate tell about an outgoing migration. */
#include "qemu/osdep.h"

#include "qemu/units.h"
#include "monitor/monitor.h"
#include "qapi/clone-visitor.h"
#include "qapi/qapi-visit-migration.h"

#include "glue.h"

/* The last migration's end; main thread. */
static struct {
    int64_t start_time; /* of the migration it is about */
    ShmigInfo *info;
    ShmigDiskStats *disk;
} kept;

static void fill_copy(ShmigCopyStats *copy, ShmigOutgoing *out, uint32_t region)
{
    const ShmigRegionStats *stats =
        shmig_source_region_stats(out->source, region);

    copy->remaining += shmig_source_region_pending(out->source, region);
    copy->sent += shmig_counted(&stats->data_bytes);
    copy->zero += shmig_counted(&stats->zero_bytes);
    copy->mirrored += shmig_counted(&stats->mirrored_bytes);
    copy->resent += shmig_counted(&stats->resent_bytes);
}

static ShmigDiskInfoList *list_disks(ShmigOutgoing *out)
{
    ShmigDiskInfoList *list = NULL, **tail = &list;

    for (unsigned i = 0; i < shmig_disks_count(out->disks); i++) {
        ShmigDiskInfo *disk = g_new0(ShmigDiskInfo, 1);

        disk->id = g_strdup(shmig_disks_id(out->disks, i));
        disk->path = g_strdup(shmig_disks_path(out->disks, i));
        disk->size = shmig_disks_size_bytes(out->disks, i);
        disk->delayed = shmig_counted(
            &shmig_source_region_stats(out->source, out->ram->n + i)
                 ->delayed_ns);
        fill_copy(qapi_ShmigDiskInfo_base(disk), out, out->ram->n + i);
        QAPI_LIST_APPEND(tail, disk);
    }
    return list;
}

static const char *tracker_name(ShmigOutgoing *out)
{
    return out->tracker ? out->tracker->ops->name : NULL;
}

/* QEMU says how it ended before the main loop has taken everything down. */
static ShmigPhase phase_to_tell(ShmigOutgoing *out)
{
    switch (qatomic_read(&out->s->state)) {
    case MIGRATION_STATUS_COMPLETED:
    case MIGRATION_STATUS_FAILED:
    case MIGRATION_STATUS_CANCELLED:
        return SHMIG_PHASE_ENDED;
    default:
        return qatomic_read(&out->phase);
    }
}

static ShmigInfo *make_info(ShmigOutgoing *out)
{
    const ShmigStats *stats = shmig_source_stats(out->source);
    ShmigInfo *info = g_new0(ShmigInfo, 1);
    ShmigPending pending;
    uint64_t eta_ns;

    info->phase = phase_to_tell(out);
    info->channels = out->channels;
    info->tracker = shmig_source_ram_started(out->source)
                        ? g_strdup(tracker_name(out))
                        : NULL;
    info->wire_bytes = shmig_counted(&stats->wire_bytes);
    info->rate = qatomic_read(&out->rate);
    info->ram = g_new0(ShmigCopyStats, 1);
    for (unsigned i = 0; i < out->ram->n; i++) {
        fill_copy(info->ram, out, i);
    }
    info->ram->remaining = shmig_ram_bytes_remaining();
    info->disks = list_disks(out);
    shmig_source_pending(out->source, &pending);
    eta_ns = shmig_rate_eta_ns(info->ram->remaining + pending.disk_bytes +
                                   pending.queued_bytes,
                               info->rate, qatomic_read(&out->dirty_rate));
    info->has_eta = info->phase < SHMIG_PHASE_ENDED && eta_ns != UINT64_MAX;
    info->eta = info->has_eta ? eta_ns / SCALE_MS : 0;
    return info;
}

static ShmigDiskStats *make_disk_stats(const ShmigInfo *info)
{
    ShmigDiskStats *disk = g_new0(ShmigDiskStats, 1);

    for (ShmigDiskInfoList *l = info->disks; l; l = l->next) {
        disk->transferred += l->value->sent + l->value->mirrored;
        disk->remaining += l->value->remaining;
        disk->total += l->value->size;
    }
    disk->mbps = info->rate * 8.0 / 1000000;
    return disk;
}

void shmig_info_keep(ShmigOutgoing *out)
{
    qapi_free_ShmigInfo(kept.info);
    qapi_free_ShmigDiskStats(kept.disk);
    kept.start_time = out->s->start_time;
    kept.info = make_info(out);
    kept.disk = make_disk_stats(kept.info);
}

void shmig_populate_info(MigrationInfo *info)
{
    MigrationState *s = migrate_get_current();

    if (shmig_outgoing) {
        info->shmig = make_info(shmig_outgoing);
        info->disk = make_disk_stats(info->shmig);
    } else if (kept.info && kept.start_time == s->start_time) {
        info->shmig = QAPI_CLONE(ShmigInfo, kept.info);
        info->disk = QAPI_CLONE(ShmigDiskStats, kept.disk);
    }
}

static void print_copy(Monitor *mon, const ShmigCopyStats *copy)
{
    monitor_printf(mon,
                   "%" PRIu64 " MiB to go, %" PRIu64 " sent, %" PRIu64
                   " zero, %" PRIu64 " mirrored, %" PRIu64 " resent\n",
                   copy->remaining / MiB, copy->sent / MiB, copy->zero / MiB,
                   copy->mirrored / MiB, copy->resent / MiB);
}

void shmig_hmp_info(Monitor *mon, const MigrationInfo *info)
{
    const ShmigInfo *shmig = info->shmig;

    if (!shmig) {
        return;
    }
    monitor_printf(mon,
                   "shmig: %s, %u channels, tracker %s, %" PRIu64
                   " MiB on the wire, %" PRIu64 " MiB/s",
                   ShmigPhase_str(shmig->phase), shmig->channels,
                   shmig->tracker ?: "not yet used", shmig->wire_bytes / MiB,
                   shmig->rate / MiB);
    if (shmig->has_eta) {
        monitor_printf(mon, ", %" PRIu64 ".%" PRIu64 " s to go",
                       shmig->eta / 1000, shmig->eta / 100 % 10);
    }
    monitor_printf(mon, "\nshmig RAM: ");
    print_copy(mon, shmig->ram);
    for (ShmigDiskInfoList *l = shmig->disks; l; l = l->next) {
        monitor_printf(mon,
                       "shmig disk %s (%s, %" PRIu64
                       " MiB, writes held back %" PRIu64 " ms): ",
                       l->value->id, l->value->path, l->value->size / MiB,
                       l->value->delayed / SCALE_MS);
        print_copy(mon, qapi_ShmigDiskInfo_base(l->value));
    }
}
