/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The door: TLS, hello and offer of each connection that comes in, on a thread
 * of its own that never outlives its deadline, so that a peer that says nothing
 * keeps nobody else out.
 */
#include "shmig/session/dest-internal.h"
#include "shmig/base/error.h"
#include "shmig/io/socket.h"
#include "shmig/io/sync.h"
#include "shmig/wire/text.h"
#include "shmig/wire/tls-record.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

int64_t shmig_dest_hello_deadline(const ShmigDest *dest)
{
    return g_get_monotonic_time() + dest->hello_us;
}

static bool reply(ShmigDest *dest, const ShmigLink *link,
                  const ShmigHello *theirs, const char *refusal,
                  int64_t deadline_us)
{
    ShmigHello ours = {
        .version_min = SHMIG_VERSION_MIN,
        .version_max = SHMIG_VERSION_MAX,
        .refused = refusal != NULL,
        .channel = theirs->channel,
        .channels = theirs->channels,
    };

    memcpy(ours.session, theirs->session, sizeof(ours.session));
    if (!shmig_sync_send_hello(link, &ours, deadline_us, NULL)) {
        return false;
    }
    if (refusal) {
        g_autoptr(GBytes) body = g_bytes_new(refusal, strlen(refusal));

        g_message("a connection was refused: %s", refusal);
        shmig_sync_send_frame(link, SHMIG_FRAME_ERROR, 0, body, deadline_us,
                              NULL);
        /* Let the peer read it: closing with bytes unread would reset. */
        shmig_sync_end(link, deadline_us);
    }
    return true;
}

/* With the lock held: NULL if channel 0 of a new session may come in. */
static const char *refuse_first(ShmigDest *dest)
{
    switch (dest->state) {
    case SHMIG_DEST_LISTENING:
        return NULL;
    case SHMIG_DEST_FAILED:
        return "the destination's migration has failed before; restart its "
               "QEMU to try again";
    default:
        return "another migration to this destination is under way";
    }
}

/* With the lock held. */
static const char *refuse_further(ShmigDest *dest, const ShmigHello *hello)
{
    if (dest->state != SHMIG_DEST_JOINING ||
        memcmp(dest->session, hello->session, sizeof(dest->session))) {
        return "this channel belongs to no migration that is under way here";
    }
    if (hello->channels != dest->n_channels ||
        hello->channel != dest->n_admitted) {
        return "the channels of a migration come in their order";
    }
    return NULL;
}

static void take_offer(ShmigDest *dest, ShmigOffer *offer)
{
    dest->offer = offer;
    dest->n_ram = offer->ram->len;
    dest->n_disks = offer->disks->len;
    dest->n_regions = dest->n_ram + dest->n_disks;
    dest->regions = g_new0(ShmigRegionInfo, dest->n_regions);
    dest->hosts = g_new0(uint8_t *, dest->n_ram);
    dest->disks = g_new0(ShmigDisk *, dest->n_disks);
    for (uint32_t i = 0; i < dest->n_ram; i++) {
        ShmigOfferRam *r = g_ptr_array_index(offer->ram, i);

        dest->regions[i].length_bytes = r->used_bytes;
    }
    for (uint32_t i = 0; i < dest->n_disks; i++) {
        ShmigOfferDisk *d = g_ptr_array_index(offer->disks, i);

        dest->regions[dest->n_ram + i].disk = true;
        dest->regions[dest->n_ram + i].length_bytes = d->size_bytes;
    }
}

static void drop_offer(ShmigDest *dest)
{
    for (uint32_t i = 0; i < dest->n_disks; i++) {
        shmig_disk_free(dest->disks[i]);
    }
    g_clear_pointer(&dest->disks, g_free);
    g_clear_pointer(&dest->hosts, g_free);
    g_clear_pointer(&dest->regions, g_free);
    g_clear_pointer(&dest->offer, shmig_offer_free);
    dest->n_ram = dest->n_disks = dest->n_regions = 0;
}

/*
 * With ops_lock held: ops->failed was not told, and is not before it is
 * released, so that it stays the last call.
 */
static bool may_ask_owner(ShmigDest *dest)
{
    bool may;

    pthread_mutex_lock(&dest->lock);
    may = dest->state == SHMIG_DEST_OFFERED && !dest->closing;
    pthread_mutex_unlock(&dest->lock);
    return may;
}

static bool ask_owner(ShmigDest *dest, GPtrArray *problems)
{
    bool may;

    pthread_mutex_lock(&dest->ops_lock);
    may = may_ask_owner(dest);
    if (may) {
        dest->ops->check(dest->opaque, dest, dest->offer, problems);
    }
    pthread_mutex_unlock(&dest->ops_lock);
    return may;
}

static void check(ShmigDest *dest, const ShmigHello *hello, GPtrArray *problems)
{
    if (dest->offer->channels != hello->channels) {
        g_ptr_array_add(
            problems,
            g_strdup(
                "the offer and the hello name different numbers of channels"));
        return;
    }
    if (!ask_owner(dest, problems)) {
        return; /* the session's error is the problem */
    }
    for (uint32_t i = 0; !problems->len && i < dest->n_disks; i++) {
        ShmigOfferDisk *d = g_ptr_array_index(dest->offer->disks, i);

        if (!dest->disks[i]) {
            g_ptr_array_add(
                problems,
                g_strdup_printf("disk \"%s\": the destination has no such disk",
                                d->id));
        }
    }
}

/* Receives and checks the offer: its problems, or NULL if none came. */
static GPtrArray *receive_offer(ShmigDest *dest, const ShmigLink *link,
                                const ShmigHello *hello)
{
    int64_t deadline_us = shmig_dest_hello_deadline(dest);
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) body = NULL;
    GPtrArray *problems;
    ShmigOffer *offer;
    const void *data;
    gsize bytes;

    body =
        shmig_sync_recv_frame(link, SHMIG_FRAME_OFFER, 0, deadline_us, &error);
    if (!body) {
        g_message("a connection ended before its offer: %s", error->message);
        return NULL;
    }
    problems = g_ptr_array_new_with_free_func(g_free);
    data = g_bytes_get_data(body, &bytes);
    offer = shmig_offer_decode(data, bytes, &error);
    if (offer) {
        take_offer(dest, offer);
        check(dest, hello, problems);
    } else {
        g_ptr_array_add(problems, g_strdup(error->message));
    }
    for (guint i = 0; i < problems->len; i++) {
        g_message("an offer was refused: %s",
                  (char *)g_ptr_array_index(problems, i));
    }
    return problems;
}

static bool answer(ShmigDest *dest, const ShmigLink *link,
                   const GPtrArray *problems)
{
    g_autoptr(GBytes) body = shmig_answer_encode(problems);

    return shmig_sync_send_frame(link, SHMIG_FRAME_ANSWER, 0, body,
                                 shmig_dest_hello_deadline(dest), NULL);
}

/* With the lock held; an abort that came meanwhile stays. */
static void listen_again(ShmigDest *dest)
{
    if (dest->state == SHMIG_DEST_OFFERED) {
        shmig_dest_set_state(dest, SHMIG_DEST_LISTENING);
    }
}

void shmig_dest_fail_text(ShmigDest *dest, ShmigErrorCode code,
                          const char *text)
{
    shmig_dest_fail(dest, g_error_new_literal(SHMIG_ERROR, code, text));
}

/*
 * The offer was looked at: begins a session or goes back to where we were.
 * The session is there to join before the answer lets the source do so.
 */
static bool take_source(ShmigDest *dest, const ShmigLink *link,
                        const ShmigHello *hello, GPtrArray *problems)
{
    g_autoptr(GError) fault = shmig_fault_get(&dest->fault);
    bool ok;

    if (problems && fault) {
        g_ptr_array_add(problems, g_strdup(fault->message));
    }
    if (problems && !problems->len) {
        dest->join_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (dest->join_fd < 0) {
            g_ptr_array_add(
                problems,
                g_strdup_printf("the destination has no eventfd left: %s",
                                g_strerror(errno)));
        }
    }
    ok = problems && !problems->len;
    if (ok) {
        memcpy(dest->session, hello->session, sizeof(dest->session));
        dest->n_channels = hello->channels;
        dest->links = g_new(ShmigLink, hello->channels);
        for (unsigned i = 0; i < hello->channels; i++) {
            dest->links[i] = SHMIG_NO_LINK;
        }
        dest->links[0] = *link;
        dest->n_admitted = dest->n_joined = 1;
        shmig_dest_set_state(dest, SHMIG_DEST_JOINING);
    } else {
        drop_offer(dest);
        listen_again(dest);
    }
    return ok;
}

static bool first_channel(ShmigDest *dest, const ShmigLink *link,
                          const ShmigHello *hello)
{
    g_autoptr(GPtrArray) problems = receive_offer(dest, link, hello);
    bool ok;

    pthread_mutex_lock(&dest->lock);
    ok = take_source(dest, link, hello, problems);
    pthread_mutex_unlock(&dest->lock);
    if (problems && !answer(dest, link, problems) && ok) {
        shmig_dest_fail_text(dest, SHMIG_ERROR_LOST,
                             "the source was lost while it was answered");
    }
    return ok;
}

/* NULL if the connection may come in, which is noted; or why not. */
static const char *admit(ShmigDest *dest, const ShmigHello *hello)
{
    const char *refusal;

    pthread_mutex_lock(&dest->lock);
    if (hello->refused) {
        refusal = "a hello that refuses, though nobody asked for anything";
    } else if (hello->version_min > SHMIG_VERSION_MAX ||
               hello->version_max < SHMIG_VERSION_MIN) {
        refusal = "the destination speaks version 1 of the shmig protocol "
                  "only";
    } else {
        refusal =
            hello->channel ? refuse_further(dest, hello) : refuse_first(dest);
    }
    if (!refusal && !hello->channel) {
        shmig_dest_set_state(dest, SHMIG_DEST_OFFERED);
    } else if (!refusal) {
        dest->n_admitted++;
    }
    pthread_mutex_unlock(&dest->lock);
    return refusal;
}

/* It was admitted and could not be told. */
static void lose(ShmigDest *dest, unsigned channel)
{
    if (channel) {
        shmig_dest_fail_text(
            dest, SHMIG_ERROR_LOST,
            "the source was lost while it opened its channels");
    } else {
        pthread_mutex_lock(&dest->lock);
        listen_again(dest);
        pthread_mutex_unlock(&dest->lock);
    }
}

static bool further_channel(ShmigDest *dest, const ShmigLink *link,
                            unsigned channel)
{
    bool ok;

    pthread_mutex_lock(&dest->lock);
    ok = dest->state == SHMIG_DEST_JOINING;
    if (ok) {
        dest->links[channel] = *link;
        dest->n_joined++;
        shmig_dest_tell_joins(dest);
    }
    pthread_mutex_unlock(&dest->lock);
    return ok;
}

/* What came is no hello; perhaps the peer understands that. */
static void refuse_malformed(ShmigDest *dest, const ShmigLink *link,
                             const char *why)
{
    /* What a refusal repeats when there is nothing to repeat. */
    ShmigHello nothing = { .channels = 1 };

    reply(dest, link, &nothing, why, shmig_dest_hello_deadline(dest));
}

/*
 * What is said before a hello.  False: there is nobody to talk to.  *@refusal
 * is set if the peer does not get in, whatever its hello is.
 */
static bool secure(ShmigDest *dest, ShmigLink *link, int64_t deadline_us,
                   char **refusal, GError **errp)
{
    g_autoptr(GError) unknown = NULL;
    uint8_t first;

    if (!shmig_sync_peek(link, &first, deadline_us, errp)) {
        return false;
    }
    if (!dest->tls) {
        if (shmig_tls_record_is_client(first)) {
            *refusal = g_strdup("the destination does not use TLS");
        }
        return true;
    }
    if (!shmig_tls_record_is_client(first)) {
        *refusal = g_strdup("the destination takes connections with TLS only; "
                            "set tls-creds on the source");
        return true;
    }
    link->tls = dest->tls->ops->connect(dest->tls, errp);
    if (!link->tls || !shmig_sync_handshake(link, deadline_us, errp)) {
        return false;
    }
    if (!link->tls->ops->check(link->tls, &unknown)) {
        g_autofree char *text = g_strdup_printf(
            "the destination does not admit the source: %s", unknown->message);

        /* It may quote the certificate of somebody we do not know. */
        *refusal = shmig_text_clean(text, strlen(text));
    }
    return true;
}

/* The hello: what is wrong with it was said, if that helps. */
static bool receive_hello(ShmigDest *dest, const ShmigLink *link,
                          ShmigHello *hello, const char *refusal,
                          int64_t deadline_us)
{
    g_autoptr(GError) error = NULL;

    if (shmig_sync_recv_hello(link, hello, deadline_us, &error)) {
        return true;
    }
    if (error->code == SHMIG_ERROR_PROTOCOL) {
        refuse_malformed(dest, link, refusal ? refusal : error->message);
    } else {
        g_message("a connection was closed: %s", error->message);
    }
    return false;
}

/* Whether the connection is kept, and whether it is the session's first. */
static bool let_in(ShmigDest *dest, ShmigLink *link, bool *first)
{
    int64_t deadline_us = shmig_dest_hello_deadline(dest);
    g_autoptr(GError) error = NULL;
    g_autofree char *unwanted = NULL;
    const char *refusal;
    ShmigHello hello;

    if (!secure(dest, link, deadline_us, &unwanted, &error)) {
        g_message("a connection was closed: %s", error->message);
        return false;
    }
    if (!receive_hello(dest, link, &hello, unwanted, deadline_us)) {
        return false;
    }
    refusal = unwanted ? unwanted : admit(dest, &hello);
    if (!reply(dest, link, &hello, refusal, deadline_us) && !refusal) {
        lose(dest, hello.channel);
        return false;
    }
    if (refusal) {
        return false;
    }
    *first = !hello.channel;
    return *first ? first_channel(dest, link, &hello)
                  : further_channel(dest, link, hello.channel);
}

void *shmig_dest_door(void *opaque)
{
    g_autofree ShmigDestDoor *door = opaque;
    ShmigDest *dest = door->dest;
    ShmigLink link = { .fd = door->fd };
    bool first = false;
    bool kept;

    shmig_socket_prepare(door->fd);
    kept = let_in(dest, &link, &first);

    pthread_mutex_lock(&dest->lock);
    g_hash_table_remove(dest->doors, GINT_TO_POINTER(door->fd));
    pthread_mutex_unlock(&dest->lock);
    if (!kept) {
        shmig_link_close(&link);
    } else if (first) {
        shmig_dest_gather(dest);
    }
    pthread_mutex_lock(&dest->lock);
    dest->n_doors--;
    pthread_cond_broadcast(&dest->cond);
    pthread_mutex_unlock(&dest->lock);
    return NULL;
}
