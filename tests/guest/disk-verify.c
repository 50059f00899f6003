/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checking the disks: every sector against what the guest knows of it. */
#include "console.h"
#include "cpu.h"
#include "disk.h"
#include "disk-internal.h"
#include "options.h"
#include "service.h"

typedef struct Counts {
    uint32_t checked, zero, unknown;
    uint32_t bad, first_bad;
} Counts;

static bool body_ok(const uint32_t *w)
{
    const uint32_t *template = (const uint32_t *)state->template_address;
    uint32_t sectors =
        state->template_pages * (GUEST_PAGE_BYTES / GUEST_SECTOR_BYTES);
    uint32_t place = w[GUEST_SW_PLACE];
    uint32_t from =
        ((place >> 8 & 0xff) * GUEST_SLOT_SECTORS + (place >> 16)) % sectors;

    return words_equal(w + GUEST_SW_BODY,
                       template + from * GUEST_SECTOR_WORDS + GUEST_SW_BODY,
                       GUEST_SW_TRAILER - GUEST_SW_BODY);
}

static bool written_ok(const Disk *disk, const uint32_t *w, uint32_t lba,
                       uint32_t sequence)
{
    return w[GUEST_SW_MAGIC] == GUEST_SECTOR_MAGIC && w[GUEST_SW_LBA] == lba &&
           w[GUEST_SW_SEQUENCE] == sequence &&
           (w[GUEST_SW_PLACE] & 0xff) == disk->number &&
           w[GUEST_SW_SEED] == state->seed &&
           w[GUEST_SW_CHECK] == guest_sector_check(w) &&
           w[GUEST_SW_TRAILER] == ~w[GUEST_SW_CHECK] && body_ok(w);
}

static bool sector_ok(const Disk *disk, const uint32_t *w, uint32_t sector)
{
    uint32_t expect = disk->expect[sector];

    if (expect == GUEST_EXPECT_ANYTHING ||
        (expect == GUEST_EXPECT_UNTOUCHED && !disk->state->blank)) {
        return true;
    }
    if (expect == GUEST_EXPECT_ZERO || expect == GUEST_EXPECT_UNTOUCHED) {
        return words_zero(w, GUEST_SECTOR_WORDS);
    }
    return written_ok(disk, w, disk->state->first_lba + sector, expect);
}

uint32_t disk_check(const Disk *disk, const uint32_t *data, uint32_t sector,
                    uint32_t sectors, uint32_t *first)
{
    uint32_t bad = 0;

    for (uint32_t i = 0; i < sectors; i++, data += GUEST_SECTOR_WORDS) {
        if (!sector_ok(disk, data, sector + i) && !bad++) {
            *first = sector + i;
        }
    }
    return bad;
}

void disk_print_bad(const Disk *disk, const uint32_t *w, uint32_t sector,
                    uint32_t count)
{
    console_line("DISK %u bad lba=%u count=%u expected=%x found magic=%x "
                 "lba=%u seq=%u place=%x check=%x trailer=%x",
                 disk->number, disk->state->first_lba + sector, count,
                 disk->expect[sector], w[GUEST_SW_MAGIC], w[GUEST_SW_LBA],
                 w[GUEST_SW_SEQUENCE], w[GUEST_SW_PLACE], w[GUEST_SW_CHECK],
                 w[GUEST_SW_TRAILER]);
}

/* Reads into slot 0's buffer; false if the read failed. */
static bool read_sectors(Disk *disk, uint32_t sector, uint32_t sectors)
{
    uint32_t errors = disk->errors, reads = disk->done[GUEST_OP_READ];
    uint32_t slot, status;

    virtio_blk_submit(disk->blk, 0, GUEST_OP_READ,
                      disk->state->first_lba + sector, sectors,
                      disk->read_buffer[0]);
    while (!virtio_blk_poll(disk->blk, &slot, &status)) {
        service();
        cpu_relax();
    }
    if (status != VIRTIO_BLK_STATUS_OK) {
        console_line("IOERR disk=%u op=verify lba=%u sectors=%u status=%u",
                     disk->number, disk->state->first_lba + sector, sectors,
                     status);
        disk->errors = errors + 1;
    }
    disk->done[GUEST_OP_READ] = reads + 1;
    return status == VIRTIO_BLK_STATUS_OK;
}

/* Counts what is expected; true if anything of it needs a look. */
static bool count_chunk(const Disk *disk, uint32_t sector, uint32_t sectors,
                        Counts *counts)
{
    uint32_t anything = 0, look = 0;

    for (uint32_t i = sector; i < sector + sectors; i++) {
        switch (disk->expect[i]) {
        case GUEST_EXPECT_ANYTHING:
            anything++;
            break;
        case GUEST_EXPECT_ZERO:
            counts->zero++;
            look++;
            break;
        case GUEST_EXPECT_UNTOUCHED:
            look += disk->state->blank;
            break;
        default:
            counts->checked++;
            look++;
        }
    }
    counts->unknown += anything;
    return look;
}

static void verify_chunk(Disk *disk, uint32_t sector, uint32_t sectors,
                         Counts *counts)
{
    uint32_t bad, first = sector;

    if (!count_chunk(disk, sector, sectors, counts)) {
        return;
    }
    if (read_sectors(disk, sector, sectors)) {
        bad = disk_check(disk, disk->read_buffer[0], sector, sectors, &first);
    } else {
        bad = sectors;
    }
    if (bad && !counts->bad) {
        counts->first_bad = first;
        disk_print_bad(
            disk, disk->read_buffer[0] + (first - sector) * GUEST_SECTOR_WORDS,
            first, bad);
    }
    counts->bad += bad;
}

static void verify(Disk *disk)
{
    uint32_t region = disk->state->region_sectors, sectors;
    Counts counts = { 0 };

    for (uint32_t sector = 0; sector < region; sector += sectors) {
        sectors = region - sector;
        if (sectors > GUEST_SLOT_SECTORS) {
            sectors = GUEST_SLOT_SECTORS;
        }
        verify_chunk(disk, sector, sectors, &counts);
        service();
    }
    console_line("DISK %u %s sectors=%u zero=%u unknown=%u bad=%u first_lba=%u "
                 "errors=%u bad_reads=%u",
                 disk->number, counts.bad || disk->bad_reads ? "bad" : "ok",
                 counts.checked, counts.zero, counts.unknown, counts.bad,
                 counts.bad ? disk->state->first_lba + counts.first_bad : 0,
                 disk->errors, disk->bad_reads);
}

void disk_verify(void)
{
    for (uint32_t i = 0; i < state->disks; i++) {
        verify(&disks[i]);
    }
}

bool disk_checksum(uint32_t number, uint32_t *sum)
{
    Disk *disk = &disks[number];
    uint32_t region = disk->state->region_sectors, sectors;

    *sum = 0;
    for (uint32_t sector = 0; sector < region; sector += sectors) {
        sectors = region - sector;
        if (sectors > GUEST_SLOT_SECTORS) {
            sectors = GUEST_SLOT_SECTORS;
        }
        if (!read_sectors(disk, sector, sectors)) {
            return false;
        }
        for (uint32_t i = 0; i < sectors * GUEST_SECTOR_WORDS; i++) {
            *sum = (*sum << 1 | *sum >> 31) + disk->read_buffer[0][i];
        }
        service();
    }
    return true;
}
