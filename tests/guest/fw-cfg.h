/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's fw_cfg: the number of CPUs, and files read by DMA. */
#ifndef GUEST_FW_CFG_H
#define GUEST_FW_CFG_H

#include <stdint.h>
#include <stdbool.h>

/* At least 1. */
uint32_t fw_cfg_cpus(void);

/* Looks a file up; false if it is not there or DMA is not offered. */
bool fw_cfg_find(const char *name, uint32_t *key, uint32_t *bytes);

/* Reads the first `bytes` of a file. */
bool fw_cfg_read(uint32_t key, void *to, uint32_t bytes);

#endif
