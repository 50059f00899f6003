/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole sessions in one process: what was in memory at the source is at the
 * destination, byte by byte. */
#include "session-pair.h"
#include "shmig/dirty/generic.h"

#include <string.h>
#include <unistd.h>

#define MIB (1u << 20)

static void fill(uint8_t *p, uint64_t bytes, uint32_t seed)
{
    uint64_t x = seed * 2654435761u + 1;

    for (uint64_t i = 0; i < bytes / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ((uint64_t *)p)[i] = x;
    }
}

typedef struct Shape {
    const char *name;
    unsigned channels;
    bool tcp;
    bool tls;
} Shape;

static const Shape shapes[] = {
    { "socketpair/1", 1, false }, { "socketpair/4", 4, false },
    { "tcp/1", 1, true },         { "tcp/4", 4, true },
    { "tls/1", 1, true, true },   { "tls/4", 4, true, true },
};

static void test_idle_ram(gconstpointer opaque)
{
    const Shape *shape = opaque;
    Pair *pair = pair_new(shape->channels, shape->tcp, 64 * MIB + 4096);
    g_autoptr(GError) error = NULL;

    pair->tls = shape->tls;
    fill(pair->source_ram + 3 * MIB, 20 * MIB, 1);
    fill(pair->source_ram + 64 * MIB, 4096, 2);
    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    g_assert_true(pair_settle(pair, 1, &error));
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_no_error(error);
    g_assert_cmpmem(pair->source_ram, pair->ram_bytes, pair->dest_ram,
                    pair->ram_bytes);
    pair_free(pair);
}

typedef struct Writer {
    Pair *pair;
    int stop;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned batches; /* of 64 writes; under the lock,  tells of it */
} Writer;

static void *writer_thread(void *opaque)
{
    Writer *w = opaque;
    ShmigRegion *region = shmig_source_ram_region(w->pair->source, 0);
    uint32_t x = 1;

    while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        for (unsigned i = 0; i < 64; i++) {
            uint64_t page;

            x = x * 1664525 + 1013904223;
            page = (x >> 8) % region->n_granules;
            __atomic_store_n((uint64_t *)(w->pair->source_ram + page * 4096) +
                                 (x & 7),
                             x, __ATOMIC_RELAXED);
            shmig_generic_mark(w->pair->tracker, region, page, 1);
        }
        pthread_mutex_lock(&w->lock);
        w->batches++;
        pthread_cond_signal(&w->cond);
        pthread_mutex_unlock(&w->lock);
        g_thread_yield();
    }
    return NULL;
}

/* Until it has written at least 64 times from now on. */
static void wait_for_writes(Writer *w)
{
    unsigned batches;

    pthread_mutex_lock(&w->lock);
    batches = w->batches;
    while (w->batches - batches < 2) {
        pthread_cond_wait(&w->cond, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

static void test_busy_ram(gconstpointer opaque)
{
    const Shape *shape = opaque;
    Pair *pair = pair_new(shape->channels, shape->tcp, 32 * MIB);
    g_autoptr(GError) error = NULL;
    Writer writer = {
        .pair = pair,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .cond = PTHREAD_COND_INITIALIZER,
    };
    GThread *thread;

    pair->tls = shape->tls;
    fill(pair->source_ram, 16 * MIB, 3);
    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    thread = g_thread_new("writer", writer_thread, &writer);
    for (int round = 0; round < 5; round++) {
        g_assert_true(shmig_source_wait(pair->source, MIB, 200, &error));
        /* Whatever the scheduler does: without, this would show nothing. */
        wait_for_writes(&writer);
        g_assert_cmpint(shmig_source_harvest(pair->source, false), >=, 0);
    }
    __atomic_store_n(&writer.stop, 1, __ATOMIC_RELEASE);
    g_thread_join(thread);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_cmpmem(pair->source_ram, pair->ram_bytes, pair->dest_ram,
                    pair->ram_bytes);
    pair_free(pair);
}

static void *echo_thread(void *opaque)
{
    int fd = *(int *)opaque;
    uint8_t buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (ssize_t at = 0; at < n;) {
            ssize_t k = write(fd, buf + at, n - at);

            g_assert_cmpint(k, >, 0);
            at += k;
        }
    }
    return NULL;
}

static void read_all(int fd, uint8_t *buf, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t n = read(fd, buf + at, bytes - at);

        g_assert_cmpint(n, >, 0);
        at += n;
    }
}

/* Both directions, through many windows of credit. */
static void test_stream(void)
{
    Pair *pair = pair_new(2, false, MIB);
    g_autofree uint8_t *out = g_malloc(64 * 1024);
    g_autofree uint8_t *in = g_malloc(64 * 1024);
    g_autoptr(GError) error = NULL;
    GThread *thread;

    g_assert_true(pair_start(pair, &error));
    thread = g_thread_new("echo", echo_thread, &pair->dest_stream);
    for (int i = 0; i < 64; i++) {
        fill(out, 64 * 1024, i + 10);
        g_assert_cmpint(write(pair->source_stream, out, 64 * 1024), ==,
                        64 * 1024);
        read_all(pair->source_stream, in, 64 * 1024);
        g_assert_cmpmem(out, 64 * 1024, in, 64 * 1024);
    }
    pair_start_ram(pair);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    close(pair->source_stream);
    pair->source_stream = -1;
    g_thread_join(thread);
    pair_free(pair);
}

/* A stream nobody reads must not hold RAM up. */
static void test_stream_stuck(void)
{
    Pair *pair = pair_new(1, false, 8 * MIB);
    g_autofree uint8_t *out = g_malloc0(256 * 1024);
    g_autoptr(GError) error = NULL;

    fill(pair->source_ram, 8 * MIB, 4);
    g_assert_true(pair_start(pair, &error));
    g_assert_cmpint(write(pair->source_stream, out, 128 * 1024), ==,
                    128 * 1024);
    pair_start_ram(pair);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_cmpmem(pair->source_ram, pair->ram_bytes, pair->dest_ram,
                    pair->ram_bytes);
    pair_free(pair);
}

/*
 * What a barrier has ordered may be looked at, which the thread sanitizer
 * cannot know: what orders it are messages from one ring to another.
 */
__attribute__((no_sanitize_thread)) static bool same(const uint64_t *a,
                                                     const uint64_t *b,
                                                     size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(*a); i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

/* What was sent before a barrier is at the destination after it. */
static void test_barrier(gconstpointer opaque)
{
    const Shape *shape = opaque;
    Pair *pair = pair_new(shape->channels, shape->tcp, 16 * MIB);
    g_autoptr(GError) error = NULL;

    pair->tls = shape->tls;
    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    for (int i = 0; i < 5; i++) {
        fill(pair->source_ram, 16 * MIB, i + 20);
        shmig_region_set(shmig_source_ram_region(pair->source, 0), 0, 4096);
        g_assert_true(pair_settle(pair, 1, &error));
        g_assert_true(shmig_source_barrier(pair->source, 10000, &error));
        g_assert_true(
            same((void *)pair->source_ram, (void *)pair->dest_ram, 16 * MIB));
    }
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    pair_free(pair);
}

static void test_refused(void)
{
    Pair *pair = pair_new(2, false, MIB);
    g_autoptr(GError) error = NULL;

    pair->problem = "the moon is not full";
    g_assert_false(pair_start(pair, &error));
    g_assert_nonnull(strstr(error->message, "the moon is not full"));
    pair_free(pair);
}

/* After a refused offer the destination takes another one. */
static void test_refused_then_accepted(void)
{
    Pair *pair = pair_new(2, false, MIB);
    g_autoptr(GError) error = NULL;

    pair->problem = "not yet";
    g_assert_false(pair_start(pair, &error));
    g_clear_error(&error);
    pair->problem = NULL;
    shmig_source_free(g_steal_pointer(&pair->source));
    fill(pair->source_ram, MIB, 5);
    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    g_assert_cmpmem(pair->source_ram, MIB, pair->dest_ram, MIB);
    pair_free(pair);
}

static void test_second_incoming(void)
{
    Pair *pair = pair_new(1, false, MIB);
    ShmigOffer *offer = shmig_offer_new("fake-machine", 1);
    g_autoptr(GError) error = NULL;
    ShmigSource *second;

    g_assert_true(pair_start(pair, &error));
    second = shmig_source_new(offer, &error);
    g_assert_false(
        shmig_source_handshake(second, pair_dial(pair), 5000, &error));
    g_assert_nonnull(strstr(error->message, "another migration"));
    g_clear_error(&error);
    shmig_source_free(second);
    pair_start_ram(pair);
    g_assert_cmpint(pair_switch_over(pair, &error), ==, SHMIG_COMMIT_DONE);
    pair_free(pair);
}

static void test_source_aborts(void)
{
    Pair *pair = pair_new(2, true, 16 * MIB);
    g_autoptr(GError) error = NULL;

    fill(pair->source_ram, 16 * MIB, 6);
    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    shmig_source_abort(pair->source, "the operator changed her mind");
    g_assert_cmpstr(pair_dest_failure(pair), ==,
                    "the operator changed her mind");
    g_assert_false(shmig_source_wait(pair->source, 0, 1000, &error));
    g_assert_cmpstr(error->message, ==, "the operator changed her mind");
    pair_free(pair);
}

static void test_dest_aborts(void)
{
    Pair *pair = pair_new(2, true, 16 * MIB);
    g_autoptr(GError) error = NULL;

    fill(pair->source_ram, 16 * MIB, 7);
    g_assert_true(pair_start(pair, &error));
    shmig_dest_abort(pair->dest, "no room for this guest");
    pair_start_ram(pair);
    g_assert_false(shmig_source_finish(pair->source, &error));
    g_assert_nonnull(strstr(error->message, "no room for this guest"));
    pair_free(pair);
}

static bool no(void *opaque)
{
    return false;
}

static void test_commit_refused_by_source(void)
{
    Pair *pair = pair_new(1, false, MIB);
    g_autoptr(GError) error = NULL;

    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    g_assert_true(shmig_source_finish(pair->source, &error));
    pair_wait(pair, &pair->drained);
    shmig_dest_ready(pair->dest);
    g_assert_cmpint(shmig_source_commit(pair->source, no, NULL, &error), ==,
                    SHMIG_COMMIT_NOT_SENT);
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(pair_dest_failure(pair), "cancelled"));
    g_assert_false(pair->commit);
    pair_free(pair);
}

static bool yes(void *opaque)
{
    return true;
}

static void *commit_then_vanish(void *opaque)
{
    Pair *pair = opaque;

    pair_wait(pair, &pair->commit);
    shmig_dest_free(g_steal_pointer(&pair->dest));
    return NULL;
}

/* COMMIT arrived, RUNNING never does: the source must not say "not sent". */
static void test_commit_unknown(void)
{
    Pair *pair = pair_new(1, false, MIB);
    g_autoptr(GError) error = NULL;
    GThread *thread;

    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    g_assert_true(shmig_source_finish(pair->source, &error));
    pair_wait(pair, &pair->drained);
    shmig_dest_ready(pair->dest);
    thread = g_thread_new("vanish", commit_then_vanish, pair);
    g_assert_cmpint(shmig_source_commit(pair->source, yes, NULL, &error), ==,
                    SHMIG_COMMIT_UNKNOWN);
    g_assert_nonnull(strstr(error->message, "may own it"));
    g_thread_join(thread);
    pair_free(pair);
}

static void *run_then_free(void *opaque)
{
    Pair *pair = opaque;

    pair_wait(pair, &pair->commit);
    g_assert_cmpint(write(pair->dest_stream, "last words", 10), ==, 10);
    close(pair->dest_stream);
    pair->dest_stream = -1;
    shmig_dest_running(pair->dest);
    shmig_dest_free(g_steal_pointer(&pair->dest));
    return NULL;
}

/* What the destination said last arrives, though it frees its half at once. */
static void test_running_then_gone(gconstpointer opaque)
{
    const Shape *shape = opaque;
    Pair *pair = pair_new(shape->channels, shape->tcp, MIB);
    g_autoptr(GError) error = NULL;
    uint8_t said[10];
    GThread *thread;

    pair->tls = shape->tls;
    g_assert_true(pair_start(pair, &error));
    pair_start_ram(pair);
    g_assert_true(shmig_source_finish(pair->source, &error));
    pair_wait(pair, &pair->drained);
    shmig_dest_ready(pair->dest);
    thread = g_thread_new("gone", run_then_free, pair);
    g_assert_cmpint(shmig_source_commit(pair->source, yes, NULL, &error), ==,
                    SHMIG_COMMIT_DONE);
    read_all(pair->source_stream, said, sizeof(said));
    g_assert_cmpmem(said, sizeof(said), "last words", 10);
    g_assert_cmpint(read(pair->source_stream, said, 1), ==, 0);
    g_thread_join(thread);
    pair_free(pair);
}

static void add_shapes(const char *path, GTestDataFunc fn)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_autofree char *full = g_strdup_printf("%s/%s", path, shapes[i].name);

        g_test_add_data_func(full, &shapes[i], fn);
    }
}

/* QEMU shuts the stream down first, and tells why it gives up then. */
static void test_reason_comes_before_the_end_of_the_stream(void)
{
    Pair *pair = pair_new(2, false, MIB);
    g_autoptr(GError) error = NULL;
    char byte;

    g_assert_true(pair_start(pair, &error));
    g_assert_cmpint(shutdown(pair->source_stream, SHUT_RDWR), ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        while (!shmig_source_barrier(pair->source, 50, &error)) {
            g_assert_no_error(error);
        }
    }
    g_assert_cmpint(recv(pair->dest_stream, &byte, 1, MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    shmig_source_abort(pair->source, "the migration was cancelled");
    g_assert_nonnull(
        strstr(pair_dest_failure(pair), "the migration was cancelled"));
    g_assert_cmpint(recv(pair->dest_stream, &byte, 1, 0), ==, 0);
    pair_free(pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_shapes("/session/ram/idle", test_idle_ram);
    add_shapes("/session/ram/busy", test_busy_ram);
    add_shapes("/session/barrier", test_barrier);
    add_shapes("/session/commit/running-then-gone", test_running_then_gone);
    g_test_add_func("/session/stream/both-ways", test_stream);
    g_test_add_func("/session/stream/stuck", test_stream_stuck);
    g_test_add_func("/session/offer/refused", test_refused);
    g_test_add_func("/session/offer/refused-then-accepted",
                    test_refused_then_accepted);
    g_test_add_func("/session/offer/second-incoming", test_second_incoming);
    g_test_add_func("/session/abort/source", test_source_aborts);
    g_test_add_func("/session/abort/dest", test_dest_aborts);
    g_test_add_func("/session/commit/refused-by-source",
                    test_commit_refused_by_source);
    g_test_add_func("/session/commit/unknown", test_commit_unknown);
    g_test_add_func("/session/stream-end-after-the-reason",
                    test_reason_comes_before_the_end_of_the_stream);
    return g_test_run();
}
