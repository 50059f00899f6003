# SPDX-License-Identifier: GPL-2.0-or-later
# The devices our QEMU is built with: what guests, tests and libvirt use.
# The build adds nothing of QEMU's default list, which would double its time.

# Machines: pc and q35 (PIIX and ICH9 come with them)
CONFIG_I440FX=y
CONFIG_Q35=y
CONFIG_VMPORT=y

# Bridges and hot-plug ports
CONFIG_PCI_BRIDGE=y
CONFIG_PCIE_PORT=y
CONFIG_PCIE_PCI_BRIDGE=y

# virtio
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_SCSI=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_BALLOON=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_MEM=y
CONFIG_VIRTIO_PMEM=y

# Memory devices
CONFIG_NVDIMM=y

# Other disks and networks
CONFIG_AHCI_ICH9=y
CONFIG_NVME_PCI=y
CONFIG_FDC_ISA=y
CONFIG_E1000_PCI=y
CONFIG_E1000E_PCI_EXPRESS=y

# Consoles and input
CONFIG_VGA_PCI=y
CONFIG_USB_XHCI_PCI=y
CONFIG_USB_HID=y

# Clocks, watchdog, and what reports from the guest
CONFIG_HPET=y
CONFIG_PVPANIC_ISA=y
CONFIG_PVPANIC_PCI=y
CONFIG_ISA_DEBUG=y
CONFIG_PCI_TESTDEV=y
CONFIG_EDU=y
CONFIG_IVSHMEM_DEVICE=y
CONFIG_WDT_IB6300ESB=y

# Devices of the host
CONFIG_VFIO=y
CONFIG_VFIO_PCI=y
