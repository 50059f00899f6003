/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A source and a destination session in one process. */
#include "session-pair.h"
#include "psk-tls.h"
#include "shmig/dirty/generic.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS 10000

static uint8_t *map(uint64_t bytes)
{
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert(p != MAP_FAILED);
    return p;
}

static void set_flag(Pair *pair, bool *flag)
{
    pthread_mutex_lock(&pair->lock);
    *flag = true;
    pthread_cond_broadcast(&pair->cond);
    pthread_mutex_unlock(&pair->lock);
}

static void on_check(void *opaque, ShmigDest *dest, const ShmigOffer *offer,
                     GPtrArray *problems)
{
    Pair *pair = opaque;

    if (pair->problem) {
        g_ptr_array_add(problems, g_strdup(pair->problem));
        return;
    }
    for (unsigned i = 0; i < offer->disks->len; i++) {
        if (pair->dest_disk[i]) {
            shmig_dest_set_disk(dest, i, g_steal_pointer(&pair->dest_disk[i]));
        }
    }
}

static void on_connected(void *opaque, int stream_fd)
{
    Pair *pair = opaque;

    pair->dest_stream = stream_fd;
    set_flag(pair, &pair->connected);
}

static void on_drained(void *opaque)
{
    Pair *pair = opaque;

    set_flag(pair, &pair->drained);
}

static void on_commit(void *opaque)
{
    Pair *pair = opaque;

    set_flag(pair, &pair->commit);
}

static void on_failed(void *opaque, const GError *error)
{
    Pair *pair = opaque;

    pthread_mutex_lock(&pair->lock);
    g_assert_null(pair->dest_error);
    pair->dest_error = g_error_copy(error);
    pthread_mutex_unlock(&pair->lock);
    set_flag(pair, &pair->failed);
}

static const ShmigDestOps dest_ops = {
    .check = on_check,
    .connected = on_connected,
    .drained = on_drained,
    .commit = on_commit,
    .failed = on_failed,
};

Pair *pair_new(unsigned channels, bool tcp, uint64_t ram_bytes)
{
    Pair *pair = g_new0(Pair, 1);
    g_autoptr(GError) error = NULL;

    pair->channels = channels;
    pair->tcp = tcp;
    pair->ram_bytes = ram_bytes;
    pair->source_ram = map(ram_bytes);
    pair->dest_ram = map(ram_bytes);
    pair->source_stream = pair->dest_stream = pair->listener = -1;
    pthread_mutex_init(&pair->lock, NULL);
    shmig_cond_init(&pair->cond);
    pair->dest = shmig_dest_new(&dest_ops, pair, &error);
    g_assert_no_error(error);
    return pair;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void pair_free(Pair *pair)
{
    close_fd(&pair->source_stream);
    close_fd(&pair->listener);
    shmig_source_free(pair->source);
    shmig_dest_free(pair->dest);
    /* An event may have brought it up to here. */
    close_fd(&pair->dest_stream);
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        shmig_disk_free(pair->dest_disk[i]);
    }
    munmap(pair->source_ram, pair->ram_bytes);
    munmap(pair->dest_ram, pair->ram_bytes);
    g_clear_error(&pair->dest_error);
    pthread_mutex_destroy(&pair->lock);
    pthread_cond_destroy(&pair->cond);
    g_free(pair);
}

static int dial_tcp(Pair *pair, int *peer)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (pair->listener < 0) {
        pair->listener = socket(AF_INET, SOCK_STREAM, 0);
        g_assert_cmpint(bind(pair->listener, (void *)&addr, len), ==, 0);
        g_assert_cmpint(listen(pair->listener, 8), ==, 0);
    }
    g_assert_cmpint(getsockname(pair->listener, (void *)&addr, &len), ==, 0);
    g_assert_cmpint(connect(fd, (void *)&addr, len), ==, 0);
    *peer = accept(pair->listener, NULL, NULL);
    g_assert_cmpint(*peer, >=, 0);
    return fd;
}

int pair_dial(Pair *pair)
{
    int fds[2];

    if (pair->tcp) {
        fds[0] = dial_tcp(pair, &fds[1]);
    } else {
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    }
    shmig_dest_accept(pair->dest, fds[1]);
    return fds[0];
}

static void make_source(Pair *pair)
{
    ShmigOffer *offer = shmig_offer_new("fake-machine", pair->channels);
    g_autoptr(GError) error = NULL;

    shmig_offer_add_ram(offer, "ram0", pair->ram_bytes, pair->ram_bytes, 4096);
    for (unsigned i = 0; i < pair->n_disks; i++) {
        g_autofree char *id = g_strdup_printf("vd%c", 'a' + i);

        shmig_offer_add_disk(offer, id, "raw", "", pair->disk_bytes);
    }
    pair->source = shmig_source_new(offer, &error);
    g_assert_no_error(error);
    if (pair->tls) {
        shmig_source_set_tls(pair->source,
                             psk_creds_new((PskCreds) { .server = false }));
        shmig_dest_set_tls(pair->dest,
                           psk_creds_new((PskCreds) { .server = true }));
    }
}

bool pair_handshake(Pair *pair, GError **errp)
{
    make_source(pair);
    if (!shmig_source_handshake(pair->source, pair_dial(pair), TIMEOUT_MS,
                                errp)) {
        return false;
    }
    for (unsigned i = 1; i < pair->channels; i++) {
        if (!shmig_source_join(pair->source, pair_dial(pair), TIMEOUT_MS,
                               errp)) {
            return false;
        }
    }
    return true;
}

bool pair_start(Pair *pair, GError **errp)
{
    if (!pair_handshake(pair, errp)) {
        return false;
    }
    pair->source_stream = shmig_source_stream(pair->source);
    shmig_source_set_ram(pair->source, 0, pair->source_ram);
    for (unsigned i = 0; i < pair->n_disks; i++) {
        pair->mirror[i] =
            shmig_source_set_disk(pair->source, i, pair->source_disk[i]);
    }
    if (!pair->tracker) {
        ShmigRegion *region = shmig_source_ram_region(pair->source, 0);

        pair->tracker = shmig_generic_new(NULL, NULL, &region, 1);
    }
    shmig_source_set_tracker(pair->source, pair->tracker);
    pair_wait(pair, &pair->connected);
    shmig_dest_set_ram(pair->dest, 0, pair->dest_ram);
    if (!shmig_source_start(pair->source, errp)) {
        return false;
    }
    shmig_dest_go(pair->dest);
    return true;
}

void pair_start_ram(Pair *pair)
{
    ShmigRegion *region = shmig_source_ram_region(pair->source, 0);
    g_autoptr(GError) error = NULL;

    g_assert_true(shmig_source_start_ram(pair->source, &error));
    shmig_region_set(region, 0, region->n_granules);
}

bool pair_settle(Pair *pair, uint64_t below_bytes, GError **errp)
{
    ShmigPending p;

    do {
        if (!shmig_source_wait(pair->source, below_bytes, 1000, errp)) {
            return false;
        }
        shmig_source_pending(pair->source, &p);
    } while (p.ram_bytes + p.disk_bytes + p.queued_bytes >= below_bytes);
    return true;
}

static bool may_commit(void *opaque)
{
    Pair *pair = opaque;

    if (pair->before_commit) {
        pair->before_commit(pair);
    }
    return true;
}

/* The destination's management: loads, owns, runs. */
static void *dest_thread(void *opaque)
{
    Pair *pair = opaque;

    pair_wait(pair, &pair->drained);
    if (pair->drained) {
        shmig_dest_ready(pair->dest);
        pair_wait(pair, &pair->commit);
        if (pair->commit) {
            shmig_dest_running(pair->dest);
        }
    }
    return NULL;
}

ShmigCommit pair_switch_over(Pair *pair, GError **errp)
{
    ShmigCommit result = SHMIG_COMMIT_NOT_SENT;
    GThread *thread = g_thread_new("dest", dest_thread, pair);

    if (shmig_source_harvest(pair->source, true) >= 0 &&
        shmig_source_finish(pair->source, errp)) {
        result = shmig_source_commit(pair->source, may_commit, pair, errp);
    }
    if (result != SHMIG_COMMIT_DONE) {
        pair_wait(pair, &pair->failed);
    }
    g_thread_join(thread);
    return result;
}

void pair_wait(Pair *pair, const bool *event)
{
    gint64 until = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    pthread_mutex_lock(&pair->lock);
    while (!*event && !pair->failed) {
        g_assert_true(shmig_cond_wait_until(&pair->cond, &pair->lock, until));
    }
    pthread_mutex_unlock(&pair->lock);
}

const char *pair_dest_failure(Pair *pair)
{
    pair_wait(pair, &pair->failed);
    return pair->dest_error->message;
}
