/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the test guest and the programs on the host agree on: command-line
 * options, serial lines, and the content of every page and sector.
 *
 * Used by the guest itself (freestanding, 32 bits) and by host code; needs
 * nothing but stdint.h.  README.md beside it explains the same to people.
 */
#ifndef GUEST_PROTOCOL_H
#define GUEST_PROTOCOL_H

#include <stdint.h>

#define GUEST_PAGE_BYTES 4096u
#define GUEST_PAGE_WORDS 1024u
#define GUEST_SECTOR_BYTES 512u
#define GUEST_SECTOR_WORDS 128u
#define GUEST_MAX_DISKS 4u
#define GUEST_MAX_CPUS 16u
#define GUEST_MAX_SLOTS 16u

/*
 * Lines the guest prints on COM1, each ended by "\n".  A line of a kind not
 * listed here may be ignored.  The formats are for sscanf; more KEY=VALUE
 * fields may follow the ones named.
 */
/* Once: set-up is complete, the writers run. */
#define GUEST_LINE_READY "READY"
/* Heartbeat: number, guest clock in ms, longest gap in us since the last. */
#define GUEST_SCAN_TICK "T %u %u %u"
/* Reply to "v" and "w"; the second word is "ok" or "bad". */
#define GUEST_LINE_MEM_OK "MEM ok"
#define GUEST_LINE_MEM_BAD "MEM bad"
/* Reply to "d", one for each disk: number, "ok" or "bad". */
#define GUEST_SCAN_DISK "DISK %u %7s"
/* Time passed on the host (RTC) that the guest's clock did not count. */
#define GUEST_SCAN_CLOCK "CLOCK lost_us=%lld unc_us=%u"
/* A request that failed; at most GUEST_MAX_IOERR_LINES are printed. */
#define GUEST_LINE_IOERR "IOERR"
#define GUEST_MAX_IOERR_LINES 20u
/* Ends the reply to a command: the command's letter, or why it failed. */
#define GUEST_SCAN_DONE "DONE %c"
#define GUEST_LINE_ERROR "ERR"

/* Commands: one letter and "\n"; 'k' is followed by KEY=VALUE. */
#define GUEST_CMD_VERIFY_MEM 'v'       /* every byte */
#define GUEST_CMD_VERIFY_MEM_QUICK 'w' /* the four stamps of each page */
#define GUEST_CMD_VERIFY_DISK 'd'
#define GUEST_CMD_STATS 's'
#define GUEST_CMD_CLEAR_STATS 'z'
#define GUEST_CMD_PAUSE 'p'
#define GUEST_CMD_RUN 'r'
#define GUEST_CMD_CHECKSUM 'c'
#define GUEST_CMD_SET 'k'
#define GUEST_CMD_QUIT 'q'

/* fw_cfg file with the bytes that fill memory and sectors; optional. */
#define GUEST_FW_CFG_TEMPLATE "opt/shmig/template"

/*
 * Pages.  Page `page` of the filled memory holds page `page % template_pages`
 * of the template, with four words replaced.
 */
#define GUEST_WORD_ID 0u
#define GUEST_WORD_VERSION 1u
#define GUEST_WORD_MIDDLE 512u
#define GUEST_WORD_LAST 1023u

static inline uint32_t guest_page_id(uint32_t seed, uint32_t page)
{
    return (page * 0x9e3779b1u) ^ seed;
}

static inline uint32_t guest_page_middle(uint32_t id, uint32_t version)
{
    return (version ^ id) * 0x85ebca6bu;
}

static inline uint32_t guest_page_last(uint32_t id, uint32_t version)
{
    return version + ~id;
}

/*
 * Sectors.  A written sector is self-describing: seven words at its start and
 * one at its end; between them, template bytes.  The sector's place in the
 * template is template sector `slot * 128 + index`, modulo its size.
 */
#define GUEST_SECTOR_MAGIC 0x474d4853u /* "SHMG" */
#define GUEST_SLOT_SECTORS 128u        /* the largest request: 64 KiB */

enum {
    GUEST_SW_MAGIC,
    GUEST_SW_LBA,
    GUEST_SW_SEQUENCE, /* of the request, counted for each disk from 1 */
    GUEST_SW_PLACE,    /* disk | slot << 8 | index << 16 */
    GUEST_SW_TIME_MS,  /* guest clock at submission */
    GUEST_SW_SEED,
    GUEST_SW_CHECK,
    GUEST_SW_BODY,
    GUEST_SW_TRAILER = 127, /* ~check: shows a sector torn in the middle */
};

static inline uint32_t guest_sector_check(const uint32_t *w)
{
    return ((w[GUEST_SW_LBA] * 0x9e3779b1u) ^ w[GUEST_SW_SEQUENCE]) *
               0x85ebca6bu +
           w[GUEST_SW_PLACE] + w[GUEST_SW_TIME_MS] + (w[GUEST_SW_SEED] << 1);
}

/*
 * What is expected of each sector of a disk's region: one word for each.
 * Any other value is the sequence number of the last write.
 */
#define GUEST_EXPECT_UNTOUCHED 0u         /* never written by the guest */
#define GUEST_EXPECT_ZERO 0xffffffffu     /* write-zeroes succeeded */
#define GUEST_EXPECT_ANYTHING 0xfffffffeu /* discarded, or a failed write */
#define GUEST_EXPECT_MAX_SEQUENCE 0xffff0000u

/*
 * The guest's knowledge, at a fixed physical address, so that a program on the
 * host can check a memory dump and disk images without asking the guest.
 * Addresses are physical; all fields are little-endian words.
 */
#define GUEST_STATE_ADDRESS 0x200000u
#define GUEST_STATE_MAGIC 0x31534753u /* "SGS1" */
#define GUEST_NO_PAGE 0xffffffffu

/* A request between submission and completion (op 0: none). */
typedef struct GuestInFlight {
    uint32_t op; /* GUEST_OP_* */
    uint32_t lba;
    uint32_t sectors;
    uint32_t sequence;
} GuestInFlight;

#define GUEST_OP_NONE 0u
#define GUEST_OP_WRITE 1u
#define GUEST_OP_FLUSH 2u
#define GUEST_OP_DISCARD 3u
#define GUEST_OP_ZERO 4u
#define GUEST_OP_READ 5u

typedef struct GuestDiskState {
    uint32_t expect_address; /* region_sectors words GUEST_EXPECT_* */
    uint32_t region_sectors; /* 0: the guest never writes this disk */
    uint32_t first_lba;
    uint32_t blank; /* untouched sectors are known to be zero */
    uint32_t sequence;
    uint32_t pci_devfn;
    GuestInFlight in_flight[GUEST_MAX_SLOTS];
} GuestDiskState;

typedef struct GuestState {
    uint32_t magic;
    uint32_t ready;
    uint32_t seed;
    uint32_t template_address;
    uint32_t template_pages;
    uint32_t memory_address;
    uint32_t memory_pages;
    uint32_t zero_address; /* memory the guest never touched */
    uint32_t zero_pages;
    uint32_t version_address; /* memory_pages words */
    uint32_t cpus;
    uint32_t disks;
    /*
     * The page each CPU is between stamping and done with: its stamps may be
     * of the table's version or the one before.
     */
    uint32_t page_in_flight[GUEST_MAX_CPUS];
    GuestDiskState disk[GUEST_MAX_DISKS];
} GuestState;

#endif
