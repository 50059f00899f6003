/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes one record or one piece of memory, and what does not. */
#include "shmig/io/batch.h"

#include <string.h>

#define PAGE 4096u

static uint8_t bytes[4 * PAGE];

static void check_record(const ShmigBatch *batch, unsigned i, uint32_t region,
                         uint8_t kind, uint64_t offset, uint64_t length)
{
    const ShmigRecord *r = &batch->records[i];

    g_assert_cmpuint(i, <, batch->n_records);
    g_assert_cmpuint(r->region, ==, region);
    g_assert_cmpuint(r->kind, ==, kind);
    g_assert_cmpuint(r->offset, ==, offset);
    g_assert_cmpuint(r->length, ==, length);
}

static void test_neighbours_are_one(void)
{
    ShmigBatch batch;

    shmig_batch_reset(&batch);
    shmig_batch_add(&batch, 3, PAGE, PAGE, bytes);
    shmig_batch_add(&batch, 3, 2 * PAGE, 2 * PAGE, bytes + PAGE);
    g_assert_cmpuint(batch.n_records, ==, 1);
    check_record(&batch, 0, 3, SHMIG_RECORD_DATA, PAGE, 3 * PAGE);
    g_assert_cmpuint(batch.n_iov, ==, 1);
    g_assert_true(batch.iov[0].iov_base == bytes);
    g_assert_cmpuint(batch.iov[0].iov_len, ==, 3 * PAGE);
    g_assert_cmpuint(batch.payload, ==, 3 * PAGE);
}

/* Neighbours in the region, apart in memory. */
static void test_pieces_of_one_record(void)
{
    ShmigBatch batch;

    shmig_batch_reset(&batch);
    shmig_batch_add(&batch, 0, 0, PAGE, bytes + 2 * PAGE);
    shmig_batch_add(&batch, 0, PAGE, PAGE, bytes);
    g_assert_cmpuint(batch.n_records, ==, 1);
    g_assert_cmpuint(batch.n_iov, ==, 2);
    g_assert_true(batch.iov[1].iov_base == bytes);
}

/* Neighbours in memory, apart in the region. */
static void test_records_of_one_piece(void)
{
    ShmigBatch batch;

    shmig_batch_reset(&batch);
    shmig_batch_add(&batch, 0, 0, PAGE, bytes);
    shmig_batch_add(&batch, 0, 2 * PAGE, PAGE, bytes + PAGE);
    g_assert_cmpuint(batch.n_records, ==, 2);
    g_assert_cmpuint(batch.n_iov, ==, 1);
    g_assert_cmpuint(batch.iov[0].iov_len, ==, 2 * PAGE);
}

static void test_stripes_keep_apart(void)
{
    ShmigBatch batch;
    uint64_t at = SHMIG_STRIPE_BYTES - PAGE;

    shmig_batch_reset(&batch);
    shmig_batch_add(&batch, 0, at, PAGE, bytes);
    shmig_batch_add(&batch, 0, at + PAGE, PAGE, bytes + PAGE);
    check_record(&batch, 0, 0, SHMIG_RECORD_DATA, at, PAGE);
    check_record(&batch, 1, 0, SHMIG_RECORD_DATA, at + PAGE, PAGE);
    shmig_batch_reset(&batch);
    shmig_batch_add(&batch, 0, at, PAGE, NULL);
    shmig_batch_add(&batch, 0, at + PAGE, PAGE, NULL);
    g_assert_cmpuint(batch.n_records, ==, 2);
}

static void test_kinds_and_regions_keep_apart(void)
{
    ShmigBatch batch;

    shmig_batch_reset(&batch);
    shmig_batch_add(&batch, 0, 0, PAGE, bytes);
    shmig_batch_add(&batch, 0, PAGE, PAGE, NULL);
    shmig_batch_add(&batch, 0, 2 * PAGE, PAGE, NULL);
    shmig_batch_add(&batch, 1, 3 * PAGE, PAGE, NULL);
    g_assert_cmpuint(batch.n_records, ==, 3);
    check_record(&batch, 1, 0, SHMIG_RECORD_ZERO, PAGE, 2 * PAGE);
    check_record(&batch, 2, 1, SHMIG_RECORD_ZERO, 3 * PAGE, PAGE);
    g_assert_cmpuint(batch.payload, ==, PAGE);
    g_assert_cmpuint(batch.n_iov, ==, 1);
}

/* What came before in the region does not continue. */
static void test_backwards(void)
{
    ShmigBatch batch;

    shmig_batch_reset(&batch);
    shmig_batch_add(&batch, 0, PAGE, PAGE, bytes + PAGE);
    shmig_batch_add(&batch, 0, 0, PAGE, bytes);
    g_assert_cmpuint(batch.n_records, ==, 2);
    g_assert_cmpuint(batch.n_iov, ==, 2);
}

static void test_full(void)
{
    ShmigBatch batch;

    shmig_batch_reset(&batch);
    for (unsigned i = 0; i < SHMIG_MAX_RECORDS; i++) {
        g_assert_false(shmig_batch_full(&batch));
        shmig_batch_add(&batch, 0, 2ull * PAGE * i, PAGE,
                        bytes + (i % 2 ? 0 : 2 * PAGE));
    }
    g_assert_true(shmig_batch_full(&batch));
    g_assert_cmpuint(batch.n_iov, ==, SHMIG_CONN_MAX_IOV);
    shmig_batch_reset(&batch);
    g_assert_false(shmig_batch_full(&batch));
    g_assert_cmpuint(batch.n_records + batch.n_iov + batch.payload, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/io/batch/neighbours-are-one", test_neighbours_are_one);
    g_test_add_func("/io/batch/pieces-of-one-record",
                    test_pieces_of_one_record);
    g_test_add_func("/io/batch/records-of-one-piece",
                    test_records_of_one_piece);
    g_test_add_func("/io/batch/stripes", test_stripes_keep_apart);
    g_test_add_func("/io/batch/kinds-and-regions",
                    test_kinds_and_regions_keep_apart);
    g_test_add_func("/io/batch/backwards", test_backwards);
    g_test_add_func("/io/batch/full", test_full);
    return g_test_run();
}
