/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing the disks.
 *
 * A slot's buffer holds template bytes for good; a write only stamps the eight
 * words of each sector.  Two requests in flight do not overlap, so what each
 * sector must hold afterwards is known; if they are allowed to, nothing is
 * expected of the sectors of both until the next write.
 */
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "disk.h"
#include "disk-internal.h"
#include "memory.h"
#include "options.h"
#include "service.h"

#define SECTORS_PER_MIB 2048u
#define SLOT_WORDS (GUEST_SLOT_SECTORS * GUEST_SECTOR_WORDS)
#define PLACE_TRIES 4
#define NOWHERE UINT32_MAX

Disk disks[GUEST_MAX_DISKS];

static bool running;
static uint32_t error_lines;

/* Fills a slot's buffer with the template bytes that belong to it. */
static void fill_slot(uint32_t *buffer, uint32_t slot)
{
    uint32_t template_words = state->template_pages * GUEST_PAGE_WORDS;
    const uint32_t *template = (const uint32_t *)state->template_address;

    words_copy(buffer, template + slot * SLOT_WORDS % template_words,
               SLOT_WORDS);
}

static bool allocate(Disk *disk)
{
    disk->expect = memory_allocate((uint64_t)disk->state->region_sectors * 4);
    if (!disk->expect) {
        return false;
    }
    disk->state->expect_address = (uint32_t)disk->expect;
    for (uint32_t i = 0; i < options.depth; i++) {
        disk->write_buffer[i] = memory_allocate_dirty(SLOT_WORDS * 4);
        disk->read_buffer[i] = memory_allocate_dirty(SLOT_WORDS * 4);
        if (!disk->write_buffer[i] || !disk->read_buffer[i]) {
            return false;
        }
        fill_slot(disk->write_buffer[i], i);
    }
    return true;
}

static const char *add_disk(VirtioBlk *blk)
{
    Disk *disk = &disks[state->disks];
    uint32_t first = options.disk_first_mib * SECTORS_PER_MIB;
    uint32_t size = virtio_blk_sectors(blk), region = 0;

    disk->blk = blk;
    disk->number = state->disks;
    disk->state = &state->disk[state->disks];
    disk->random = (options.seed ^ (disk->number + 1) * 0x51ed2701u) | 1;
    if (virtio_blk_can(blk, GUEST_OP_WRITE) && first < size) {
        region = size - first;
        if (region > options.disk_mib * SECTORS_PER_MIB) {
            region = options.disk_mib * SECTORS_PER_MIB;
        }
    }
    disk->state->region_sectors = region;
    disk->state->first_lba = first;
    disk->state->blank = options.blank;
    disk->state->pci_devfn = virtio_blk_devfn(blk);
    if (!allocate(disk)) {
        return "tables and buffers of a disk do not fit in memory";
    }
    state->disks++;
    return NULL;
}

const char *disk_init(void)
{
    uint32_t devfn = 0;
    const char *error;
    VirtioBlk *blk;

    while ((blk = virtio_blk_probe(&devfn, &error))) {
        error = add_disk(blk);
        if (error) {
            return error;
        }
    }
    return error;
}

static void stamp(const Disk *disk, uint32_t slot, uint32_t lba,
                  uint32_t sectors, uint32_t time_ms)
{
    uint32_t *w = disk->write_buffer[slot];

    for (uint32_t i = 0; i < sectors; i++, w += GUEST_SECTOR_WORDS) {
        w[GUEST_SW_MAGIC] = GUEST_SECTOR_MAGIC;
        w[GUEST_SW_LBA] = lba + i;
        w[GUEST_SW_SEQUENCE] = disk->state->sequence;
        w[GUEST_SW_PLACE] = disk->number | slot << 8 | i << 16;
        w[GUEST_SW_TIME_MS] = time_ms;
        w[GUEST_SW_SEED] = state->seed;
        w[GUEST_SW_CHECK] = guest_sector_check(w);
        w[GUEST_SW_TRAILER] = ~w[GUEST_SW_CHECK];
    }
}

/* Whether the request in flight in `slot`, if any, touches these sectors. */
static bool touches(const Disk *disk, uint32_t slot, uint32_t sector,
                    uint32_t sectors)
{
    const GuestInFlight *r = &disk->state->in_flight[slot];
    uint32_t lba = disk->state->first_lba + sector;

    return r->op != GUEST_OP_NONE && lba < r->lba + r->sectors &&
           r->lba < lba + sectors;
}

static bool overlaps(const Disk *disk, uint32_t sector, uint32_t sectors)
{
    for (uint32_t i = 0; disk->busy && i < options.depth; i++) {
        if (touches(disk, i, sector, sectors)) {
            return true;
        }
    }
    return false;
}

static void note_contention(Disk *disk, uint32_t slot, uint32_t sector,
                            uint32_t sectors)
{
    disk->contended[slot] = false;
    for (uint32_t i = 0; disk->busy && i < options.depth; i++) {
        if (touches(disk, i, sector, sectors)) {
            disk->contended[i] = true;
            disk->contended[slot] = true;
        }
    }
}

void disk_submit(Disk *disk, uint32_t slot, uint32_t op, uint32_t sector,
                 uint32_t sectors)
{
    GuestInFlight *request = &disk->state->in_flight[slot];
    uint32_t lba = disk->state->first_lba + sector;
    uint64_t now = clock_ns();

    if (op == GUEST_OP_WRITE) {
        disk->state->sequence++;
        stamp(disk, slot, lba, sectors, divide(now, 1000000, NULL));
    }
    note_contention(disk, slot, sector, sectors);
    request->lba = lba;
    request->sectors = sectors;
    request->sequence = disk->state->sequence;
    request->op = op;
    disk->submitted_ns[slot] = now;
    disk->busy++;
    virtio_blk_submit(disk->blk, slot, op, lba, sectors,
                      op == GUEST_OP_READ ? disk->read_buffer[slot]
                                          : disk->write_buffer[slot]);
}

static void expect_sectors(Disk *disk, const GuestInFlight *request,
                           uint32_t what)
{
    words_set(disk->expect + (request->lba - disk->state->first_lba), what,
              request->sectors);
}

static const char *op_name(uint32_t op)
{
    static const char *const names[] = { "none",    "write", "flush",
                                         "discard", "zero",  "read" };

    return names[op];
}

static void note_error(Disk *disk, const GuestInFlight *request,
                       uint32_t status)
{
    disk->errors++;
    if (request->op != GUEST_OP_READ && request->op != GUEST_OP_FLUSH) {
        expect_sectors(disk, request, GUEST_EXPECT_ANYTHING);
    }
    if (error_lines++ < GUEST_MAX_IOERR_LINES) {
        console_line("IOERR disk=%u op=%s lba=%u sectors=%u status=%u",
                     disk->number, op_name(request->op), request->lba,
                     request->sectors, status);
    }
}

static void check_read(Disk *disk, uint32_t slot, const GuestInFlight *request)
{
    uint32_t sector = request->lba - disk->state->first_lba, first;
    uint32_t bad = disk_check(disk, disk->read_buffer[slot], sector,
                              request->sectors, &first);

    if (bad && !disk->bad_reads++) {
        disk_print_bad(disk,
                       disk->read_buffer[slot] +
                           (first - sector) * GUEST_SECTOR_WORDS,
                       first, bad);
    }
}

/* What the sectors of a finished request hold. */
static uint32_t content_after(const Disk *disk, uint32_t slot)
{
    const GuestInFlight *request = &disk->state->in_flight[slot];

    if (disk->contended[slot] || request->op == GUEST_OP_DISCARD) {
        return GUEST_EXPECT_ANYTHING;
    }
    return request->op == GUEST_OP_ZERO ? GUEST_EXPECT_ZERO : request->sequence;
}

static void finish(Disk *disk, uint32_t slot, uint32_t status, uint64_t now)
{
    GuestInFlight *request = &disk->state->in_flight[slot];

    disk->busy--;
    disk->done[request->op]++;
    if (status != VIRTIO_BLK_STATUS_OK) {
        note_error(disk, request, status);
    } else if (request->op == GUEST_OP_READ) {
        if (!disk->contended[slot]) {
            check_read(disk, slot, request);
        }
    } else if (request->op != GUEST_OP_FLUSH) {
        expect_sectors(disk, request, content_after(disk, slot));
    }
    if (request->op == GUEST_OP_WRITE && status == VIRTIO_BLK_STATUS_OK) {
        latency_add(&disk->write_latency,
                    divide(now - disk->submitted_ns[slot], 1000, NULL));
    }
    request->op = GUEST_OP_NONE;
}

uint32_t disk_collect(Disk *disk, uint64_t now_ns)
{
    uint32_t slot, status;

    while (disk->busy && virtio_blk_poll(disk->blk, &slot, &status)) {
        finish(disk, slot, status, now_ns);
    }
    return disk->busy;
}

static uint32_t next_random(Disk *disk)
{
    uint32_t x = disk->random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    disk->random = x;
    return x;
}

static uint32_t choose_sectors(Disk *disk)
{
    uint32_t sectors = options.write_bytes
                           ? options.write_bytes / GUEST_SECTOR_BYTES
                           : 1 + next_random(disk) % GUEST_SLOT_SECTORS;
    uint32_t region = disk->state->region_sectors;

    return sectors < region ? sectors : region;
}

/* A place in the region nothing in flight touches, or NOWHERE. */
static uint32_t choose_sector(Disk *disk, uint32_t sectors)
{
    uint32_t region = disk->state->region_sectors, sector;

    if (options.sequential) {
        sector = disk->next_sector;
        if (sector + sectors > region) {
            sector = 0;
        }
        if (!options.overlap && overlaps(disk, sector, sectors)) {
            return NOWHERE;
        }
        disk->next_sector = sector + sectors;
        return sector;
    }
    for (uint32_t i = 0; i < PLACE_TRIES; i++) {
        sector = mul_high(next_random(disk), region - sectors + 1);
        if (options.write_bytes) {
            sector -= sector % sectors;
        }
        if (options.overlap || !overlaps(disk, sector, sectors)) {
            return sector;
        }
    }
    return NOWHERE;
}

static bool turn(const Disk *disk, uint32_t op, uint32_t one_in)
{
    return one_in && disk->issued % one_in == 0 &&
           virtio_blk_can(disk->blk, op);
}

static uint32_t choose_op(const Disk *disk)
{
    if (turn(disk, GUEST_OP_FLUSH, options.flush)) {
        return GUEST_OP_FLUSH;
    }
    if (turn(disk, GUEST_OP_ZERO, options.zero)) {
        return GUEST_OP_ZERO;
    }
    if (turn(disk, GUEST_OP_DISCARD, options.discard)) {
        return GUEST_OP_DISCARD;
    }
    if (turn(disk, GUEST_OP_READ, options.read)) {
        return GUEST_OP_READ;
    }
    return GUEST_OP_WRITE;
}

static bool start_one(Disk *disk, uint32_t slot)
{
    uint32_t op, sectors, sector;

    disk->issued++;
    op = choose_op(disk);
    if (op == GUEST_OP_FLUSH) {
        disk_submit(disk, slot, op, 0, 0);
        return true;
    }
    sectors = choose_sectors(disk);
    sector = choose_sector(disk, sectors);
    if (sector == NOWHERE) {
        return false;
    }
    disk_submit(disk, slot, op, sector, sectors);
    return true;
}

static void start_due(Disk *disk, uint64_t now)
{
    uint32_t due = rate_due(&disk->rate, options.write, now);

    for (uint32_t slot = 0; due && slot < options.depth; slot++) {
        if (disk->state->in_flight[slot].op != GUEST_OP_NONE) {
            continue;
        }
        if (!start_one(disk, slot)) {
            return;
        }
        disk->rate.done++;
        due--;
        service();
    }
}

bool disk_step(uint64_t now_ns)
{
    bool busy = false;

    for (uint32_t i = 0; i < state->disks; i++) {
        Disk *disk = &disks[i];

        disk_collect(disk, now_ns);
        if (running && options.write && disk->state->region_sectors) {
            start_due(disk, now_ns);
        }
        busy = busy || disk->busy;
    }
    return busy;
}

static void quiesce(void)
{
    for (uint32_t i = 0; i < state->disks; i++) {
        while (disk_collect(&disks[i], service())) {
            cpu_relax();
        }
    }
}

void disk_run(bool run)
{
    running = run;
    if (!run) {
        quiesce();
        return;
    }
    for (uint32_t i = 0; i < state->disks; i++) {
        rate_restart(&disks[i].rate, clock_ns());
    }
}

static void prefill(Disk *disk)
{
    uint32_t sector = 0, region = disk->state->region_sectors, slot = 0;

    while (sector < region) {
        uint32_t sectors = region - sector;

        if (sectors > GUEST_SLOT_SECTORS) {
            sectors = GUEST_SLOT_SECTORS;
        }
        while (disk->state->in_flight[slot].op != GUEST_OP_NONE) {
            disk_collect(disk, service());
        }
        disk_submit(disk, slot, GUEST_OP_WRITE, sector, sectors);
        sector += sectors;
        slot = (slot + 1) % options.depth;
    }
}

void disk_prefill(void)
{
    for (uint32_t i = 0; i < state->disks; i++) {
        prefill(&disks[i]);
    }
    quiesce();
}

void disk_print_stats(void)
{
    for (uint32_t i = 0; i < state->disks; i++) {
        const Disk *d = &disks[i];

        console_line("STAT disk=%u writes=%u flushes=%u zeroes=%u discards=%u "
                     "reads=%u errors=%u bad_reads=%u sequence=%u",
                     i, d->done[GUEST_OP_WRITE], d->done[GUEST_OP_FLUSH],
                     d->done[GUEST_OP_ZERO], d->done[GUEST_OP_DISCARD],
                     d->done[GUEST_OP_READ], d->errors, d->bad_reads,
                     d->state->sequence);
        console_line("STAT disk=%u write_us_p50=%u p99=%u p999=%u max=%u", i,
                     latency_percentile(&d->write_latency, 500),
                     latency_percentile(&d->write_latency, 990),
                     latency_percentile(&d->write_latency, 999),
                     d->write_latency.max_us);
    }
}

void disk_clear_stats(void)
{
    for (uint32_t i = 0; i < state->disks; i++) {
        Disk *d = &disks[i];

        words_set(d->done, 0, sizeof(d->done) / 4);
        words_set(&d->write_latency, 0, sizeof(d->write_latency) / 4);
        d->errors = 0;
        d->bad_reads = 0;
    }
    error_lines = 0;
}
