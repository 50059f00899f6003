/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel refuses in the middle of a session is an error with a
 * sentence, on both sides: the source's process has a guest to keep.
 */
#include "raw-source.h"
#include "refusal.h"
#include "shmig/base/error.h"
#include "shmig/session/memory.h"

#include <string.h>

#define MIB (1u << 20)
#define DISK_BYTES (4 * MIB)

typedef struct Refused {
    const char *name;
    void (*refuse)(void);
    bool starts; /* and fails only then */
    const char *sentence;
} Refused;

static void no_register(void)
{
    refuse_call(SYS_io_uring_register, EPERM);
}

static void no_enter(void)
{
    refuse_call(SYS_io_uring_enter, EPERM);
}

static void no_setup(void)
{
    refuse_call(SYS_io_uring_setup, ENOMEM);
}

static void no_buffers(void)
{
    refuse_mapping(shmig_memory_source(2, false).buffer_bytes);
    refuse_mapping(shmig_memory_dest(2, false).buffer_bytes);
}

static const Refused refused[] = {
    { "thread", refuse_threads, false, "raise its limits on threads" },
    { "ring", no_setup, false, "RLIMIT_MEMLOCK" },
    { "ring-enable", no_register, true, "io_uring_register" },
    { "ring-enter", no_enter, true, "io_uring_enter" },
    { "buffer", no_buffers, false, "no buffer of" },
};

typedef struct World {
    const Refused *refused;
    Pair *pair;
    FakeDisk *disk[2];
} World;

static World world_new(const Refused *r)
{
    World w = { .refused = r, .pair = pair_new(2, false, MIB) };

    w.pair->n_disks = 1;
    w.pair->disk_bytes = DISK_BYTES;
    for (unsigned i = 0; i < 2; i++) {
        w.disk[i] = fake_disk_new(DISK_BYTES);
    }
    w.pair->source_disk[0] = fake_disk_base(w.disk[0]);
    w.pair->dest_disk[0] = fake_disk_base(w.disk[1]);
    return w;
}

static void world_free(World *w)
{
    pair_free(w->pair);
    fake_disk_unref(w->disk[0]);
    fake_disk_unref(w->disk[1]);
}

static void *start_source(void *opaque)
{
    World *w = opaque;
    ShmigSource *source = w->pair->source;
    g_autoptr(GError) error = NULL;
    bool ok;

    w->refused->refuse();
    ok = shmig_source_start(source, &error);
    g_assert_cmpint(ok, ==, w->refused->starts);
    if (ok) {
        g_assert_false(shmig_source_finish(source, &error));
    }
    g_assert_error(error, SHMIG_ERROR, SHMIG_ERROR_SYSTEM);
    g_assert_nonnull(strstr(error->message, w->refused->sentence));
    return NULL;
}

static void test_source(gconstpointer opaque)
{
    World w = world_new(opaque);
    g_autoptr(GError) error = NULL;

    g_assert_true(pair_handshake(w.pair, &error));
    shmig_source_set_ram(w.pair->source, 0, w.pair->source_ram);
    shmig_source_set_disk(w.pair->source, 0, w.pair->source_disk[0]);
    g_thread_join(g_thread_new("start", start_source, &w));
    shmig_source_free(g_steal_pointer(&w.pair->source));
    pair_dest_failure(w.pair);
    world_free(&w);
}

/* The thread of the last connection starts the destination's channels. */
static void *dial_last(void *opaque)
{
    World *w = opaque;
    g_autoptr(GError) error = NULL;

    w->refused->refuse();
    if (!pair_handshake(w->pair, &error)) {
        return NULL;
    }
    pair_wait(w->pair, &w->pair->failed);
    return NULL;
}

static void test_dest(gconstpointer opaque)
{
    World w = world_new(opaque);

    g_thread_join(g_thread_new("dial", dial_last, &w));
    g_assert_nonnull(strstr(pair_dest_failure(w.pair), w.refused->sentence));
    shmig_disk_free(w.pair->source_disk[0]);
    world_free(&w);
}

static void *dial_threadless(void *opaque)
{
    RawSource *raw = opaque;
    RawPeer peer;
    char byte;

    refuse_threads();
    peer = raw_source_dial(raw);
    g_assert_false(raw_read(&peer, &byte, 1));
    raw_peer_close(&peer);
    return NULL;
}

/* It is closed, and the next one, when there are threads again, is not. */
static void test_door(void)
{
    RawSource *raw = raw_source_new(2, false);

    g_thread_join(g_thread_new("dial", dial_threadless, raw));
    raw_source_joined(raw);
    raw_source_free(raw);
}

static void *new_threadless(void *opaque)
{
    static const ShmigDestOps none = { 0 };
    g_autoptr(GError) error = NULL;

    refuse_threads();
    g_assert_null(shmig_dest_new(&none, NULL, &error));
    g_assert_error(error, SHMIG_ERROR, SHMIG_ERROR_SYSTEM);
    return NULL;
}

static void test_events(void)
{
    g_thread_join(g_thread_new("new", new_threadless, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *source =
            g_strconcat("/session/refused/source/", refused[i].name, NULL);
        g_autofree char *dest =
            g_strconcat("/session/refused/dest/", refused[i].name, NULL);

        g_test_add_data_func(source, &refused[i], test_source);
        if (strcmp(refused[i].name, "thread")) {
            g_test_add_data_func(dest, &refused[i], test_dest);
        }
    }
    g_test_add_func("/session/refused/door", test_door);
    g_test_add_func("/session/refused/events", test_events);
    return g_test_run();
}
