/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's half of a session: set-up, what the control thread asks, and
 * the end.  source-handshake.c says hello, source-channel.c sends.
 */
#include "shmig/session/source-internal.h"
#include "shmig/base/error.h"
#include "shmig/session/memory.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

ShmigSource *shmig_source_new(ShmigOffer *offer, GError **errp)
{
    g_autoptr(ShmigOffer) own = offer;
    ShmigSource *src;

    if (offer->channels < 1 || offer->channels > SHMIG_MAX_CHANNELS) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LIMIT,
                    "%u channels: there can be 1 to %d", offer->channels,
                    SHMIG_MAX_CHANNELS);
        return NULL;
    }
    src = g_new0(ShmigSource, 1);
    src->offer = g_steal_pointer(&own);
    src->n_channels = offer->channels;
    src->n_ram = offer->ram->len;
    src->n_disks = offer->disks->len;
    src->links = g_new0(ShmigLink, src->n_channels);
    src->channels = g_new0(ShmigSourceChannel, src->n_channels);
    src->ram = g_new0(ShmigRamBlock, src->n_ram);
    src->disks = g_new0(ShmigDiskSource, src->n_disks);
    src->mirrors = g_new0(ShmigMirror *, src->n_disks);
    src->stream_fd = -1;
    src->handshake_fd = -1;
    for (unsigned i = 0; i < sizeof(src->session); i++) {
        src->session[i] = g_random_int();
    }
    pthread_rwlock_init(&src->tracking_lock, NULL);
    pthread_mutex_init(&src->lock, NULL);
    shmig_cond_init(&src->cond);
    shmig_fault_init(&src->fault);
    shmig_bucket_init(&src->bucket);
    for (uint32_t i = 0; i < src->n_ram; i++) {
        ShmigOfferRam *r = g_ptr_array_index(offer->ram, i);

        src->ram[i].region =
            shmig_region_new(i, SHMIG_REGION_RAM, r->used_bytes);
    }
    for (uint32_t i = 0; i < src->n_disks; i++) {
        ShmigOfferDisk *d = g_ptr_array_index(offer->disks, i);

        src->disks[i].region =
            shmig_region_new(src->n_ram + i, SHMIG_REGION_DISK, d->size_bytes);
    }
    for (unsigned i = 0; i < src->n_channels; i++) {
        shmig_source_channel_init(&src->channels[i], src, i);
    }
    return src;
}

void shmig_source_fail(ShmigSource *src, GError *error)
{
    if (!shmig_fault_raise(&src->fault, error)) {
        return;
    }
    for (unsigned i = 0; i < src->n_channels; i++) {
        shmig_lane_close(&src->channels[i].lane);
        if (__atomic_load_n(&src->started, __ATOMIC_ACQUIRE)) {
            shmig_channel_end(src->channels[i].channel);
        }
    }
    pthread_mutex_lock(&src->lock);
    if (src->handshake_fd >= 0) {
        shutdown(src->handshake_fd, SHUT_RDWR);
    }
    pthread_cond_broadcast(&src->cond);
    pthread_mutex_unlock(&src->lock);
}

void shmig_source_abort(ShmigSource *src, const char *reason)
{
    shmig_source_fail(
        src, g_error_new_literal(SHMIG_ERROR, SHMIG_ERROR_CANCELLED, reason));
}

GError *shmig_source_error(ShmigSource *src)
{
    return shmig_fault_get(&src->fault);
}

void shmig_source_set_ram(ShmigSource *src, uint32_t index, void *host)
{
    g_assert(index < src->n_ram);
    src->ram[index].host = host;
}

ShmigMirror *shmig_source_set_disk(ShmigSource *src, uint32_t index,
                                   ShmigDisk *disk)
{
    g_autofree ShmigLane **lanes = g_new(ShmigLane *, src->n_channels);

    g_assert(index < src->n_disks && !src->disks[index].disk);
    for (unsigned i = 0; i < src->n_channels; i++) {
        lanes[i] = &src->channels[i].lane;
    }
    src->disks[index].disk = disk;
    shmig_region_set(src->disks[index].region, 0,
                     src->disks[index].region->n_granules);
    src->mirrors[index] =
        shmig_mirror_new(src->disks[index].region, &src->disks[index].stats,
                         lanes, src->n_channels);
    return src->mirrors[index];
}

void shmig_source_set_tracker(ShmigSource *src, ShmigTracker *tracker)
{
    src->tracker = tracker;
}

ShmigRegion *shmig_source_ram_region(ShmigSource *src, uint32_t index)
{
    g_assert(index < src->n_ram);
    return src->ram[index].region;
}

static void end_channels(ShmigSource *src)
{
    for (unsigned i = 0; i < src->n_channels; i++) {
        if (src->channels[i].channel) {
            shmig_channel_end(src->channels[i].channel);
        }
    }
}

static void join_channels(ShmigSource *src)
{
    for (unsigned i = 0; i < src->n_channels; i++) {
        if (src->channels[i].channel) {
            shmig_channel_join(src->channels[i].channel);
        }
    }
}

static bool make_channel(ShmigSource *src, unsigned i, GError **errp)
{
    ShmigSourceChannel *sc = &src->channels[i];
    ShmigMemory memory = shmig_memory_source(src->n_channels, src->tls);
    uint32_t frames = i ? 0 : 1;
    ShmigChannel *channel;

    channel = shmig_channel_new(
        i, src->links[i], frames, frames, i ? -1 : src->stream_fd, &src->fault,
        &src->stats, false, &shmig_source_channel_ops, sc, errp);
    if (!channel) {
        return false;
    }
    src->links[i] = SHMIG_NO_LINK;
    if (!i) {
        src->stream_fd = -1;
    }
    sc->bulk = shmig_bulk_new(shmig_channel_ring(channel), &sc->lane,
                              src->disks, src->n_disks, i, src->n_channels,
                              memory.per_channel, memory.buffer_bytes, errp);
    if (!sc->bulk) {
        shmig_channel_free(channel);
        return false;
    }
    sc->channel = channel;
    return true;
}

static bool start_channels(ShmigSource *src, GError **errp)
{
    for (unsigned i = 0; i < src->n_channels; i++) {
        if (!make_channel(src, i, errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < src->n_channels; i++) {
        if (!shmig_channel_start(src->channels[i].channel, errp)) {
            return false;
        }
    }
    return true;
}

bool shmig_source_start(ShmigSource *src, GError **errp)
{
    GError *error = NULL;

    g_assert(src->n_joined == src->n_channels);
    if (!start_channels(src, &error)) {
        /* Those that run tell the peer. */
        g_propagate_error(errp, g_error_copy(error));
        shmig_source_fail(src, error);
        end_channels(src);
        return false;
    }
    __atomic_store_n(&src->started, true, __ATOMIC_SEQ_CST);
    /* An abort that came before it could see the channels. */
    if (shmig_fault_is_set(&src->fault)) {
        for (unsigned i = 0; i < src->n_channels; i++) {
            shmig_channel_end(src->channels[i].channel);
        }
    }
    return true;
}

static void wake_all(ShmigSource *src)
{
    for (unsigned i = 0; i < src->n_channels &&
                         __atomic_load_n(&src->started, __ATOMIC_ACQUIRE);
         i++) {
        shmig_channel_wake(src->channels[i].channel);
    }
}

bool shmig_source_start_ram(ShmigSource *src, GError **errp)
{
    if (!src->tracker->ops->start(src->tracker, errp)) {
        return false;
    }
    __atomic_store_n(&src->tracking, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&src->ram_started, 1, __ATOMIC_RELEASE);
    return true;
}

static void stop_tracker(ShmigSource *src)
{
    if (!__atomic_exchange_n(&src->tracking, 0, __ATOMIC_ACQ_REL)) {
        return;
    }
    /* Waits for those that saw it; who comes now turns back. */
    pthread_rwlock_wrlock(&src->tracking_lock);
    pthread_rwlock_unlock(&src->tracking_lock);
    src->tracker->ops->stop(src->tracker);
}

void shmig_source_stop_ram(ShmigSource *src)
{
    /* Or RAM that is pending would never be sent. */
    g_assert(src->committed || shmig_fault_is_set(&src->fault));
    stop_tracker(src);
}

bool shmig_source_ram_started(const ShmigSource *src)
{
    return __atomic_load_n(&src->ram_started, __ATOMIC_ACQUIRE);
}

void shmig_source_pending(ShmigSource *src, ShmigPending *pending)
{
    *pending = (ShmigPending) { 0 };
    for (uint32_t i = 0; i < src->n_ram; i++) {
        pending->ram_bytes += shmig_region_pending_bytes(src->ram[i].region);
    }
    for (uint32_t i = 0; i < src->n_disks; i++) {
        pending->disk_bytes += shmig_region_pending_bytes(src->disks[i].region);
    }
    for (unsigned i = 0; i < src->n_channels; i++) {
        pending->queued_bytes +=
            shmig_lane_queued_bytes(&src->channels[i].lane);
    }
}

uint64_t shmig_source_pending_sum(ShmigSource *src)
{
    ShmigPending p;

    shmig_source_pending(src, &p);
    return p.ram_bytes + p.disk_bytes + p.queued_bytes;
}

int64_t shmig_source_harvest(ShmigSource *src, bool last)
{
    int64_t pages = src->tracker->ops->harvest(src->tracker, last);

    if (pages >= 0) {
        shmig_count(&src->stats.harvests, 1);
        shmig_count(&src->stats.dirty_pages, pages);
        wake_all(src);
    }
    return pages;
}

/* With the lock held. */
static bool failed(ShmigSource *src, GError **errp)
{
    GError *error = shmig_fault_get(&src->fault);

    if (error) {
        g_propagate_error(errp, error);
    }
    return error != NULL;
}

bool shmig_source_wait(ShmigSource *src, uint64_t below_bytes, int timeout_ms,
                       GError **errp)
{
    int64_t until = g_get_monotonic_time() + timeout_ms * (int64_t)1000;
    bool ok;

    wake_all(src);
    pthread_mutex_lock(&src->lock);
    __atomic_store_n(&src->wait_below, below_bytes, __ATOMIC_RELAXED);
    while (!shmig_fault_is_set(&src->fault) &&
           shmig_source_pending_sum(src) >= below_bytes &&
           shmig_cond_wait_until(&src->cond, &src->lock, until)) {
    }
    __atomic_store_n(&src->wait_below, 0, __ATOMIC_RELAXED);
    ok = !failed(src, errp);
    pthread_mutex_unlock(&src->lock);
    return ok;
}

/* With the lock held: whether every channel's last DRAIN was answered. */
static bool barrier_done(ShmigSource *src)
{
    for (unsigned i = 0; i < src->n_channels; i++) {
        ShmigSourceChannel *sc = &src->channels[i];

        if (sc->drain_answered < sc->drain_asked) {
            return false;
        }
    }
    return true;
}

static void ask_barrier(ShmigSource *src)
{
    src->barrier++;
    for (unsigned i = 0; i < src->n_channels; i++) {
        src->channels[i].drain_asked = src->barrier;
        shmig_channel_control(src->channels[i].channel, SHMIG_FRAME_DRAIN, 0,
                              src->barrier);
    }
}

bool shmig_source_barrier(ShmigSource *src, int timeout_ms, GError **errp)
{
    int64_t until = g_get_monotonic_time() + timeout_ms * (int64_t)1000;
    bool asked, done;

    pthread_mutex_lock(&src->lock);
    asked = !barrier_done(src); /* by an earlier call */
    do {
        if (!asked && __atomic_load_n(&src->go, __ATOMIC_ACQUIRE)) {
            ask_barrier(src);
            asked = true;
        }
        done = asked && barrier_done(src);
    } while (!done && !shmig_fault_is_set(&src->fault) &&
             shmig_cond_wait_until(&src->cond, &src->lock, until));
    done = !failed(src, errp) && done;
    pthread_mutex_unlock(&src->lock);
    return done;
}

void shmig_source_set_bandwidth(ShmigSource *src, uint64_t bytes_per_s)
{
    if (__atomic_exchange_n(&src->bandwidth, bytes_per_s, __ATOMIC_RELAXED) !=
        bytes_per_s) {
        shmig_bucket_set_rate(&src->bucket, bytes_per_s);
        wake_all(src);
    }
}

bool shmig_source_finish(ShmigSource *src, GError **errp)
{
    bool ok;

    __atomic_store_n(&src->finishing, 1, __ATOMIC_RELEASE);
    wake_all(src);
    pthread_mutex_lock(&src->lock);
    while (!shmig_fault_is_set(&src->fault) && src->n_final < src->n_channels) {
        pthread_cond_wait(&src->cond, &src->lock);
    }
    ok = !failed(src, errp);
    pthread_mutex_unlock(&src->lock);
    return ok;
}

/* With the lock held: waits for @flag or the session's end. */
static bool wait_flag(ShmigSource *src, const bool *flag)
{
    while (!*flag && !shmig_fault_is_set(&src->fault)) {
        pthread_cond_wait(&src->cond, &src->lock);
    }
    return *flag;
}

ShmigCommit shmig_source_commit(ShmigSource *src,
                                bool (*may_commit)(void *opaque), void *opaque,
                                GError **errp)
{
    ShmigCommit result = SHMIG_COMMIT_NOT_SENT;
    g_autoptr(GError) error = NULL;

    pthread_mutex_lock(&src->lock);
    /* READY may overtake what the other channels say. */
    while (src->n_drained < src->n_channels &&
           !shmig_fault_is_set(&src->fault)) {
        pthread_cond_wait(&src->cond, &src->lock);
    }
    wait_flag(src, &src->ready);
    pthread_mutex_unlock(&src->lock);
    if (!shmig_fault_is_set(&src->fault) && !may_commit(opaque)) {
        shmig_source_abort(src, "the migration was cancelled");
    }
    pthread_mutex_lock(&src->lock);
    if (!shmig_fault_is_set(&src->fault)) {
        src->committed = true;
        shmig_channel_control(src->channels[0].channel, SHMIG_FRAME_COMMIT, 0,
                              0);
        result = wait_flag(src, &src->running) ? SHMIG_COMMIT_DONE
                                               : SHMIG_COMMIT_UNKNOWN;
    }
    error = shmig_fault_get(&src->fault);
    pthread_mutex_unlock(&src->lock);
    if (result == SHMIG_COMMIT_UNKNOWN && error->code == SHMIG_ERROR_PEER) {
        /* A destination that owns the guest never says ERROR. */
        result = SHMIG_COMMIT_NOT_SENT;
    }
    if (result == SHMIG_COMMIT_UNKNOWN) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_LOST,
                    "%s after the guest was handed over: the destination may "
                    "own it; look there before you start it here",
                    error->message);
    } else if (result == SHMIG_COMMIT_NOT_SENT) {
        g_propagate_error(errp, g_steal_pointer(&error));
    }
    return result;
}

const ShmigStats *shmig_source_stats(ShmigSource *src)
{
    return &src->stats;
}

static ShmigRegion *region_at(ShmigSource *src, uint32_t region)
{
    return region < src->n_ram ? src->ram[region].region
                               : src->disks[region - src->n_ram].region;
}

const ShmigRegionStats *shmig_source_region_stats(ShmigSource *src,
                                                  uint32_t region)
{
    g_assert(region < src->n_ram + src->n_disks);
    return region < src->n_ram ? &src->ram[region].stats
                               : &src->disks[region - src->n_ram].stats;
}

uint64_t shmig_source_region_pending(ShmigSource *src, uint32_t region)
{
    g_assert(region < src->n_ram + src->n_disks);
    return shmig_region_pending_bytes(region_at(src, region));
}

void shmig_source_free(ShmigSource *src)
{
    if (!src) {
        return;
    }
    end_channels(src);
    join_channels(src);
    stop_tracker(src);
    for (unsigned i = 0; i < src->n_channels; i++) {
        shmig_source_channel_destroy(&src->channels[i]);
        if (i < src->n_joined) {
            shmig_link_close(&src->links[i]);
        }
    }
    if (src->stream_fd >= 0) {
        close(src->stream_fd);
    }
    if (src->tracker) {
        src->tracker->ops->free(src->tracker);
    }
    for (uint32_t i = 0; i < src->n_ram; i++) {
        shmig_region_free(src->ram[i].region);
    }
    for (uint32_t i = 0; i < src->n_disks; i++) {
        shmig_mirror_free(src->mirrors[i]);
        shmig_disk_free(src->disks[i].disk);
        shmig_region_free(src->disks[i].region);
    }
    shmig_fault_destroy(&src->fault);
    shmig_bucket_clear(&src->bucket);
    pthread_mutex_destroy(&src->lock);
    pthread_rwlock_destroy(&src->tracking_lock);
    pthread_cond_destroy(&src->cond);
    shmig_offer_free(src->offer);
    shmig_tls_creds_free(src->tls);
    g_free(src->links);
    g_free(src->channels);
    g_free(src->ram);
    g_free(src->disks);
    g_free(src->mirrors);
    g_free(src);
}
