/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where RAM records go. */
#include "shmig/ram/receive.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define STRIPE SHMIG_STRIPE_BYTES
#define BYTES (3 * STRIPE)
#define DATA SHMIG_RECORD_DATA
#define ZERO SHMIG_RECORD_ZERO
#define OLD 0xee

static const int never;

static uint8_t *memory_new(void)
{
    uint8_t *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(p != MAP_FAILED);
    memset(p, OLD, BYTES);
    return p;
}

static void check(const uint8_t *p, uint64_t length, uint8_t byte)
{
    for (uint64_t i = 0; i < length; i++) {
        if (p[i] != byte) {
            g_error("byte %" G_GUINT64_FORMAT " is 0x%02x", i, p[i]);
        }
    }
}

static void test_place(void)
{
    static uint8_t a[4 * PAGE], b[4 * PAGE];
    uint8_t *hosts[] = { a, b };
    const ShmigRecord records[] = {
        { 1, DATA, 2 * PAGE, PAGE },
        { 0, ZERO, 0, PAGE },
        { 0, DATA, PAGE, 3 * PAGE },
    };
    struct iovec iov[3];

    g_assert_cmpuint(shmig_ram_place(records, 3, hosts, iov), ==, 2);
    g_assert_true(iov[0].iov_base == b + 2 * PAGE);
    g_assert_cmpuint(iov[0].iov_len, ==, PAGE);
    g_assert_true(iov[1].iov_base == a + PAGE);
    g_assert_cmpuint(iov[1].iov_len, ==, 3 * PAGE);
    g_assert_cmpuint(shmig_ram_place(records + 1, 1, hosts, iov), ==, 0);
}

static void test_zero_is_exact(void)
{
    uint8_t *p = memory_new();
    const ShmigRecord records[] = {
        { 0, ZERO, PAGE, PAGE },
        { 0, DATA, 4 * PAGE, PAGE },
        { 0, ZERO, 2 * STRIPE + PAGE, PAGE / 2 },
    };

    shmig_ram_zero(records, 3, &p, 0, 1, &never);
    check(p, PAGE, OLD);
    check(p + PAGE, PAGE, 0);
    check(p + 2 * PAGE, 2 * STRIPE - PAGE, OLD);
    check(p + 2 * STRIPE + PAGE, PAGE / 2, 0);
    check(p + 2 * STRIPE + PAGE + PAGE / 2, PAGE, OLD);
    munmap(p, BYTES);
}

static void test_zero_of_own_stripes(gconstpointer opaque)
{
    unsigned channel = GPOINTER_TO_UINT(opaque);
    uint8_t *p = memory_new();
    uint8_t *hosts[] = { NULL, p };
    /* Of region 1: stripe s belongs to channel (1 + s) % 2. */
    const ShmigRecord record = { 1, ZERO, 0, BYTES };

    shmig_ram_zero(&record, 1, hosts, channel, 2, &never);
    for (unsigned s = 0; s < 3; s++) {
        check(p + s * STRIPE, STRIPE, (1 + s) % 2 == channel ? 0 : OLD);
    }
    munmap(p, BYTES);
}

/* Pages that are zero already are not written to. */
static void test_zero_writes_only_what_is_not(void)
{
    uint8_t *p = memory_new();
    const ShmigRecord record = { 0, ZERO, 0, STRIPE };

    memset(p, 0, STRIPE);
    g_assert_cmpint(mprotect(p, STRIPE, PROT_READ), ==, 0);
    shmig_ram_zero(&record, 1, &p, 0, 1, &never);
    munmap(p, BYTES);
}

static void test_zero_stops(void)
{
    uint8_t *p = memory_new();
    const ShmigRecord record = { 0, ZERO, 0, BYTES };
    int over = 1;

    shmig_ram_zero(&record, 1, &p, 0, 1, &over);
    check(p, BYTES, OLD);
    munmap(p, BYTES);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram/receive/place", test_place);
    g_test_add_func("/ram/receive/zero/exact", test_zero_is_exact);
    g_test_add_data_func("/ram/receive/zero/channel-0", GUINT_TO_POINTER(0),
                         test_zero_of_own_stripes);
    g_test_add_data_func("/ram/receive/zero/channel-1", GUINT_TO_POINTER(1),
                         test_zero_of_own_stripes);
    g_test_add_func("/ram/receive/zero/untouched",
                    test_zero_writes_only_what_is_not);
    g_test_add_func("/ram/receive/zero/stops", test_zero_stops);
    return g_test_run();
}
