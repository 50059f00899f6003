/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the memory-*.c files share: where things are. */
#ifndef GUEST_MEMORY_INTERNAL_H
#define GUEST_MEMORY_INTERNAL_H

#include "state.h"

#define MIB 0x100000u
#define PAGES_PER_MIB (MIB / GUEST_PAGE_BYTES)

/* The first CPU calls service() once in so many pages. */
#define SERVICE_PAGES 16u

/* The template page that filled page `page` is made of. */
static inline uint32_t *template_page(uint32_t page)
{
    return (uint32_t *)(state->template_address +
                        page % state->template_pages * GUEST_PAGE_BYTES);
}

static inline uint32_t *memory_page(uint32_t page)
{
    return (uint32_t *)(state->memory_address + page * GUEST_PAGE_BYTES);
}

/* One version for each filled page; each CPU writes those of its own part. */
static inline uint32_t *version_table(void)
{
    return (uint32_t *)state->version_address;
}

#endif
