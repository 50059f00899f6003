/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What offsets and lengths are multiples of; docs/protocol.md, "DATA". */
#ifndef SHMIG_BASE_UNITS_H
#define SHMIG_BASE_UNITS_H

/* Of disks: every file and device takes it through any cached descriptor. */
#define SHMIG_SECTOR_BYTES 512
/* Of RAM; and what O_DIRECT is content with nearly everywhere. */
#define SHMIG_PAGE_BYTES 4096

#endif
