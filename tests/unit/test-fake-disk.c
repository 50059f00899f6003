/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake disk does what the tests built on it rely on. */
#include <errno.h>
#include <string.h>

#include "fake-disk.h"

#define SIZE (1 << 20)
#define SLOT_BYTES (SIZE / 4) /* of the buffer, for each request */

typedef struct Request {
    ShmigDiskReq req;
    bool done;
    int res;
} Request;

typedef struct Fixture {
    FakeDisk *fake;
    ShmigRing *ring;
    uint8_t *buf;
    Request requests[4];
} Fixture;

static void request_done(ShmigOp *op, int res)
{
    Request *request = (Request *)op;

    request->done = true;
    request->res = res;
}

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    void *buf = NULL;

    f->fake = fake_disk_new(SIZE);
    f->ring = shmig_ring_new(8, &err);
    g_assert_no_error(err);
    g_assert_cmpint(posix_memalign(&buf, 4096, SIZE), ==, 0);
    f->buf = buf;
    memset(buf, 0x5a, SIZE);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    shmig_disk_free(fake_disk_base(f->fake));
    fake_disk_unref(f->fake);
    shmig_ring_free(f->ring);
    free(f->buf);
}

static void start(Fixture *f, unsigned i, ShmigDiskCmd cmd, uint64_t offset,
                  uint64_t length)
{
    Request *r = &f->requests[i];

    memset(r, 0, sizeof(*r));
    r->req.op.done = request_done;
    r->req.cmd = cmd;
    r->req.offset = offset;
    r->req.length = length;
    r->req.buf = f->buf + i * SLOT_BYTES;
    shmig_disk_submit(fake_disk_base(f->fake), f->ring, &r->req);
    g_assert_false(r->done);
}

static int wait_for(Fixture *f, unsigned i)
{
    while (!f->requests[i].done) {
        g_assert_cmpint(shmig_ring_run(f->ring, -1), ==, 0);
    }
    return f->requests[i].res;
}

static int do_one(Fixture *f, ShmigDiskCmd cmd, uint64_t offset,
                  uint64_t length)
{
    start(f, 0, cmd, offset, length);
    return wait_for(f, 0);
}

static void test_is_thin(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(do_one(f, SHMIG_DISK_WRITE, 4096 + 512, 512), ==, 0);
    g_assert_cmpuint(fake_disk_allocated_bytes(f->fake), ==, 4096);
    g_assert_cmpint(do_one(f, SHMIG_DISK_STATUS, 0, SIZE), ==, 0);
    g_assert_true(f->requests[0].req.extent_zero);
    g_assert_cmpuint(f->requests[0].req.extent_bytes, ==, 4096);
    g_assert_cmpint(do_one(f, SHMIG_DISK_STATUS, 4096, SIZE - 4096), ==, 0);
    g_assert_false(f->requests[0].req.extent_zero);
    g_assert_cmpuint(f->requests[0].req.extent_bytes, ==, 4096);
    g_assert_cmpint(do_one(f, SHMIG_DISK_ZERO, 0, 8192), ==, 0);
    g_assert_cmpuint(fake_disk_allocated_bytes(f->fake), ==, 0);
    g_assert_cmpuint(fake_disk_done_bytes(f->fake, SHMIG_DISK_ZERO), ==, 8192);
}

static void test_only_what_was_flushed_is_durable(Fixture *f,
                                                  gconstpointer data)
{
    g_assert_cmpint(do_one(f, SHMIG_DISK_WRITE, 0, 4096), ==, 0);
    g_assert_true(fake_disk_changed(f->fake, 0, 4096));
    g_assert_false(fake_disk_changed(f->fake, 0, 8192));
    g_assert_false(fake_disk_durable(f->fake, 0, 4096));
    fake_disk_set_mode(f->fake, FAKE_DISK_HELD);
    start(f, 0, SHMIG_DISK_FLUSH, 0, 0);
    /* This one comes too late for the flush before it. */
    start(f, 1, SHMIG_DISK_WRITE, 4096, 4096);
    fake_disk_release_all(f->fake);
    g_assert_cmpint(wait_for(f, 0), ==, 0);
    g_assert_cmpint(wait_for(f, 1), ==, 0);
    g_assert_true(fake_disk_durable(f->fake, 0, 4096));
    g_assert_false(fake_disk_durable(f->fake, 4096, 512));
}

static void test_held_requests_complete_in_any_order(Fixture *f,
                                                     gconstpointer data)
{
    fake_disk_set_mode(f->fake, FAKE_DISK_HELD);
    for (unsigned i = 0; i < 3; i++) {
        start(f, i, SHMIG_DISK_WRITE, i * 4096, 4096);
    }
    fake_disk_wait_held(f->fake, 3);
    fake_disk_release(f->fake, 1);
    g_assert_cmpint(wait_for(f, 1), ==, 0);
    g_assert_false(f->requests[0].done);
    g_assert_false(f->requests[2].done);
    g_assert_cmpuint(fake_disk_allocated_bytes(f->fake), ==, 4096);
    fake_disk_release(f->fake, 1);
    g_assert_cmpint(wait_for(f, 2), ==, 0);
    g_assert_false(f->requests[0].done);
    fake_disk_release_all(f->fake);
    g_assert_cmpint(wait_for(f, 0), ==, 0);
    g_assert_cmpuint(fake_disk_max_in_flight(f->fake), ==, 3);
}

static void test_read_sees_the_time_of_its_submission(Fixture *f,
                                                      gconstpointer data)
{
    static const char old[512] = "old", new[512] = "new";

    fake_disk_poke(f->fake, 0, 512, old);
    fake_disk_set_mode(f->fake, FAKE_DISK_HELD);
    start(f, 0, SHMIG_DISK_READ, 0, 512);
    g_assert_cmphex(f->buf[0], ==, 0xdb);
    fake_disk_poke(f->fake, 0, 512, new);
    fake_disk_release_all(f->fake);
    g_assert_cmpint(wait_for(f, 0), ==, 0);
    g_assert_cmpstr((char *)f->buf, ==, "old");
}

static void test_completes_from_another_thread(Fixture *f, gconstpointer data)
{
    fake_disk_set_mode(f->fake, FAKE_DISK_THREAD);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < 4; i++) {
            start(f, i, round % 2 ? SHMIG_DISK_ZERO : SHMIG_DISK_WRITE,
                  i * 4096, 4096);
        }
        for (unsigned i = 0; i < 4; i++) {
            g_assert_cmpint(wait_for(f, i), ==, 0);
        }
    }
    g_assert_cmpuint(fake_disk_calls(f->fake, SHMIG_DISK_WRITE), ==, 400);
}

static void test_fails_the_one_it_was_told_to(Fixture *f, gconstpointer data)
{
    fake_disk_fail(f->fake, SHMIG_DISK_WRITE, 2, ENOSPC);
    fake_disk_fail_range(f->fake, SHMIG_DISK_READ, 4096, 512, EIO);
    g_assert_cmpint(do_one(f, SHMIG_DISK_WRITE, 0, 4096), ==, 0);
    g_assert_cmpint(do_one(f, SHMIG_DISK_ZERO, 8192, 4096), ==, 0);
    g_assert_cmpint(do_one(f, SHMIG_DISK_WRITE, 4096, 4096), ==, -ENOSPC);
    g_assert_cmpint(do_one(f, SHMIG_DISK_WRITE, 8192, 4096), ==, 0);
    g_assert_false(fake_disk_changed(f->fake, 4096, 512));
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(do_one(f, SHMIG_DISK_READ, 0, 8192), ==, -EIO);
        g_assert_cmpint(do_one(f, SHMIG_DISK_READ, 0, 4096), ==, 0);
        g_assert_cmpint(do_one(f, SHMIG_DISK_READ, 4608, 512), ==, 0);
    }
}

static void test_compares_whole_disks(Fixture *f, gconstpointer data)
{
    FakeDisk *other = fake_disk_new(SIZE);

    g_assert_true(fake_disk_equal(f->fake, other));
    fake_disk_poke(other, SIZE - 512, 512, f->buf);
    g_assert_false(fake_disk_equal(f->fake, other));
    g_assert_cmpint(do_one(f, SHMIG_DISK_WRITE, SIZE - 4096, 4096), ==, 0);
    g_assert_false(fake_disk_equal(f->fake, other));
    fake_disk_poke_zero(f->fake, SIZE - 4096, 3584);
    g_assert_true(fake_disk_equal(f->fake, other));
    shmig_disk_free(fake_disk_base(other));
    fake_disk_unref(other);
}

typedef struct Breach {
    const char *complaint;
    ShmigDiskCmd cmd;
    uint64_t offset, length;
} Breach;

/* With a write of [4096, 8192) in flight. */
static const Breach breaches[] = {
    { "*overlap*", SHMIG_DISK_WRITE, 4096, 512 },
    { "*overlap*", SHMIG_DISK_ZERO, 0, 8192 },
    { "*offset*", SHMIG_DISK_READ, 256, 512 },
    { "*length*", SHMIG_DISK_READ, 0, 256 },
    { "*range_ok*", SHMIG_DISK_STATUS, SIZE - 512, 1024 },
    { "*range_ok*", SHMIG_DISK_ZERO, 0, 0 },
};

static void test_breach_of_contract_aborts(Fixture *f, gconstpointer data)
{
    const Breach *breach = data;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_failed();
        g_test_trap_assert_stderr(breach->complaint);
        return;
    }
    fake_disk_set_mode(f->fake, FAKE_DISK_HELD);
    start(f, 0, SHMIG_DISK_WRITE, 4096, 4096);
    start(f, 1, breach->cmd, breach->offset, breach->length);
}

static void add(const char *name, void (*test)(Fixture *, gconstpointer))
{
    g_autofree char *path = g_strdup_printf("/fakes/disk/%s", name);

    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("is-thin", test_is_thin);
    add("only-what-was-flushed-is-durable",
        test_only_what_was_flushed_is_durable);
    add("held-requests-complete-in-any-order",
        test_held_requests_complete_in_any_order);
    add("read-sees-the-time-of-its-submission",
        test_read_sees_the_time_of_its_submission);
    add("completes-from-another-thread", test_completes_from_another_thread);
    add("fails-the-one-it-was-told-to", test_fails_the_one_it_was_told_to);
    add("compares-whole-disks", test_compares_whole_disks);
    for (unsigned i = 0; i < G_N_ELEMENTS(breaches); i++) {
        g_autofree char *path =
            g_strdup_printf("/fakes/disk/breach-of-contract-aborts/%u", i);

        g_test_add(path, Fixture, &breaches[i], set_up,
                   test_breach_of_contract_aborts, tear_down);
    }
    return g_test_run();
}
