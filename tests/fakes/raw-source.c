/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A source made of raw peers, against a real destination. */
#include "raw-source.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define RAM_PAGES ((RAW_RAM_BYTES + PAGE - 1) / PAGE * PAGE)
#define SESSION 0x42

ShmigRecord raw_record(uint32_t region, uint8_t kind, uint64_t offset,
                       uint64_t length)
{
    return (ShmigRecord) { region, kind, offset, length };
}

RawSource *raw_source_new(unsigned channels, bool tcp)
{
    RawSource *raw = g_new0(RawSource, 1);

    g_assert_cmpuint(channels, <=, RAW_SOURCE_CHANNELS);
    raw->channels = channels;
    raw->pair = pair_new(channels, tcp, RAW_RAM_BYTES);
    raw->disk = fake_disk_new(RAW_DISK_BYTES);
    raw->pair->dest_disk[0] = fake_disk_base(raw->disk);
    raw->map = mmap(NULL, RAM_PAGES + 2 * PAGE, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(raw->map != MAP_FAILED);
    raw->ram = raw->map + PAGE;
    g_assert_cmpint(mprotect(raw->ram, RAM_PAGES, PROT_READ | PROT_WRITE), ==,
                    0);
    memset(raw->ram, RAW_OLD, RAM_PAGES);
    for (unsigned i = 0; i < RAW_SOURCE_CHANNELS; i++) {
        raw->peer[i].fd = -1;
    }
    return raw;
}

void raw_source_free(RawSource *raw)
{
    for (unsigned i = 0; i < RAW_SOURCE_CHANNELS; i++) {
        raw_peer_close(&raw->peer[i]);
    }
    pair_free(raw->pair);
    fake_disk_unref(raw->disk);
    munmap(raw->map, RAM_PAGES + 2 * PAGE);
    g_free(raw);
}

ShmigOffer *raw_source_offer(unsigned channels)
{
    ShmigOffer *offer = shmig_offer_new("fake-machine", channels);

    shmig_offer_add_ram(offer, "ram0", RAW_RAM_BYTES, RAW_RAM_BYTES, PAGE);
    shmig_offer_add_disk(offer, "vda", "raw", "", RAW_DISK_BYTES);
    return offer;
}

RawPeer raw_source_dial(RawSource *raw)
{
    return raw_peer(pair_dial(raw->pair));
}

void raw_source_hello(RawSource *raw, unsigned channel)
{
    ShmigHello hello = raw_hello(SESSION, channel, raw->channels), reply;

    raw->peer[channel] = raw_source_dial(raw);
    g_assert_true(raw_send_hello(&raw->peer[channel], &hello));
    g_assert_true(raw_recv_hello(&raw->peer[channel], &reply));
    g_assert_false(reply.refused);
    g_assert_cmpmem(reply.session, sizeof(reply.session), hello.session,
                    sizeof(hello.session));
    g_assert_cmpuint(reply.channel, ==, channel);
    g_assert_cmpuint(reply.channels, ==, raw->channels);
}

void raw_source_offered(RawSource *raw)
{
    g_autoptr(ShmigOffer) offer = raw_source_offer(raw->channels);
    g_autofree char *problems = NULL;

    raw_source_hello(raw, 0);
    g_assert_true(raw_send_offer(&raw->peer[0], offer));
    problems = raw_expect_answer(&raw->peer[0]);
    g_assert_cmpstr(problems, ==, "");
}

void raw_source_joined(RawSource *raw)
{
    raw_source_offered(raw);
    for (unsigned i = 1; i < raw->channels; i++) {
        raw_source_hello(raw, i);
    }
    pair_wait(raw->pair, &raw->pair->connected);
    g_assert_true(raw->pair->connected);
}

void raw_source_going(RawSource *raw)
{
    raw_source_joined(raw);
    shmig_dest_set_ram(raw->pair->dest, 0, raw->ram);
    shmig_dest_go(raw->pair->dest);
    raw_expect(&raw->peer[0], SHMIG_FRAME_GO);
}

void raw_source_drained(RawSource *raw)
{
    ShmigFrame drain = {
        .type = SHMIG_FRAME_DRAIN,
        .flags = SHMIG_FRAME_FINAL,
        .value = 1,
    };

    raw_source_going(raw);
    for (unsigned i = 0; i < raw->channels; i++) {
        ShmigFrame answer;

        g_assert_true(raw_send(&raw->peer[i], drain, NULL));
        answer = raw_expect(&raw->peer[i], SHMIG_FRAME_DRAINED);
        g_assert_cmpuint(answer.flags, ==, SHMIG_FRAME_FINAL);
        g_assert_cmpuint(answer.value, ==, 1);
    }
    pair_wait(raw->pair, &raw->pair->drained);
}

void raw_source_ready(RawSource *raw)
{
    raw_source_drained(raw);
    shmig_dest_ready(raw->pair->dest);
    raw_expect(&raw->peer[0], SHMIG_FRAME_READY);
}

bool raw_source_saw(RawSource *raw, const bool *event)
{
    bool saw;

    pthread_mutex_lock(&raw->pair->lock);
    saw = *event;
    pthread_mutex_unlock(&raw->pair->lock);
    return saw;
}

void raw_source_expect_failure(RawSource *raw, const char *sentence)
{
    const char *failure = pair_dest_failure(raw->pair);

    if (!strstr(failure, sentence)) {
        g_error("the destination said \"%s\" instead of \"%s\"", failure,
                sentence);
    }
}

void raw_source_expect_told(RawSource *raw, const char *sentence)
{
    raw_source_expect_failure(raw, sentence);
    for (unsigned i = 0; i < raw->channels; i++) {
        if (raw->peer[i].fd >= 0) {
            g_autofree char *words = raw_last_words(&raw->peer[i]);

            g_assert_cmpstr(words, ==, pair_dest_failure(raw->pair));
        }
    }
}

void raw_source_end(RawSource *raw)
{
    for (unsigned i = 0; i < RAW_SOURCE_CHANNELS; i++) {
        raw_peer_close(&raw->peer[i]);
    }
    shmig_dest_free(g_steal_pointer(&raw->pair->dest));
}

void raw_source_expect_untouched(RawSource *raw)
{
    g_autofree uint8_t *old = g_malloc(RAM_PAGES);

    raw_source_end(raw);
    memset(old, RAW_OLD, RAM_PAGES);
    g_assert_cmpint(memcmp(raw->ram, old, RAM_PAGES), ==, 0);
    g_assert_cmpuint(fake_disk_calls(raw->disk, SHMIG_DISK_WRITE), ==, 0);
    g_assert_cmpuint(fake_disk_calls(raw->disk, SHMIG_DISK_ZERO), ==, 0);
}
