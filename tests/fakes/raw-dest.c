/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A destination made of raw peers, against a real source. */
#include "raw-dest.h"
#include "shmig/dirty/generic.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static bool yes(void *opaque)
{
    return true;
}

static bool handshakes(RawDest *raw)
{
    for (unsigned i = 0; i < raw->channels; i++) {
        int fd = raw->fds[i];

        raw->fds[i] = -1;
        if (!(i ? shmig_source_join : shmig_source_handshake)(
                raw->source, fd, raw->timeout_ms, &raw->error)) {
            return false;
        }
    }
    return true;
}

/* What QEMU does with the source, without a guest that runs. */
static void *source_thread(void *opaque)
{
    RawDest *raw = opaque;
    ShmigRegion *region = shmig_source_ram_region(raw->source, 0);

    raw->result = SHMIG_COMMIT_NOT_SENT;
    if (!handshakes(raw) || !shmig_source_start(raw->source, &raw->error)) {
        return NULL;
    }
    if (raw->started) {
        raw->started(raw);
    }
    if (raw->by_hand) {
        return NULL;
    }
    if (!shmig_source_start_ram(raw->source, &raw->error)) {
        return NULL;
    }
    shmig_region_set(region, 0, region->n_granules);
    g_assert_cmpint(shmig_source_harvest(raw->source, true), >=, 0);
    if (shmig_source_finish(raw->source, &raw->error)) {
        raw->result = shmig_source_commit(raw->source, yes, NULL, &raw->error);
    }
    return NULL;
}

static void make_source(RawDest *raw, FakeDisk *disk, uint64_t disk_bytes)
{
    ShmigOffer *offer = shmig_offer_new("fake-machine", raw->channels);
    g_autoptr(GError) error = NULL;
    ShmigRegion *region;

    shmig_offer_add_ram(offer, "ram0", RAW_DEST_RAM, RAW_DEST_RAM, 4096);
    if (disk) {
        shmig_offer_add_disk(offer, "vda", "raw", "", disk_bytes);
    }
    raw->source = shmig_source_new(offer, &error);
    g_assert_no_error(error);
    region = shmig_source_ram_region(raw->source, 0);
    shmig_source_set_ram(raw->source, 0, raw->ram);
    if (disk) {
        raw->mirror =
            shmig_source_set_disk(raw->source, 0, fake_disk_base(disk));
    }
    shmig_source_set_tracker(raw->source,
                             shmig_generic_new(NULL, NULL, &region, 1));
    raw->stream = shmig_source_stream(raw->source);
}

static RawDest *new (unsigned channels, int timeout_ms,
                     void (*started)(RawDest *raw), FakeDisk *disk,
                     uint64_t disk_bytes)
{
    RawDest *raw = g_new0(RawDest, 1);

    g_assert_cmpuint(channels, <=, RAW_DEST_CHANNELS);
    raw->channels = channels;
    raw->timeout_ms = timeout_ms;
    raw->started = started;
    raw->ram = mmap(NULL, RAW_DEST_RAM, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(raw->ram != MAP_FAILED);
    memset(raw->ram, 0x77, RAW_DEST_RAM / 2);
    for (unsigned i = 0; i < channels; i++) {
        int fds[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
        raw->fds[i] = fds[0];
        raw->peer[i] = raw_peer(fds[1]);
    }
    raw->by_hand = disk != NULL;
    make_source(raw, disk, disk_bytes);
    raw->thread = g_thread_new("source", source_thread, raw);
    return raw;
}

RawDest *raw_dest_new_with(unsigned channels, int timeout_ms,
                           void (*started)(RawDest *raw))
{
    return new (channels, timeout_ms, started, NULL, 0);
}

RawDest *raw_dest_new_disk(unsigned channels, FakeDisk *disk,
                           uint64_t disk_bytes)
{
    return new (channels, 60000, NULL, disk, disk_bytes);
}

RawDest *raw_dest_new(unsigned channels)
{
    return raw_dest_new_with(channels, 60000, NULL);
}

void raw_dest_free(RawDest *raw)
{
    raw_dest_end(raw);
    shmig_source_free(raw->source);
    for (unsigned i = 0; i < raw->channels; i++) {
        raw_peer_close(&raw->peer[i]);
        if (raw->fds[i] >= 0) {
            close(raw->fds[i]);
        }
    }
    close(raw->stream);
    munmap(raw->ram, RAW_DEST_RAM);
    g_clear_error(&raw->error);
    g_free(raw);
}

ShmigHello raw_dest_heard(RawDest *raw, unsigned channel)
{
    ShmigHello hello;

    g_assert_true(raw_recv_hello(&raw->peer[channel], &hello));
    g_assert_cmpuint(hello.channel, ==, channel);
    g_assert_cmpuint(hello.channels, ==, raw->channels);
    g_assert_false(hello.refused);
    if (channel) {
        g_assert_cmpmem(hello.session, sizeof(hello.session),
                        raw->hello.session, sizeof(hello.session));
    } else {
        raw->hello = hello;
    }
    return hello;
}

static void greet(RawDest *raw, unsigned channel)
{
    ShmigHello hello = raw_dest_heard(raw, channel);

    g_assert_true(raw_send_hello(&raw->peer[channel], &hello));
}

void raw_dest_listening(RawDest *raw)
{
}

void raw_dest_greeted(RawDest *raw)
{
    greet(raw, 0);
}

void raw_dest_offered(RawDest *raw)
{
    raw_dest_greeted(raw);
    raw_expect(&raw->peer[0], SHMIG_FRAME_OFFER);
}

void raw_dest_answer(RawDest *raw, const char *problems)
{
    g_auto(GStrv) lines = g_strsplit(problems, "\n", 0);
    g_autoptr(GPtrArray) array = g_ptr_array_new();
    g_autoptr(GBytes) body = NULL;
    ShmigFrame frame = { .type = SHMIG_FRAME_ANSWER };

    for (unsigned i = 0; lines[i]; i++) {
        g_ptr_array_add(array, lines[i]);
    }
    body = shmig_answer_encode(array);
    frame.body = g_bytes_get_size(body);
    raw_send(&raw->peer[0], frame, g_bytes_get_data(body, NULL));
}

void raw_dest_answered(RawDest *raw)
{
    raw_dest_offered(raw);
    raw_dest_answer(raw, "");
}

void raw_dest_joined(RawDest *raw)
{
    raw_dest_answered(raw);
    for (unsigned i = 1; i < raw->channels; i++) {
        greet(raw, i);
    }
}

void raw_dest_going(RawDest *raw)
{
    raw_dest_joined(raw);
    g_assert_true(raw_send_type(&raw->peer[0], SHMIG_FRAME_GO));
}

void raw_dest_asked(RawDest *raw)
{
    raw_dest_going(raw);
    for (unsigned i = 0; i < raw->channels; i++) {
        ShmigFrame frame = raw_expect(&raw->peer[i], SHMIG_FRAME_DRAIN);

        g_assert_cmpuint(frame.flags, ==, SHMIG_FRAME_FINAL);
        g_assert_cmpuint(frame.value, ==, 1);
    }
}

void raw_dest_say_drained(RawDest *raw, unsigned channel)
{
    ShmigFrame frame = {
        .type = SHMIG_FRAME_DRAINED,
        .flags = SHMIG_FRAME_FINAL,
        .value = 1,
    };

    g_assert_true(raw_send(&raw->peer[channel], frame, NULL));
}

void raw_dest_drained(RawDest *raw)
{
    raw_dest_asked(raw);
    for (unsigned i = 0; i < raw->channels; i++) {
        raw_dest_say_drained(raw, i);
    }
}

void raw_dest_ready(RawDest *raw)
{
    raw_dest_drained(raw);
    g_assert_true(raw_send_type(&raw->peer[0], SHMIG_FRAME_READY));
}

void raw_dest_committed(RawDest *raw)
{
    raw_dest_ready(raw);
    raw_expect(&raw->peer[0], SHMIG_FRAME_COMMIT);
}

void raw_dest_running(RawDest *raw)
{
    raw_dest_committed(raw);
    g_assert_true(raw_send_type(&raw->peer[0], SHMIG_FRAME_RUNNING));
}

void raw_dest_end(RawDest *raw)
{
    if (raw->thread) {
        g_thread_join(g_steal_pointer(&raw->thread));
    }
}

void raw_dest_expect(RawDest *raw, ShmigCommit result, const char *sentence)
{
    raw_dest_end(raw);
    g_assert_cmpint(raw->result, ==, result);
    g_assert_nonnull(raw->error);
    if (!strstr(raw->error->message, sentence)) {
        g_error("the source said \"%s\" instead of \"%s\"", raw->error->message,
                sentence);
    }
}

void raw_dest_expect_told(RawDest *raw, ShmigCommit result,
                          const char *sentence)
{
    raw_dest_expect(raw, result, sentence);
    for (unsigned i = 0; i < raw->channels; i++) {
        if (raw->peer[i].fd >= 0) {
            g_autofree char *words = raw_last_words(&raw->peer[i]);

            if (i > 0 && result == SHMIG_COMMIT_UNKNOWN) {
                /* It could overtake COMMIT. */
                g_assert_null(words);
                continue;
            }
            g_assert_nonnull(words);
            g_assert_nonnull(strstr(raw->error->message, words));
        }
    }
}
