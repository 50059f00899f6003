/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking a kernel for its dirty-log interfaces. */
#include <errno.h>
#include <inttypes.h>

#include "kvm-dirty-log.h"

#include "shmig/base/error.h"
#include "shmig/dirty/kvm-probe.h"

#define ENTRY_BYTES sizeof(struct shmig_kvm_dirty_gfn)
#define MIN_RING_BYTES 4096u

/* A slot that nobody has: the ioctl's own answers begin at ENOENT. */
#define NO_SLOT 0x7fff

static unsigned extension(ShmigKvmIoctl *vm_ioctl, void *opaque, long cap)
{
    int ret = vm_ioctl(opaque, SHMIG_KVM_CHECK_EXTENSION, (void *)cap);

    return MAX(ret, 0);
}

static bool has_get(ShmigKvmIoctl *vm_ioctl, void *opaque)
{
    uint64_t word;
    struct shmig_kvm_dirty_log log = { .slot = NO_SLOT, .bitmap = &word };
    int ret = vm_ioctl(opaque, SHMIG_KVM_GET_DIRTY_LOG, &log);

    return ret != -ENOTTY && ret != -ENXIO;
}

void shmig_kvm_probe(ShmigKvmIoctl *vm_ioctl, void *opaque, ShmigKvmCaps *caps)
{
    unsigned plain = 0, acq_rel = 0;

    /* Without an offset of its own there is no place to map a ring from. */
#ifdef SHMIG_KVM_RING_PAGE_OFFSET
    acq_rel = extension(vm_ioctl, opaque, SHMIG_KVM_CAP_RING_ACQ_REL);
    plain = extension(vm_ioctl, opaque, SHMIG_KVM_CAP_RING);
#endif
    *caps = (ShmigKvmCaps) {
        .get = has_get(vm_ioctl, opaque),
        .manual_protect =
            extension(vm_ioctl, opaque, SHMIG_KVM_CAP_MANUAL_PROTECT2) &
            (SHMIG_KVM_MANUAL_PROTECT_ENABLE | SHMIG_KVM_MANUAL_INITIALLY_SET),
        .ring_max_bytes = acq_rel ? acq_rel : plain,
        .ring_acq_rel = acq_rel != 0,
    };
    if (caps->ring_max_bytes) {
        caps->ring_with_bitmap =
            extension(vm_ioctl, opaque, SHMIG_KVM_CAP_RING_WITH_BITMAP) != 0;
    }
}

bool shmig_kvm_ring_size_ok(const ShmigKvmCaps *caps, uint64_t entries,
                            GError **errp)
{
    uint64_t least = MIN_RING_BYTES / ENTRY_BYTES;
    uint64_t most = caps->ring_max_bytes / ENTRY_BYTES;

    if (!caps->ring_max_bytes) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM,
                    "dirty ring: this kernel has none for this VM; "
                    "use Linux 5.11 or later, or the bitmap");
        return false;
    }
    if ((entries & (entries - 1)) != 0 || entries < least || entries > most) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM,
                    "dirty ring: %" PRIu64 " entries are not possible; "
                    "choose a power of two from %" PRIu64 " to %" PRIu64,
                    entries, least, most);
        return false;
    }
    return true;
}

static bool enable(ShmigKvmIoctl *vm_ioctl, void *opaque, uint32_t cap,
                   uint64_t arg, const char *what, const char *advice,
                   GError **errp)
{
    struct shmig_kvm_enable_cap enable_cap = { .cap = cap, .args = { arg } };
    int ret = vm_ioctl(opaque, SHMIG_KVM_ENABLE_CAP, &enable_cap);

    if (ret < 0) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM,
                    "%s: KVM offers it, but cannot switch it on: %s%s", what,
                    g_strerror(-ret), ret == -EINVAL ? advice : "");
        return false;
    }
    return true;
}

bool shmig_kvm_enable_manual_protect(ShmigKvmIoctl *vm_ioctl, void *opaque,
                                     const ShmigKvmCaps *caps, unsigned flags,
                                     GError **errp)
{
    if (flags & ~caps->manual_protect) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_RAM,
                    "manual dirty-log protection: flags %#x are wanted, this "
                    "kernel has %#x; use Linux 5.7 or later",
                    flags, caps->manual_protect);
        return false;
    }
    return enable(vm_ioctl, opaque, SHMIG_KVM_CAP_MANUAL_PROTECT2, flags,
                  "manual dirty-log protection",
                  "; do so before the first slot", errp);
}

bool shmig_kvm_enable_ring(ShmigKvmIoctl *vm_ioctl, void *opaque,
                           const ShmigKvmCaps *caps, uint64_t entries,
                           GError **errp)
{
    uint32_t cap =
        caps->ring_acq_rel ? SHMIG_KVM_CAP_RING_ACQ_REL : SHMIG_KVM_CAP_RING;

    if (!shmig_kvm_ring_size_ok(caps, entries, errp) ||
        !enable(vm_ioctl, opaque, cap, entries * ENTRY_BYTES, "dirty ring",
                "; use at least 1024 entries: the kernel keeps some hundred of "
                "each ring in reserve",
                errp)) {
        return false;
    }
    return !caps->ring_with_bitmap ||
           enable(vm_ioctl, opaque, SHMIG_KVM_CAP_RING_WITH_BITMAP, 0,
                  "dirty ring with bitmap", "; do so before the first slot",
                  errp);
}
