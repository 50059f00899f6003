/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Big page-aligned buffers, whose pages cost nothing until touched. */
#ifndef SHMIG_BASE_BUFFER_H
#define SHMIG_BASE_BUFFER_H

#include <glib.h>
#include <stdint.h>

/* NULL and an error where the kernel has no room. */
uint8_t *shmig_buffer_new(size_t bytes, GError **errp);
/* NULL is fine. */
void shmig_buffer_free(uint8_t *buffer, size_t bytes);

#endif
