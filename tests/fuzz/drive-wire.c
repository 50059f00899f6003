/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Feeds the fuzz entry without a fuzzer: valid messages, mutated, the same
 * ones in each run.  A failure names the seed; inputs are heap blocks of
 * their exact size, so that a sanitizer sees a read past the end.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz-wire.h"
#include "shmig/wire/frame.h"
#include "shmig/wire/offer.h"

#define SEEDS 16
#define INPUTS_PER_SEED 8000

static GByteArray *begin(unsigned decoder)
{
    GByteArray *out = g_byte_array_new();
    uint8_t first = decoder;

    return g_byte_array_append(out, &first, 1);
}

static GByteArray *valid_hello(GRand *rand)
{
    GByteArray *out = begin(FUZZ_HELLO);
    ShmigHello hello = { .version_min = 1,
                         .version_max = 1,
                         .refused = g_rand_boolean(rand) };
    uint8_t bytes[SHMIG_HELLO_BYTES];

    hello.channels = g_rand_int_range(rand, 1, SHMIG_MAX_CHANNELS + 1);
    hello.channel = g_rand_int_range(rand, 0, hello.channels);
    memset(hello.session, g_rand_int(rand), sizeof(hello.session));
    shmig_hello_encode(&hello, bytes);
    return g_byte_array_append(out, bytes, sizeof(bytes));
}

static GByteArray *valid_frame(GRand *rand)
{
    GByteArray *out = begin(FUZZ_FRAME);
    ShmigFrame frame = { .type = g_rand_int_range(rand, SHMIG_FRAME_OFFER,
                                                  SHMIG_FRAME_APPLIED + 1) };
    uint8_t bytes[4 + SHMIG_FRAME_BYTES] = { 0 };

    switch (frame.type) {
    case SHMIG_FRAME_DATA:
        frame.records = g_rand_int_range(rand, 1, SHMIG_MAX_RECORDS + 1);
        frame.body = frame.records * SHMIG_RECORD_BYTES;
        frame.payload = g_rand_int_range(rand, 0, SHMIG_MAX_PAYLOAD + 1);
        break;
    case SHMIG_FRAME_OFFER:
    case SHMIG_FRAME_ANSWER:
    case SHMIG_FRAME_STREAM:
    case SHMIG_FRAME_ERROR:
        frame.body = g_rand_int_range(rand, 1, SHMIG_MAX_TEXT + 1);
        break;
    case SHMIG_FRAME_CREDIT:
    case SHMIG_FRAME_APPLIED:
        frame.value = g_rand_int_range(rand, 1, SHMIG_STREAM_WINDOW + 1);
        break;
    default:
        break;
    }
    shmig_frame_encode(&frame, bytes + 4);
    return g_byte_array_append(out, bytes, sizeof(bytes));
}

/*
 * Records of the one disk that is as large as can be, which is region 4.
 * Zeroes span stripes of other channels; some data reaches into the next
 * stripe, which is wrong.
 */
static GByteArray *valid_records(GRand *rand)
{
    GByteArray *out = begin(FUZZ_RECORDS);
    unsigned n = g_rand_int_range(rand, 1, 9);
    uint64_t channels = g_rand_int_range(rand, 1, 5);
    uint8_t head[6] = { 4 % channels, channels - 1 };
    uint32_t payload = 0;

    g_byte_array_append(out, head, sizeof(head));
    for (unsigned i = 0; i < n; i++) {
        uint64_t stripe = channels * g_rand_int(rand);
        ShmigRecord record = {
            4, g_rand_int_range(rand, SHMIG_RECORD_DATA, SHMIG_RECORD_ZERO + 1),
            stripe * SHMIG_STRIPE_BYTES, 4096
        };
        uint8_t bytes[SHMIG_RECORD_BYTES];

        if (record.kind == SHMIG_RECORD_DATA) {
            record.offset +=
                g_rand_boolean(rand) ? SHMIG_STRIPE_BYTES - 4096 : 0;
            record.length = g_rand_int_range(rand, 0, 8) ? 4096 : 8192;
            payload += record.length;
        } else {
            record.length +=
                channels * g_rand_int_range(rand, 0, 9) * SHMIG_STRIPE_BYTES;
        }
        shmig_record_encode(&record, bytes);
        g_byte_array_append(out, bytes, sizeof(bytes));
    }
    payload = GUINT32_TO_LE(payload);
    memcpy(out->data + 3, &payload, sizeof(payload));
    return out;
}

static GByteArray *valid_offer(GRand *rand)
{
    g_autoptr(ShmigOffer) offer = shmig_offer_new("pc-q35-10.0", 2);
    g_autoptr(GBytes) body = NULL;
    unsigned n = g_rand_int_range(rand, 0, 4);

    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("name-%u", i);

        shmig_offer_add_ram(offer, name, 4096 << i, 1 << 20, 4096);
        shmig_offer_add_disk(offer, name, "raw", i ? "host:1:2" : "", 512);
    }
    if (g_rand_boolean(rand)) {
        shmig_offer_leave_out(offer, "left-out");
    }
    if (g_rand_boolean(rand)) {
        shmig_offer_keep(offer, "host:3:4");
        shmig_offer_keep(offer, "nfs:host:/vm:5");
    }
    body = shmig_offer_encode(offer, NULL);
    return g_byte_array_append(begin(FUZZ_OFFER), g_bytes_get_data(body, NULL),
                               g_bytes_get_size(body));
}

static GByteArray *valid_answer(GRand *rand)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    g_autoptr(GBytes) body = NULL;
    unsigned n = g_rand_int_range(rand, 0, 4);

    for (unsigned i = 0; i < n; i++) {
        g_ptr_array_add(problems, "disk \"vda\": größer machen, 語");
    }
    body = shmig_answer_encode(problems);
    return g_byte_array_append(begin(FUZZ_ANSWER), g_bytes_get_data(body, NULL),
                               g_bytes_get_size(body));
}

static GByteArray *valid_text(GRand *rand)
{
    static const uint8_t sentence[] =
        "kein Platz → größer machen, 語 🙂";
    GByteArray *out = begin(FUZZ_TEXT);
    unsigned n = g_rand_int_range(rand, 0, 40);

    for (unsigned i = 0; i < n; i++) {
        g_byte_array_append(out, sentence, sizeof(sentence) - 1);
    }
    return out;
}

/* Numbers at which mistakes live. */
static uint64_t edge(GRand *rand)
{
    static const uint64_t edges[] = {
        0,       1,       23,        24,         64,        255,
        256,     512,     1024,      4096,       65535,     65536,
        1 << 20, 2 << 20, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX,
    };
    uint64_t e = edges[g_rand_int_range(rand, 0, G_N_ELEMENTS(edges))];

    return e + g_rand_int_range(rand, -1, 2);
}

static void mutate(GRand *rand, GByteArray *input)
{
    unsigned at = input->len ? g_rand_int_range(rand, 0, input->len) : 0;
    unsigned width = 1u << g_rand_int_range(rand, 0, 4);
    uint64_t value = GUINT64_TO_LE(edge(rand));

    if (input->len == 0) {
        return;
    }
    switch (g_rand_int_range(rand, 0, 6)) {
    case 0:
        input->data[at] ^= 1u << g_rand_int_range(rand, 0, 8);
        break;
    case 1:
        input->data[at] = g_rand_int(rand);
        break;
    case 2:
        g_byte_array_set_size(input, at);
        break;
    case 3:
        g_byte_array_append(input, (const uint8_t *)&value, width);
        break;
    default:
        memcpy(input->data + at, &value, MIN(width, input->len - at));
        break;
    }
}

static void run_seed(unsigned seed)
{
    static GByteArray *(*const valid[FUZZ_DECODERS])(GRand *) = {
        [FUZZ_HELLO] = valid_hello,     [FUZZ_FRAME] = valid_frame,
        [FUZZ_RECORDS] = valid_records, [FUZZ_OFFER] = valid_offer,
        [FUZZ_ANSWER] = valid_answer,   [FUZZ_TEXT] = valid_text,
    };
    GRand *rand = g_rand_new_with_seed(seed);

    for (unsigned i = 0; i < INPUTS_PER_SEED; i++) {
        GByteArray *input = valid[i % FUZZ_DECODERS](rand);
        unsigned n = g_rand_int_range(rand, 0, 4);
        g_autofree uint8_t *exact = NULL;

        for (unsigned k = 0; k < n; k++) {
            mutate(rand, input);
        }
        exact = g_memdup2(input->data, input->len);
        LLVMFuzzerTestOneInput(exact, input->len);
        g_byte_array_unref(input);
    }
    g_rand_free(rand);
}

/* Each decoder took some and refused some: the inputs reach into it. */
static void test_mutations(void)
{
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        g_test_message("seed %u", seed);
        run_seed(seed);
    }
    for (unsigned i = 0; i < FUZZ_DECODERS; i++) {
        uint64_t inputs = SEEDS * INPUTS_PER_SEED / FUZZ_DECODERS;

        g_test_message("decoder %u took %" G_GUINT64_FORMAT, i, fuzz_taken[i]);
        g_assert_cmpuint(fuzz_taken[i], >, inputs / 5);
        g_assert_cmpuint(fuzz_taken[i], <,
                         i == FUZZ_TEXT ? UINT64_MAX : inputs * 3 / 4);
    }
}

/* One input from a file, as a fuzzer saved it. */
static int run_file(const char *path)
{
    g_autofree char *bytes = NULL;
    g_autoptr(GError) err = NULL;
    size_t length;

    if (!g_file_get_contents(path, &bytes, &length, &err)) {
        g_printerr("%s\n", err->message);
        return EXIT_FAILURE;
    }
    return LLVMFuzzerTestOneInput((const uint8_t *)bytes, length);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (argc > 1) {
        return run_file(argv[1]);
    }
    g_test_add_func("/fuzz/wire/mutations", test_mutations);
    return g_test_run();
}
