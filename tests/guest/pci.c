/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration space of bus 0.
 *
 * Other buses are not looked at: finding them costs some 10,000 port accesses
 * and QEMU puts devices on bus 0 unless told otherwise.
 */
#include "pci.h"
#include "cpu.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc

#define ID_NONE 0xffffffffu
#define ID_PIIX4_ACPI 0x71138086u
#define ID_ICH9_LPC 0x29188086u
#define ACPI_BASE_REGISTER 0x40
#define ACPI_BASE_USUAL 0x600

static void select_register(uint32_t devfn, uint32_t reg)
{
    out32(CONFIG_ADDRESS, 0x80000000u | devfn << 8 | (reg & ~3u));
}

uint32_t pci_read(uint32_t devfn, uint32_t reg)
{
    select_register(devfn, reg);
    return in32(CONFIG_DATA);
}

void pci_write(uint32_t devfn, uint32_t reg, uint32_t value)
{
    select_register(devfn, reg);
    out32(CONFIG_DATA, value);
}

uint32_t pci_find(uint32_t devfn, uint32_t id)
{
    for (; devfn < PCI_DEVFNS; devfn++) {
        uint32_t found = pci_read(devfn, PCI_ID);

        if (found == id) {
            return devfn;
        }
        if (found == ID_NONE && devfn % 8 == 0) {
            devfn += 7; /* no function 0: no device in this slot */
        }
    }
    return PCI_DEVFNS;
}

uint16_t pci_acpi_base(void)
{
    uint32_t devfn = pci_find(0, ID_PIIX4_ACPI);
    uint16_t base = 0;

    if (devfn == PCI_DEVFNS) {
        devfn = pci_find(0, ID_ICH9_LPC);
    }
    if (devfn != PCI_DEVFNS) {
        base = pci_read(devfn, ACPI_BASE_REGISTER) & 0xff80;
    }
    return base ? base : ACPI_BASE_USUAL;
}
