/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every dirty tracker must pass. */
#include <string.h>
#include <sys/mman.h>

#include "dirty-conformance.h"

#define PAGE (1u << SHMIG_RAM_GRANULE_SHIFT)
#define MAX_CHANNELS 4

typedef struct Transfer {
    const DirtyWorld *world;
    unsigned n_channels;
    uint8_t **shadow;
    bool last; /* atomic: nothing becomes pending any more */
} Transfer;

typedef struct Channel {
    Transfer *transfer;
    unsigned index;
    uint64_t random;
    GThread *thread;
} Channel;

/* Of memory that a guest is writing: atomic, so that it is no data race. */
static void copy_pages(uint8_t *to, const uint8_t *from, uint64_t n)
{
    uint64_t *to_words = (uint64_t *)to;
    const uint64_t *from_words = (const uint64_t *)from;

    for (uint64_t i = 0; i < n * PAGE / 8; i++) {
        to_words[i] = __atomic_load_n(&from_words[i], __ATOMIC_RELAXED);
    }
}

/* Lets the others do something between two steps, now and then. */
static void maybe_yield(Channel *ch)
{
    ch->random = ch->random * 6364136223846793005u + 1;
    if (ch->random >> 62 == 0) {
        g_thread_yield();
    }
}

static void take_run(Channel *ch, unsigned r, uint64_t first, uint64_t n)
{
    const DirtyWorld *w = ch->transfer->world;
    uint64_t offset = first * PAGE;

    g_assert_cmpint(w->tracker->ops->clear(w->tracker, w->regions[r], first, n),
                    ==, 0);
    maybe_yield(ch);
    g_assert_cmpuint(shmig_region_clear(w->regions[r], first, n), ==, n);
    maybe_yield(ch);
    copy_pages(ch->transfer->shadow[r] + offset, w->bytes[r] + offset, n);
}

/* Whether there was anything to take. */
static bool take_stripe(Channel *ch, unsigned r, uint64_t stripe)
{
    ShmigRegion *region = ch->transfer->world->regions[r];
    uint64_t from = stripe * shmig_stripe_granules(region);
    uint64_t end = from + shmig_stripe_granules(region);
    uint64_t first, n;
    bool any = false;

    while ((n = shmig_region_find(region, from, end, 64, &first))) {
        take_run(ch, r, first, n);
        from = first + n;
        any = true;
    }
    return any;
}

static gpointer channel_thread(gpointer opaque)
{
    Channel *ch = opaque;
    Transfer *t = ch->transfer;
    bool last, any;

    do {
        last = __atomic_load_n(&t->last, __ATOMIC_ACQUIRE);
        any = false;
        for (unsigned r = 0; r < t->world->n_regions; r++) {
            ShmigRegion *region = t->world->regions[r];

            for (uint64_t s = 0; s < region->n_stripes; s++) {
                if (shmig_stripe_channel(region->id, s, t->n_channels) ==
                    ch->index) {
                    any |= take_stripe(ch, r, s);
                }
            }
        }
        if (!any) {
            g_thread_yield();
        }
    } while (any || !last);
    return NULL;
}

static uint64_t rounded_bytes(const ShmigRegion *region)
{
    return region->n_granules * PAGE;
}

static void make_shadow(Transfer *t)
{
    t->shadow = g_new0(uint8_t *, t->world->n_regions);
    for (unsigned r = 0; r < t->world->n_regions; r++) {
        t->shadow[r] =
            mmap(NULL, rounded_bytes(t->world->regions[r]),
                 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(t->shadow[r] != MAP_FAILED);
    }
}

static void compare_shadow(Transfer *t)
{
    for (unsigned r = 0; r < t->world->n_regions; r++) {
        ShmigRegion *region = t->world->regions[r];

        g_assert_cmpuint(region->pending_granules, ==, 0);
        for (uint64_t p = 0; p < region->n_granules; p++) {
            if (memcmp(t->shadow[r] + p * PAGE, t->world->bytes[r] + p * PAGE,
                       PAGE)) {
                g_error("region %u, page %" G_GUINT64_FORMAT ": a write was "
                        "missed",
                        region->id, p);
            }
        }
        munmap(t->shadow[r], rounded_bytes(region));
    }
    g_free(t->shadow);
}

static void harvest(const DirtyWorld *w, bool last)
{
    g_assert_cmpint(w->tracker->ops->harvest(w->tracker, last), >=, 0);
}

void dirty_conformance(const DirtyWorld *world, unsigned channels,
                       unsigned passes)
{
    Transfer t = { .world = world, .n_channels = channels };
    Channel ch[MAX_CHANNELS];
    g_autoptr(GError) err = NULL;

    g_assert_cmpuint(channels, <=, MAX_CHANNELS);
    make_shadow(&t);
    g_assert_true(world->tracker->ops->start(world->tracker, &err));
    g_assert_no_error(err);
    for (unsigned r = 0; r < world->n_regions; r++) {
        shmig_region_set(world->regions[r], 0, UINT64_MAX);
    }
    world->run(world->opaque);
    for (unsigned i = 0; i < channels; i++) {
        ch[i] = (Channel) { .transfer = &t, .index = i, .random = i };
        ch[i].thread = g_thread_new("channel", channel_thread, &ch[i]);
    }
    for (unsigned pass = 0; pass < passes || !world->enough(world->opaque);
         pass++) {
        if (world->churn) {
            world->churn(world->opaque, pass);
        }
        harvest(world, false);
    }
    world->halt(world->opaque);
    harvest(world, true);
    __atomic_store_n(&t.last, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < channels; i++) {
        g_thread_join(ch[i].thread);
    }
    world->tracker->ops->stop(world->tracker);
    compare_shadow(&t);
}
