/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The offer; docs/protocol.md, "OFFER".  One check serves both directions:
 * what the source must not say is what the destination does not believe.
 */
#include "shmig/wire/offer.h"

#include <string.h>

#include "shmig/base/error.h"
#include "shmig/base/range.h"
#include "shmig/wire/pack.h"
#include "shmig/wire/text.h"

/* Whatever keeps the limits one by one fits the body as a whole. */
#define STRING_BYTES(max) (2 + (max))
G_STATIC_ASSERT(20 + STRING_BYTES(SHMIG_MAX_NAME) +
                    SHMIG_MAX_RAM_BLOCKS * (STRING_BYTES(SHMIG_MAX_NAME) + 20) +
                    SHMIG_MAX_DISKS * (2 * STRING_BYTES(SHMIG_MAX_NAME) +
                                       STRING_BYTES(SHMIG_MAX_IDENTITY) + 8 +
                                       STRING_BYTES(SHMIG_MAX_NAME)) +
                    SHMIG_MAX_KEPT * STRING_BYTES(SHMIG_MAX_IDENTITY) <=
                SHMIG_MAX_BODY);

static void offer_ram_free(void *opaque)
{
    ShmigOfferRam *ram = opaque;

    g_free(ram->name);
    g_free(ram);
}

static void offer_disk_free(void *opaque)
{
    ShmigOfferDisk *disk = opaque;

    g_free(disk->id);
    g_free(disk->format);
    g_free(disk->identity);
    g_free(disk);
}

ShmigOffer *shmig_offer_new(const char *machine, uint32_t channels)
{
    ShmigOffer *offer = g_new0(ShmigOffer, 1);

    offer->machine = g_strdup(machine);
    offer->channels = channels;
    offer->ram = g_ptr_array_new_with_free_func(offer_ram_free);
    offer->disks = g_ptr_array_new_with_free_func(offer_disk_free);
    offer->left_out = g_ptr_array_new_with_free_func(g_free);
    offer->kept = g_ptr_array_new_with_free_func(g_free);
    return offer;
}

void shmig_offer_free(ShmigOffer *offer)
{
    if (!offer) {
        return;
    }
    g_free(offer->machine);
    g_ptr_array_unref(offer->ram);
    g_ptr_array_unref(offer->disks);
    g_ptr_array_unref(offer->left_out);
    g_ptr_array_unref(offer->kept);
    g_free(offer);
}

void shmig_offer_add_ram(ShmigOffer *offer, const char *name,
                         uint64_t used_bytes, uint64_t max_bytes,
                         uint32_t page_bytes)
{
    ShmigOfferRam *ram = g_new0(ShmigOfferRam, 1);

    ram->name = g_strdup(name);
    ram->used_bytes = used_bytes;
    ram->max_bytes = max_bytes;
    ram->page_bytes = page_bytes;
    g_ptr_array_add(offer->ram, ram);
}

void shmig_offer_add_disk(ShmigOffer *offer, const char *id, const char *format,
                          const char *identity, uint64_t size_bytes)
{
    ShmigOfferDisk *disk = g_new0(ShmigOfferDisk, 1);

    disk->id = g_strdup(id);
    disk->format = g_strdup(format ?: "");
    disk->identity = g_strdup(identity ?: "");
    disk->size_bytes = size_bytes;
    g_ptr_array_add(offer->disks, disk);
}

void shmig_offer_leave_out(ShmigOffer *offer, const char *id)
{
    g_ptr_array_add(offer->left_out, g_strdup(id));
}

void shmig_offer_keep(ShmigOffer *offer, const char *identity)
{
    if (*identity && !g_ptr_array_find_with_equal_func(offer->kept, identity,
                                                       g_str_equal, NULL)) {
        g_ptr_array_add(offer->kept, g_strdup(identity));
    }
}

/* Names are not shown before they passed here: they may hold anything. */
static bool name_ok(const char *name)
{
    return name && shmig_range_ok(0, strlen(name), SHMIG_MAX_NAME) &&
           shmig_text_is_name(name);
}

static bool check_ram(const ShmigOfferRam *ram, unsigned index,
                      GHashTable *names, int code, GError **errp)
{
    uint32_t page = ram->page_bytes;
    const char *problem = NULL;

    if (!name_ok(ram->name)) {
        g_set_error(errp, SHMIG_ERROR, code,
                    "offer: RAM block %u: its name is empty, longer than %u "
                    "bytes or not printable",
                    index, SHMIG_MAX_NAME);
        return false;
    }
    if (!shmig_range_ok(0, ram->max_bytes, SHMIG_MAX_REGION_BYTES) ||
        !shmig_range_ok(0, ram->used_bytes, ram->max_bytes)) {
        problem = "its size is 0, above its maximum or out of range";
    } else if (page < SHMIG_MIN_PAGE_BYTES || page > SHMIG_MAX_PAGE_BYTES ||
               (page & (page - 1))) {
        problem = "its page size is not a power of two from 4 KiB to 2 GiB";
    } else if (!g_hash_table_add(names, ram->name)) {
        problem = "another one has the same name";
    }
    if (problem) {
        g_set_error(errp, SHMIG_ERROR, code, "offer: RAM block \"%s\": %s",
                    ram->name, problem);
    }
    return !problem;
}

static bool check_disk(const ShmigOfferDisk *disk, unsigned index,
                       GHashTable *ids, int code, GError **errp)
{
    const char *problem = NULL;

    if (!name_ok(disk->id)) {
        g_set_error(errp, SHMIG_ERROR, code,
                    "offer: disk %u: the id of its guest device is empty, "
                    "longer than %u bytes or not printable; give the device "
                    "another id",
                    index, SHMIG_MAX_NAME);
        return false;
    }
    if (disk->format[0] != '\0' && !name_ok(disk->format)) {
        problem = "the name of its format is too long or not printable";
    } else if (strlen(disk->identity) > SHMIG_MAX_IDENTITY) {
        problem = "the identity of its storage is too long";
    } else if (!shmig_range_ok(0, disk->size_bytes, SHMIG_MAX_REGION_BYTES)) {
        problem = "its size is 0 or out of range";
    } else if (!g_hash_table_add(ids, disk->id)) {
        problem = "another one has the same id";
    }
    if (problem) {
        g_set_error(errp, SHMIG_ERROR, code, "offer: disk \"%s\": %s", disk->id,
                    problem);
    }
    return !problem;
}

static bool check_left_out(const GPtrArray *left_out, GHashTable *ids, int code,
                           GError **errp)
{
    for (unsigned i = 0; i < left_out->len; i++) {
        char *id = left_out->pdata[i];

        if (!name_ok(id) || !g_hash_table_add(ids, id)) {
            g_set_error(errp, SHMIG_ERROR, code,
                        "offer: left-out disk %u: its id is empty, longer "
                        "than %u bytes, not printable, or not the only one",
                        i, SHMIG_MAX_NAME);
            return false;
        }
    }
    return true;
}

static bool check_kept(const GPtrArray *kept, int code, GError **errp)
{
    for (unsigned i = 0; i < kept->len; i++) {
        const char *identity = kept->pdata[i];

        if (!identity ||
            !shmig_range_ok(0, strlen(identity), SHMIG_MAX_IDENTITY)) {
            g_set_error(errp, SHMIG_ERROR, code,
                        "offer: kept storage %u: its identity is empty or "
                        "longer than %u bytes",
                        i, SHMIG_MAX_IDENTITY);
            return false;
        }
    }
    return true;
}

static bool check_count(const char *what, uint32_t n, uint32_t min,
                        uint32_t max, int code, GError **errp)
{
    if (n < min || n > max) {
        g_set_error(errp, SHMIG_ERROR, code,
                    "offer: %u %s, there may be %u to %u", n, what, min, max);
        return false;
    }
    return true;
}

static bool check_offer(const ShmigOffer *offer, int code, GError **errp)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) ids = g_hash_table_new(g_str_hash, g_str_equal);

    if (!check_count("channels", offer->channels, 1, SHMIG_MAX_CHANNELS, code,
                     errp) ||
        !check_count("RAM blocks", offer->ram->len, 0, SHMIG_MAX_RAM_BLOCKS,
                     code, errp) ||
        !check_count("disks", offer->disks->len, 0, SHMIG_MAX_DISKS, code,
                     errp) ||
        !check_count("left-out disks", offer->left_out->len, 0, SHMIG_MAX_DISKS,
                     code, errp) ||
        !check_count("kept storages", offer->kept->len, 0, SHMIG_MAX_KEPT, code,
                     errp)) {
        return false;
    }
    if (!name_ok(offer->machine)) {
        g_set_error(errp, SHMIG_ERROR, code,
                    "offer: the machine type is empty, longer than %u bytes "
                    "or not printable",
                    SHMIG_MAX_NAME);
        return false;
    }
    for (unsigned i = 0; i < offer->ram->len; i++) {
        if (!check_ram(offer->ram->pdata[i], i, names, code, errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < offer->disks->len; i++) {
        if (!check_disk(offer->disks->pdata[i], i, ids, code, errp)) {
            return false;
        }
    }
    return check_left_out(offer->left_out, ids, code, errp) &&
           check_kept(offer->kept, code, errp);
}

static void write_text(GByteArray *out, const char *text)
{
    shmig_write_string(out, text, strlen(text));
}

GBytes *shmig_offer_encode(const ShmigOffer *offer, GError **errp)
{
    GByteArray *out;

    if (!check_offer(offer, SHMIG_ERROR_LIMIT, errp)) {
        return NULL;
    }
    out = g_byte_array_new();
    shmig_write_u32(out, offer->channels);
    write_text(out, offer->machine);
    shmig_write_u32(out, offer->ram->len);
    for (unsigned i = 0; i < offer->ram->len; i++) {
        const ShmigOfferRam *ram = offer->ram->pdata[i];

        write_text(out, ram->name);
        shmig_write_u64(out, ram->used_bytes);
        shmig_write_u64(out, ram->max_bytes);
        shmig_write_u32(out, ram->page_bytes);
    }
    shmig_write_u32(out, offer->disks->len);
    for (unsigned i = 0; i < offer->disks->len; i++) {
        const ShmigOfferDisk *disk = offer->disks->pdata[i];

        write_text(out, disk->id);
        write_text(out, disk->format);
        write_text(out, disk->identity);
        shmig_write_u64(out, disk->size_bytes);
    }
    shmig_write_u32(out, offer->left_out->len);
    for (unsigned i = 0; i < offer->left_out->len; i++) {
        write_text(out, offer->left_out->pdata[i]);
    }
    shmig_write_u32(out, offer->kept->len);
    for (unsigned i = 0; i < offer->kept->len; i++) {
        write_text(out, offer->kept->pdata[i]);
    }
    return g_byte_array_free_to_bytes(out);
}

static void read_ram(ShmigReader *reader, ShmigOffer *offer)
{
    ShmigOfferRam *ram = g_new0(ShmigOfferRam, 1);

    g_ptr_array_add(offer->ram, ram);
    ram->name = shmig_reader_string(reader, SHMIG_MAX_NAME);
    ram->used_bytes = shmig_reader_u64(reader);
    ram->max_bytes = shmig_reader_u64(reader);
    ram->page_bytes = shmig_reader_u32(reader);
}

static void read_disk(ShmigReader *reader, ShmigOffer *offer)
{
    ShmigOfferDisk *disk = g_new0(ShmigOfferDisk, 1);

    g_ptr_array_add(offer->disks, disk);
    disk->id = shmig_reader_string(reader, SHMIG_MAX_NAME);
    disk->format = shmig_reader_string(reader, SHMIG_MAX_NAME);
    disk->identity = shmig_reader_string(reader, SHMIG_MAX_IDENTITY);
    disk->size_bytes = shmig_reader_u64(reader);
}

static void read_left_out(ShmigReader *reader, ShmigOffer *offer)
{
    g_ptr_array_add(offer->left_out,
                    shmig_reader_string(reader, SHMIG_MAX_NAME));
}

static void read_kept(ShmigReader *reader, ShmigOffer *offer)
{
    g_ptr_array_add(offer->kept,
                    shmig_reader_string(reader, SHMIG_MAX_IDENTITY));
}

/* False and @errp if there is too much of something; else @reader knows. */
static bool read_list(ShmigReader *reader, ShmigOffer *offer, const char *what,
                      uint32_t max,
                      void (*read_one)(ShmigReader *reader, ShmigOffer *offer),
                      GError **errp)
{
    uint32_t n = shmig_reader_u32(reader);

    if (!check_count(what, n, 0, max, SHMIG_ERROR_PROTOCOL, errp)) {
        return false;
    }
    for (uint32_t i = 0; i < n && !reader->failed; i++) {
        read_one(reader, offer);
    }
    return true;
}

static bool read_offer(ShmigReader *reader, ShmigOffer *offer, GError **errp)
{
    offer->channels = shmig_reader_u32(reader);
    offer->machine = shmig_reader_string(reader, SHMIG_MAX_NAME);
    return read_list(reader, offer, "RAM blocks", SHMIG_MAX_RAM_BLOCKS,
                     read_ram, errp) &&
           read_list(reader, offer, "disks", SHMIG_MAX_DISKS, read_disk,
                     errp) &&
           read_list(reader, offer, "left-out disks", SHMIG_MAX_DISKS,
                     read_left_out, errp) &&
           read_list(reader, offer, "kept storages", SHMIG_MAX_KEPT, read_kept,
                     errp);
}

ShmigOffer *shmig_offer_decode(const void *body, size_t length, GError **errp)
{
    g_autoptr(ShmigOffer) offer = shmig_offer_new(NULL, 0);
    ShmigReader reader;

    shmig_reader_init(&reader, body, MIN(length, SHMIG_MAX_BODY));
    if (!read_offer(&reader, offer, errp)) {
        return NULL;
    }
    if (length > SHMIG_MAX_BODY || !shmig_reader_done(&reader)) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_PROTOCOL,
                    "offer: malformed: a string or the whole has the wrong "
                    "length");
        return NULL;
    }
    if (!check_offer(offer, SHMIG_ERROR_PROTOCOL, errp)) {
        return NULL;
    }
    return g_steal_pointer(&offer);
}
