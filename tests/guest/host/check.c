/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks a test guest's memory dump and disk images. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "../guest-protocol.h"

#define CHUNK_SECTORS 2048u
#define SECTORS_PER_PAGE (GUEST_PAGE_BYTES / GUEST_SECTOR_BYTES)

struct GuestDump {
    GMappedFile *file;
    const guint8 *bytes;
    gsize length;
    const GuestState *state;
    const guint32 *template;
};

/* `count` units of `unit` bytes at a guest address, or NULL with an error. */
static const void *dump_range(const GuestDump *dump, const char *what,
                              guint32 address, guint32 count, guint32 unit,
                              GError **errp)
{
    guint64 end = address + (guint64)count * unit;

    if (address % 4 || end > dump->length) {
        g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "memory dump: %s at 0x%x ends at 0x%" G_GINT64_MODIFIER
                    "x, beyond the dump's end at 0x%zx; dump all of the "
                    "guest's memory",
                    what, address, end, dump->length);
        return NULL;
    }
    return dump->bytes + address;
}

static bool find_state(GuestDump *dump, GError **errp)
{
    const GuestState *s = dump_range(dump, "the guest's state",
                                     GUEST_STATE_ADDRESS, 1, sizeof(*s), errp);

    if (!s) {
        return false;
    }
    if (s->magic != GUEST_STATE_MAGIC || !s->ready ||
        s->disks > GUEST_MAX_DISKS || !s->template_pages) {
        g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "memory dump: no running test guest in it (magic 0x%08x, "
                    "ready %u)",
                    s->magic, s->ready);
        return false;
    }
    dump->state = s;
    dump->template = dump_range(dump, "the template", s->template_address,
                                s->template_pages, GUEST_PAGE_BYTES, errp);
    return dump->template != NULL;
}

GuestDump *guest_dump_open(const char *path, GError **errp)
{
    g_autoptr(GuestDump) dump = g_new0(GuestDump, 1);

    dump->file = g_mapped_file_new(path, FALSE, errp);
    if (!dump->file) {
        return NULL;
    }
    dump->bytes = (const guint8 *)g_mapped_file_get_contents(dump->file);
    dump->length = g_mapped_file_get_length(dump->file);
    return find_state(dump, errp) ? g_steal_pointer(&dump) : NULL;
}

void guest_dump_free(GuestDump *dump)
{
    if (dump) {
        g_clear_pointer(&dump->file, g_mapped_file_unref);
        g_free(dump);
    }
}

unsigned guest_dump_disks(const GuestDump *dump)
{
    return dump->state->disks;
}

static bool all_zero(const guint32 *w, guint32 words)
{
    for (guint32 i = 0; i < words; i++) {
        if (w[i]) {
            return false;
        }
    }
    return true;
}

static void count_bad(GuestCheck *result, guint64 where)
{
    if (!result->bad++) {
        result->first_bad = where;
    }
}

static bool page_in_flight(const GuestState *s, guint32 page)
{
    for (unsigned i = 0; i < GUEST_MAX_CPUS; i++) {
        if (s->page_in_flight[i] == page) {
            return true;
        }
    }
    return false;
}

/* Each stamp by itself: of a page in flight, some may be older than others. */
static bool stamps_ok(const guint32 *w, guint32 id, guint32 version, bool torn)
{
    guint32 old = torn ? version - 1 : version;
    guint32 middle = w[GUEST_WORD_MIDDLE], last = w[GUEST_WORD_LAST];

    return w[GUEST_WORD_ID] == id &&
           (w[GUEST_WORD_VERSION] == version || w[GUEST_WORD_VERSION] == old) &&
           (middle == guest_page_middle(id, version) ||
            middle == guest_page_middle(id, old)) &&
           (last == guest_page_last(id, version) ||
            last == guest_page_last(id, old));
}

static bool words_match(const guint32 *a, const guint32 *b, guint32 first,
                        guint32 end)
{
    return !memcmp(a + first, b + first, (end - first) * sizeof(*a));
}

static bool page_ok(const GuestDump *dump, const guint32 *w, guint32 page,
                    guint32 version)
{
    const GuestState *s = dump->state;
    const guint32 *t =
        dump->template + (gsize)(page % s->template_pages) * GUEST_PAGE_WORDS;

    return stamps_ok(w, guest_page_id(s->seed, page), version,
                     page_in_flight(s, page)) &&
           words_match(w, t, GUEST_WORD_VERSION + 1, GUEST_WORD_MIDDLE) &&
           words_match(w, t, GUEST_WORD_MIDDLE + 1, GUEST_WORD_LAST);
}

bool guest_check_memory(const GuestDump *dump, GuestCheck *result,
                        GError **errp)
{
    const GuestState *s = dump->state;
    const guint32 *memory =
        dump_range(dump, "the filled memory", s->memory_address,
                   s->memory_pages, GUEST_PAGE_BYTES, errp);
    const guint32 *versions, *zero;

    if (!memory) {
        return false;
    }
    versions = dump_range(dump, "the version table", s->version_address,
                          s->memory_pages, sizeof(*versions), errp);
    if (!versions) {
        return false;
    }
    zero = dump_range(dump, "the untouched memory", s->zero_address,
                      s->zero_pages, GUEST_PAGE_BYTES, errp);
    if (!zero) {
        return false;
    }
    *result =
        (GuestCheck) { .checked = s->memory_pages, .zero = s->zero_pages };
    for (guint32 p = 0; p < s->memory_pages; p++) {
        if (!page_ok(dump, memory + (gsize)p * GUEST_PAGE_WORDS, p,
                     versions[p])) {
            count_bad(result, p);
        }
    }
    for (guint32 p = 0; p < s->zero_pages; p++) {
        if (!all_zero(zero + (gsize)p * GUEST_PAGE_WORDS, GUEST_PAGE_WORDS)) {
            count_bad(result, (guint64)s->memory_pages + p);
        }
    }
    return true;
}

static bool in_flight(const GuestDiskState *d, guint32 lba)
{
    for (unsigned i = 0; i < GUEST_MAX_SLOTS; i++) {
        const GuestInFlight *r = &d->in_flight[i];

        if (r->op != GUEST_OP_NONE && r->op != GUEST_OP_READ &&
            lba - r->lba < r->sectors) {
            return true;
        }
    }
    return false;
}

static bool sector_ok(const GuestDump *dump, unsigned disk, const guint32 *w,
                      guint32 lba, guint32 sequence)
{
    const GuestState *s = dump->state;
    guint32 place = w[GUEST_SW_PLACE];
    guint32 from = ((place >> 8 & 0xff) * GUEST_SLOT_SECTORS + (place >> 16)) %
                   (s->template_pages * SECTORS_PER_PAGE);
    const guint32 *t = dump->template + (gsize)from * GUEST_SECTOR_WORDS;

    return w[GUEST_SW_MAGIC] == GUEST_SECTOR_MAGIC && w[GUEST_SW_LBA] == lba &&
           w[GUEST_SW_SEQUENCE] == sequence && (place & 0xff) == disk &&
           w[GUEST_SW_SEED] == s->seed &&
           w[GUEST_SW_CHECK] == guest_sector_check(w) &&
           w[GUEST_SW_TRAILER] == ~w[GUEST_SW_CHECK] &&
           words_match(w, t, GUEST_SW_BODY, GUEST_SW_TRAILER);
}

static void check_sector(const GuestDump *dump, unsigned disk, const guint32 *w,
                         guint32 lba, guint32 expect, GuestCheck *result)
{
    const GuestDiskState *d = &dump->state->disk[disk];
    bool untouched = expect == GUEST_EXPECT_UNTOUCHED;

    if (expect == GUEST_EXPECT_ANYTHING || (untouched && !d->blank) ||
        in_flight(d, lba)) {
        result->unknown += !untouched;
    } else if (untouched || expect == GUEST_EXPECT_ZERO) {
        result->zero++;
        if (!all_zero(w, GUEST_SECTOR_WORDS)) {
            count_bad(result, lba);
        }
    } else {
        result->checked++;
        if (!sector_ok(dump, disk, w, lba, expect)) {
            count_bad(result, lba);
        }
    }
}

static bool read_sectors(int fd, const char *image, guint32 lba, void *to,
                         guint32 sectors, GError **errp)
{
    gsize bytes = (gsize)sectors * GUEST_SECTOR_BYTES;
    ssize_t n = pread(fd, to, bytes, (off_t)lba * GUEST_SECTOR_BYTES);

    if (n != (ssize_t)bytes) {
        int code = n < 0 ? errno : EIO;

        g_set_error(errp, G_FILE_ERROR, g_file_error_from_errno(code),
                    "image \"%s\": reading %u sectors at LBA %u: %s", image,
                    sectors, lba, n < 0 ? g_strerror(code) : "too short");
        return false;
    }
    return true;
}

static bool check_image(const GuestDump *dump, unsigned disk, int fd,
                        const char *image, GuestCheck *result, GError **errp)
{
    const GuestDiskState *d = &dump->state->disk[disk];
    const guint32 *expect =
        dump_range(dump, "a disk's table", d->expect_address, d->region_sectors,
                   sizeof(*expect), errp);
    g_autofree guint32 *data = g_malloc(CHUNK_SECTORS * GUEST_SECTOR_BYTES);
    guint32 sectors;

    if (!expect) {
        return false;
    }
    for (guint32 s = 0; s < d->region_sectors; s += sectors) {
        sectors = MIN(CHUNK_SECTORS, d->region_sectors - s);
        if (!read_sectors(fd, image, d->first_lba + s, data, sectors, errp)) {
            return false;
        }
        for (guint32 i = 0; i < sectors; i++) {
            check_sector(dump, disk, data + i * GUEST_SECTOR_WORDS,
                         d->first_lba + s + i, expect[s + i], result);
        }
    }
    return true;
}

bool guest_check_disk(const GuestDump *dump, unsigned disk, const char *image,
                      GuestCheck *result, GError **errp)
{
    GuestCheck found = { 0 };
    bool ok;
    int fd;

    if (disk >= dump->state->disks) {
        g_set_error(errp, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "image \"%s\": the guest has %u disks, there is no disk "
                    "%u",
                    image, dump->state->disks, disk);
        return false;
    }
    fd = open(image, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        g_set_error(errp, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "image \"%s\": %s", image, g_strerror(errno));
        return false;
    }
    ok = check_image(dump, disk, fd, image, &found, errp);
    close(fd);
    if (ok) {
        *result = found;
    }
    return ok;
}
