/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the offer: exact bytes, round trips, and each limit. */
#include <glib.h>
#include <string.h>

#include "shmig/base/error.h"
#include "shmig/wire/offer.h"

#define GIB (1ull << 30)

static ShmigOffer *sample(void)
{
    ShmigOffer *offer = shmig_offer_new("pc-q35-10.0", 4);

    shmig_offer_add_ram(offer, "pc.ram", GIB, GIB, 4096);
    shmig_offer_add_ram(offer, "/rom@etc/acpi/tables", 131072, 2097152, 4096);
    shmig_offer_add_disk(offer, "virtio-disk0", "raw", "host:8:17:1234",
                         4 * GIB);
    shmig_offer_add_disk(offer, "/machine/peripheral/d1", "qcow2", NULL, 512);
    shmig_offer_leave_out(offer, "shared0");
    shmig_offer_keep(offer, "host:8:33:1");
    shmig_offer_keep(offer, "");
    shmig_offer_keep(offer, "host:8:33:2");
    shmig_offer_keep(offer, "host:8:33:1");
    return offer;
}

/* What @offer becomes on the other side; an encoder that refuses and a
 * decoder that does differ in the code only. */
static ShmigOffer *through_wire(const ShmigOffer *offer, GError **errp)
{
    g_autoptr(GBytes) body = shmig_offer_encode(offer, errp);

    return body ? shmig_offer_decode(g_bytes_get_data(body, NULL),
                                     g_bytes_get_size(body), errp)
                : NULL;
}

static void assert_taken(const ShmigOffer *offer)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(ShmigOffer) out = through_wire(offer, &err);

    g_assert_no_error(err);
    g_assert_nonnull(out);
}

static void assert_refused(const ShmigOffer *offer, const char *word)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(through_wire(offer, &err));
    g_assert_error(err, SHMIG_ERROR, SHMIG_ERROR_LIMIT);
    g_assert_nonnull(strstr(err->message, word));
}

static void assert_malformed(const void *body, size_t length)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(shmig_offer_decode(body, length, &err));
    g_assert_error(err, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL);
}

static void test_bytes(void)
{
    g_autoptr(ShmigOffer) offer = shmig_offer_new("pc", 2);
    g_autoptr(GBytes) body = NULL;
    g_autoptr(GError) err = NULL;
    static const uint8_t expected[] = {
        2, 0, 0, 0, 2, 0,   'p',  'c', 1,   0,   0,   0, 1, 0, 'r',  0, 0x10, 0,
        0, 0, 0, 0, 0, 0,   0x20, 0,   0,   0,   0,   0, 0, 0, 0x10, 0, 0,    1,
        0, 0, 0, 1, 0, 'd', 3,    0,   'r', 'a', 'w', 0, 0, 0, 2,    0, 0,    0,
        0, 0, 0, 1, 0, 0,   0,    1,   0,   'e', 1,   0, 0, 0, 1,    0, 'k',
    };

    shmig_offer_add_ram(offer, "r", 4096, 8192, 4096);
    shmig_offer_add_disk(offer, "d", "raw", "", 512);
    shmig_offer_leave_out(offer, "e");
    shmig_offer_keep(offer, "k");
    body = shmig_offer_encode(offer, &err);
    g_assert_no_error(err);
    g_assert_cmpmem(g_bytes_get_data(body, NULL), g_bytes_get_size(body),
                    expected, sizeof(expected));
}

static void test_round_trip(void)
{
    g_autoptr(ShmigOffer) offer = sample();
    g_autoptr(GError) err = NULL;
    g_autoptr(ShmigOffer) out = through_wire(offer, &err);
    ShmigOfferRam *ram;
    ShmigOfferDisk *disk;

    g_assert_no_error(err);
    g_assert_cmpstr(out->machine, ==, "pc-q35-10.0");
    g_assert_cmpuint(out->channels, ==, 4);
    g_assert_cmpuint(out->ram->len, ==, 2);
    ram = out->ram->pdata[1];
    g_assert_cmpstr(ram->name, ==, "/rom@etc/acpi/tables");
    g_assert_cmpuint(ram->used_bytes, ==, 131072);
    g_assert_cmpuint(ram->max_bytes, ==, 2097152);
    g_assert_cmpuint(ram->page_bytes, ==, 4096);
    g_assert_cmpuint(out->disks->len, ==, 2);
    disk = out->disks->pdata[0];
    g_assert_cmpstr(disk->id, ==, "virtio-disk0");
    g_assert_cmpstr(disk->format, ==, "raw");
    g_assert_cmpstr(disk->identity, ==, "host:8:17:1234");
    g_assert_cmpuint(disk->size_bytes, ==, 4 * GIB);
    disk = out->disks->pdata[1];
    g_assert_cmpstr(disk->identity, ==, "");
    g_assert_cmpuint(out->left_out->len, ==, 1);
    g_assert_cmpstr(out->left_out->pdata[0], ==, "shared0");
    g_assert_cmpuint(out->kept->len, ==, 2);
    g_assert_cmpstr(out->kept->pdata[0], ==, "host:8:33:1");
    g_assert_cmpstr(out->kept->pdata[1], ==, "host:8:33:2");
}

static void test_left_out_unique(void)
{
    g_autoptr(ShmigOffer) offer = sample();

    shmig_offer_leave_out(offer, "virtio-disk0");
    assert_refused(offer, "left-out disk 1");
}

static void test_nothing_to_move(void)
{
    g_autoptr(ShmigOffer) offer = shmig_offer_new("pc", 1);

    assert_taken(offer);
}

/* Each shorter body, and one byte more, is malformed. */
static void test_each_length(void)
{
    g_autoptr(ShmigOffer) offer = sample();
    g_autoptr(GBytes) body = shmig_offer_encode(offer, NULL);
    size_t length = g_bytes_get_size(body);

    for (size_t n = 0; n < length; n++) {
        g_autofree void *cut = g_memdup2(g_bytes_get_data(body, NULL), n);

        assert_malformed(cut, n);
    }
    {
        g_autofree uint8_t *longer = g_malloc0(length + 1);

        memcpy(longer, g_bytes_get_data(body, NULL), length);
        assert_malformed(longer, length + 1);
    }
}

static void test_body_too_long(void)
{
    g_autofree uint8_t *body = g_malloc0(SHMIG_MAX_BODY + 1);

    assert_malformed(body, SHMIG_MAX_BODY + 1);
}

static void test_channels(void)
{
    static const struct {
        uint32_t channels;
        bool ok;
    } cases[] = {
        { 0, false }, { 1, true },   { 63, true },
        { 64, true }, { 65, false }, { UINT32_MAX, false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(ShmigOffer) offer = shmig_offer_new("pc", cases[i].channels);

        if (cases[i].ok) {
            assert_taken(offer);
        } else {
            assert_refused(offer, "channels");
        }
    }
}

static void test_most_and_longest(void)
{
    g_autoptr(ShmigOffer) offer = NULL;
    g_autofree char *name = g_strnfill(SHMIG_MAX_NAME, 'n');
    g_autofree char *identity = g_strnfill(SHMIG_MAX_IDENTITY, 'i');

    offer = shmig_offer_new(name, SHMIG_MAX_CHANNELS);
    for (unsigned i = 0; i < SHMIG_MAX_RAM_BLOCKS; i++) {
        g_autofree char *unique = g_strdup_printf("%04u%s", i, name + 4);

        shmig_offer_add_ram(offer, unique, INT64_MAX, INT64_MAX, 1u << 31);
    }
    for (unsigned i = 0; i < SHMIG_MAX_DISKS; i++) {
        g_autofree char *unique = g_strdup_printf("%04u%s", i, name + 4);

        shmig_offer_add_disk(offer, unique, name, identity, INT64_MAX);
        unique[4] = 'o';
        shmig_offer_leave_out(offer, unique);
    }
    for (unsigned i = 0; i < SHMIG_MAX_KEPT; i++) {
        g_autofree char *unique = g_strdup_printf("%04u%s", i, identity + 4);

        shmig_offer_keep(offer, unique);
    }
    assert_taken(offer);
    shmig_offer_add_disk(offer, "more", "raw", "", 512);
    assert_refused(offer, "257 disks");
    g_ptr_array_set_size(offer->disks, 1);
    shmig_offer_add_ram(offer, "more", 4096, 4096, 4096);
    assert_refused(offer, "1025 RAM blocks");
    g_ptr_array_set_size(offer->ram, 1);
    shmig_offer_leave_out(offer, "more");
    assert_refused(offer, "257 left-out disks");
    g_ptr_array_set_size(offer->left_out, 1);
    shmig_offer_keep(offer, "more");
    assert_refused(offer, "1025 kept storages");
}

/* A count the body has no bytes for is not believed. */
static void test_counts_from_wire(void)
{
    static const uint32_t counts[] = { 1, 256, 257, 1024, 1025, UINT32_MAX };

    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        uint8_t ram[] = { 1, 0, 0, 0, 1, 0, 'p', 0, 0, 0, 0, 0, 0, 0, 0 };
        uint8_t disks[] = { 1, 0, 0, 0, 1, 0, 'p', 0, 0, 0, 0, 0, 0, 0, 0 };
        uint8_t left_out[] = { 1, 0, 0, 0, 1, 0, 'p', 0, 0, 0,
                               0, 0, 0, 0, 0, 0, 0,   0, 0 };
        uint8_t kept[] = { 1, 0, 0, 0, 1, 0, 'p', 0, 0, 0, 0, 0,
                           0, 0, 0, 0, 0, 0, 0,   0, 0, 0, 0 };
        uint32_t le = GUINT32_TO_LE(counts[i]);

        memcpy(ram + 7, &le, sizeof(le));
        assert_malformed(ram, sizeof(ram));
        memcpy(disks + 11, &le, sizeof(le));
        assert_malformed(disks, sizeof(disks));
        memcpy(left_out + 15, &le, sizeof(le));
        assert_malformed(left_out, sizeof(left_out));
        memcpy(kept + 19, &le, sizeof(le));
        assert_malformed(kept, sizeof(kept));
    }
}

static void test_name_lengths(void)
{
    for (size_t n = SHMIG_MAX_NAME - 1; n <= SHMIG_MAX_NAME + 1; n++) {
        g_autofree char *name = g_strnfill(n, 'x');
        g_autoptr(ShmigOffer) machine = shmig_offer_new(name, 1);
        g_autoptr(ShmigOffer) ram = shmig_offer_new("pc", 1);
        g_autoptr(ShmigOffer) disk = shmig_offer_new("pc", 1);
        g_autoptr(ShmigOffer) format = shmig_offer_new("pc", 1);

        shmig_offer_add_ram(ram, name, 4096, 4096, 4096);
        shmig_offer_add_disk(disk, name, "raw", "", 512);
        shmig_offer_add_disk(format, "vda", name, "", 512);
        if (n <= SHMIG_MAX_NAME) {
            assert_taken(machine);
            assert_taken(ram);
            assert_taken(disk);
            assert_taken(format);
        } else {
            assert_refused(machine, "machine type");
            assert_refused(ram, "RAM block 0");
            assert_refused(disk, "disk 0");
            assert_refused(format, "disk \"vda\"");
        }
    }
}

static void test_identity_lengths(void)
{
    for (size_t n = SHMIG_MAX_IDENTITY - 1; n <= SHMIG_MAX_IDENTITY + 1; n++) {
        g_autofree char *identity = g_strnfill(n, '\n');
        g_autoptr(ShmigOffer) offer = shmig_offer_new("pc", 1);
        g_autoptr(ShmigOffer) kept = shmig_offer_new("pc", 1);

        shmig_offer_add_disk(offer, "vda", "raw", identity, 512);
        shmig_offer_keep(kept, identity);
        if (n <= SHMIG_MAX_IDENTITY) {
            assert_taken(offer);
            assert_taken(kept);
        } else {
            assert_refused(offer, "disk \"vda\"");
            assert_refused(kept, "kept storage 0");
        }
    }
}

static void test_bad_names(void)
{
    static const char *const names[] = { "", "a\nb", "\033[2J", "\xff", NULL };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(ShmigOffer) machine = shmig_offer_new(names[i], 1);
        g_autoptr(ShmigOffer) ram = shmig_offer_new("pc", 1);
        g_autoptr(ShmigOffer) disk = shmig_offer_new("pc", 1);
        g_autoptr(ShmigOffer) left_out = shmig_offer_new("pc", 1);

        shmig_offer_add_ram(ram, names[i], 4096, 4096, 4096);
        shmig_offer_add_disk(disk, names[i], "raw", "", 512);
        assert_refused(machine, "machine type");
        assert_refused(ram, "RAM block 0");
        assert_refused(disk, "disk 0");
        shmig_offer_leave_out(left_out, names[i]);
        assert_refused(left_out, "left-out disk 0");
    }
}

static void test_doubled_names(void)
{
    g_autoptr(ShmigOffer) ram = shmig_offer_new("pc", 1);
    g_autoptr(ShmigOffer) disk = shmig_offer_new("pc", 1);

    shmig_offer_add_ram(ram, "one", 4096, 4096, 4096);
    shmig_offer_add_disk(ram, "one", "raw", "", 512);
    assert_taken(ram);
    shmig_offer_add_ram(ram, "one", 4096, 4096, 4096);
    assert_refused(ram, "same name");
    shmig_offer_add_disk(disk, "one", "raw", "", 512);
    shmig_offer_add_disk(disk, "one", "raw", "", 512);
    assert_refused(disk, "same id");
}

static void test_ram_sizes(void)
{
    static const struct {
        uint64_t used, max;
        uint32_t page;
        bool ok;
    } cases[] = {
        { 0, 4096, 4096, false },
        { 4096, 0, 4096, false },
        { 4095, 4096, 4096, true },
        { 4096, 4096, 4096, true },
        { 4097, 4096, 4096, false },
        { INT64_MAX - 1, INT64_MAX, 4096, true },
        { INT64_MAX, INT64_MAX, 4096, true },
        { INT64_MAX, 1ull << 63, 4096, false },
        { 1ull << 63, 1ull << 63, 4096, false },
        { UINT64_MAX, UINT64_MAX, 4096, false },
        { 4096, 4096, 0, false },
        { 4096, 4096, 2048, false },
        { 4096, 4096, 4095, false },
        { 4096, 4096, 4097, false },
        { 4096, 4096, 12288, false },
        { 4096, 4096, 1u << 21, true },
        { 4096, 4096, 1u << 31, true },
        { 4096, 4096, (1u << 31) + 1, false },
        { 4096, 4096, UINT32_MAX, false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(ShmigOffer) offer = shmig_offer_new("pc", 1);

        shmig_offer_add_ram(offer, "pc.ram", cases[i].used, cases[i].max,
                            cases[i].page);
        if (cases[i].ok) {
            assert_taken(offer);
        } else {
            assert_refused(offer, "RAM block \"pc.ram\"");
        }
    }
}

static void test_disk_sizes(void)
{
    static const struct {
        uint64_t size;
        bool ok;
    } cases[] = {
        { 0, false },          { 1, true },
        { 512, true },         { INT64_MAX - 1, true },
        { INT64_MAX, true },   { 1ull << 63, false },
        { UINT64_MAX, false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(ShmigOffer) offer = shmig_offer_new("pc", 1);

        shmig_offer_add_disk(offer, "vda", "raw", "", cases[i].size);
        if (cases[i].ok) {
            assert_taken(offer);
        } else {
            assert_refused(offer, "disk \"vda\": its size");
        }
    }
}

/* The decoder checks for itself: bytes no encoder makes. */
static void test_decoder_checks(void)
{
    g_autoptr(ShmigOffer) offer = shmig_offer_new("pc", 2);
    g_autoptr(GBytes) body = NULL;
    g_autofree uint8_t *bytes = NULL;
    size_t length;
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {
        { 0, 0 },  { 0, 65 },    { 6, '\n' },  { 6, 0 },     { 6, 0xff },
        { 14, 7 }, { 22, 0x80 }, { 16, 0x30 }, { 32, 0x30 }, { 41, 0 },
        { 44, 1 }, { 68, 0 },    { 68, 2 },    { 70, 0 },
    };

    shmig_offer_add_ram(offer, "r", 4096, 8192, 4096);
    shmig_offer_add_disk(offer, "d", "raw", "", 512);
    shmig_offer_leave_out(offer, "e");
    shmig_offer_keep(offer, "k");
    body = shmig_offer_encode(offer, NULL);
    length = g_bytes_get_size(body);
    bytes = g_memdup2(g_bytes_get_data(body, NULL), length);
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
        uint8_t was = bytes[changes[i].at];

        bytes[changes[i].at] = changes[i].value;
        assert_malformed(bytes, length);
        bytes[changes[i].at] = was;
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/offer/bytes", test_bytes);
    g_test_add_func("/wire/offer/left-out-unique", test_left_out_unique);
    g_test_add_func("/wire/offer/round-trip", test_round_trip);
    g_test_add_func("/wire/offer/nothing-to-move", test_nothing_to_move);
    g_test_add_func("/wire/offer/each-length", test_each_length);
    g_test_add_func("/wire/offer/body-too-long", test_body_too_long);
    g_test_add_func("/wire/offer/channels", test_channels);
    g_test_add_func("/wire/offer/most-and-longest", test_most_and_longest);
    g_test_add_func("/wire/offer/counts-from-wire", test_counts_from_wire);
    g_test_add_func("/wire/offer/name-lengths", test_name_lengths);
    g_test_add_func("/wire/offer/identity-lengths", test_identity_lengths);
    g_test_add_func("/wire/offer/bad-names", test_bad_names);
    g_test_add_func("/wire/offer/doubled-names", test_doubled_names);
    g_test_add_func("/wire/offer/ram-sizes", test_ram_sizes);
    g_test_add_func("/wire/offer/disk-sizes", test_disk_sizes);
    g_test_add_func("/wire/offer/decoder-checks", test_decoder_checks);
    return g_test_run();
}
