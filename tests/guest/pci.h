/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration space of bus 0, by ports 0xcf8 and 0xcfc. */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include <stdint.h>

#define PCI_DEVFNS 256u
#define PCI_ID 0x00
#define PCI_COMMAND 0x04
#define PCI_BAR0 0x10
#define PCI_COMMAND_IO 0x1
#define PCI_COMMAND_MASTER 0x4

uint32_t pci_read(uint32_t devfn, uint32_t reg);
void pci_write(uint32_t devfn, uint32_t reg, uint32_t value);

/*
 * The devfn at or after `devfn` with vendor and device `id` (device << 16 |
 * vendor), or PCI_DEVFNS.
 */
uint32_t pci_find(uint32_t devfn, uint32_t id);

/* I/O port of the chipset's ACPI registers (PIIX4 or ICH9). */
uint16_t pci_acpi_base(void);

#endif
