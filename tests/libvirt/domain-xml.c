/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The definition of a domain with the test guest. */
#include "domain-internal.h"

#define LIB "/var/lib/libvirt"
#define GUEST_OPTIONS "mem=8 zero=8 blank=1 disk=4"
#define MEMORY_MIB 64

static void G_GNUC_PRINTF(2, 3) add(GString *xml, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_string_append_vprintf(xml, format, ap);
    va_end(ap);
    g_string_append_c(xml, '\n');
}

static void add_disk(GString *xml, const char *name, const DomainDisk *disk,
                     unsigned i)
{
    add(xml, "<disk type='file' device='disk'>");
    add(xml, "<driver name='qemu' type='%s' discard='unmap' %s/>", disk->format,
        disk->driver ? disk->driver : "");
    add(xml, "<source file='" DOMAIN_IMAGES "/%s-%u.%s'/>", name, i,
        disk->format);
    add(xml, "<target dev='vd%c' bus='virtio'/>", 'a' + i);
    add(xml, "%s</disk>", disk->more ? disk->more : "");
}

static void add_devices(GString *xml, const Domain *domain)
{
    add(xml, "<devices>");
    add(xml, "<emulator>" LIB "/qemu-system-x86_64</emulator>");
    for (unsigned i = 0; i < domain_disks(domain); i++) {
        add_disk(xml, domain->name, &domain->options.disks[i], i);
    }
    add(xml, "<controller type='usb' model='none'/>");
    add(xml,
        "<serial type='unix'>"
        "<source mode='connect' path='" LIB "/%s.serial'/>"
        "</serial>",
        domain->name);
    add(xml, "<memballoon model='none'/>");
    add(xml, "</devices>");
}

char *domain_xml(const Domain *domain)
{
    const DomainOptions *o = &domain->options;
    GString *xml = g_string_new(NULL);

    add(xml, "<domain type='%s'>",
        g_str_equal(o->accel, "kvm") ? "kvm" : "qemu");
    add(xml, "<name>%s</name>", domain->name);
    add(xml, "<memory unit='MiB'>%u</memory>",
        o->memory_mib ? o->memory_mib : MEMORY_MIB);
    add(xml, "<vcpu>%u</vcpu>", o->vcpus ? o->vcpus : 1);
    /* Where the guest takes the bytes from that it fills its memory with. */
    add(xml, "<sysinfo type='fwcfg'><entry name='opt/shmig/template' "
             "file='" LIB "/" DOMAIN_TEMPLATE "'/></sysinfo>");
    add(xml, "<os><type arch='x86_64' machine='pc'>hvm</type>");
    add(xml, "<kernel>" LIB "/guest.elf</kernel>");
    add(xml, "<cmdline>" GUEST_OPTIONS " %s</cmdline></os>",
        o->guest ? o->guest : "");
    add(xml, "<features><acpi/></features>");
    /* Without what some hosts lack, which would be a warning. */
    add(xml, "<cpu mode='custom' match='exact' check='none'>"
             "<model>qemu64</model><feature policy='disable' name='pni'/>"
             "</cpu>");
    add_devices(xml, domain);
    add(xml, "</domain>");
    return g_string_free(xml, FALSE);
}
