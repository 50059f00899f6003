/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our header beside a <linux/kvm.h> of Linux 5.8: what came later is taken
 * away before the build's own comparison is compiled once more.
 */
#include <linux/kvm.h>

#undef KVM_CAP_DIRTY_LOG_RING
#undef KVM_CAP_DIRTY_LOG_RING_ACQ_REL
#undef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#undef KVM_EXIT_DIRTY_RING_FULL
#undef KVM_RESET_DIRTY_RINGS
#undef KVM_DIRTY_GFN_F_DIRTY
#undef KVM_DIRTY_GFN_F_RESET
#undef KVM_DIRTY_GFN_F_MASK
#undef KVM_DIRTY_LOG_PAGE_OFFSET
#define kvm_dirty_gfn not_in_this_header

#include "../../module/dirty/kvm-uapi-check.c"

#undef kvm_dirty_gfn

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <glib.h>

#include "shmig/base/error.h"
#include "shmig/dirty/kvm-probe.h"

/* A kernel that has what its row says. */
typedef struct Kernel {
    const char *name;
    int get; /* what GET of no slot returns */
    int manual, ring, acq_rel, with_bitmap;
    ShmigKvmCaps expect;

    int enable_error;
    unsigned n_enabled;
    struct shmig_kvm_enable_cap enabled[2];
} Kernel;

static const Kernel kernels[] = {
    { "2.6.19", -ENOTTY, 0, 0, 0, 0, { 0 } },
    { "4.19", -ENOENT, 0, 0, 0, 0, { .get = true } },
    { "5.2", -ENOENT, 1, 0, 0, 0, { .get = true, .manual_protect = 1 } },
    { "5.8", -ENOENT, 3, 0, 0, 0, { .get = true, .manual_protect = 3 } },
    { "5.11", -ENOENT, 3, 1 << 20, 0, 0, { true, 3, 1 << 20, false, false } },
    { "6.1", -ENOENT, 3, 1 << 20, 1 << 20, 0, { true, 3, 1 << 20, true } },
    { "6.2 arm64",
      -ENOENT,
      3,
      0,
      1 << 20,
      1,
      { true, 3, 1 << 20, true, true } },
    { "with flags to come", -ENOENT, 0xff, 0, 0, 0, { true, 3 } },
};

static int kernel_ioctl(void *opaque, unsigned long request, void *arg)
{
    Kernel *k = opaque;

    switch (request) {
    case SHMIG_KVM_GET_DIRTY_LOG:
        return k->get;
    case SHMIG_KVM_ENABLE_CAP:
        g_assert_cmpuint(k->n_enabled, <, G_N_ELEMENTS(k->enabled));
        k->enabled[k->n_enabled++] = *(struct shmig_kvm_enable_cap *)arg;
        return -k->enable_error;
    }
    g_assert_cmpuint(request, ==, SHMIG_KVM_CHECK_EXTENSION);
    switch ((long)arg) {
    case SHMIG_KVM_CAP_MANUAL_PROTECT2:
        return k->manual ? k->manual : -EINVAL;
    case SHMIG_KVM_CAP_RING:
        return k->ring;
    case SHMIG_KVM_CAP_RING_ACQ_REL:
        return k->acq_rel;
    case SHMIG_KVM_CAP_RING_WITH_BITMAP:
        return k->with_bitmap;
    }
    g_assert_not_reached();
}

static void test_probe(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kernels); i++) {
        Kernel k = kernels[i];
        ShmigKvmCaps caps;

        g_test_message("Linux %s", k.name);
        shmig_kvm_probe(kernel_ioctl, &k, &caps);
        g_assert_cmpint(caps.get, ==, k.expect.get);
        g_assert_cmpuint(caps.manual_protect, ==, k.expect.manual_protect);
        g_assert_cmpuint(caps.ring_max_bytes, ==, k.expect.ring_max_bytes);
        g_assert_cmpint(caps.ring_acq_rel, ==, k.expect.ring_acq_rel);
        g_assert_cmpint(caps.ring_with_bitmap, ==, k.expect.ring_with_bitmap);
        g_assert_cmpuint(k.n_enabled, ==, 0);
    }
}

static void test_ring_sizes(void)
{
    static const uint64_t bad[] = { 0,
                                    1,
                                    128,
                                    255,
                                    257,
                                    300,
                                    1u << 17,
                                    UINT64_MAX,
                                    UINT64_C(1) << 63,
                                    (1 << 16) - 1 };
    const ShmigKvmCaps caps = kernels[5].expect, none = { .get = true };

    g_assert_true(shmig_kvm_ring_size_ok(&caps, 256, NULL));
    g_assert_true(shmig_kvm_ring_size_ok(&caps, 1 << 16, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(shmig_kvm_ring_size_ok(&caps, bad[i], &err));
        g_assert_error(err, SHMIG_ERROR, SHMIG_ERROR_RAM);
        g_assert_nonnull(strstr(err->message, "from 256 to 65536"));
    }
    {
        g_autoptr(GError) err = NULL;

        g_assert_false(shmig_kvm_ring_size_ok(&none, 256, &err));
        g_assert_nonnull(strstr(err->message, "Linux 5.11"));
    }
}

static void test_enable(void)
{
    static const struct {
        unsigned kernel, n;
        uint32_t caps[2];
    } rows[] = {
        { 4, 1, { SHMIG_KVM_CAP_RING } },
        { 5, 1, { SHMIG_KVM_CAP_RING_ACQ_REL } },
        { 6,
          2,
          { SHMIG_KVM_CAP_RING_ACQ_REL, SHMIG_KVM_CAP_RING_WITH_BITMAP } },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Kernel k = kernels[rows[i].kernel];
        g_autoptr(GError) err = NULL;

        g_assert_true(
            shmig_kvm_enable_ring(kernel_ioctl, &k, &k.expect, 1024, &err));
        g_assert_no_error(err);
        g_assert_cmpuint(k.n_enabled, ==, rows[i].n);
        g_assert_cmpuint(k.enabled[0].args[0], ==, 1024 * 16);
        for (unsigned j = 0; j < rows[i].n; j++) {
            g_assert_cmpuint(k.enabled[j].cap, ==, rows[i].caps[j]);
        }
    }
}

static void test_enable_fails(void)
{
    Kernel k = kernels[2];
    g_autoptr(GError) no_ring = NULL, too_much = NULL, refused = NULL;

    g_assert_false(
        shmig_kvm_enable_ring(kernel_ioctl, &k, &k.expect, 1024, &no_ring));
    g_assert_nonnull(strstr(no_ring->message, "Linux 5.11"));
    g_assert_false(shmig_kvm_enable_manual_protect(kernel_ioctl, &k, &k.expect,
                                                   3, &too_much));
    g_assert_nonnull(strstr(too_much->message, "Linux 5.7"));
    g_assert_cmpuint(k.n_enabled, ==, 0);
    k.enable_error = EBUSY;
    g_assert_false(shmig_kvm_enable_manual_protect(kernel_ioctl, &k, &k.expect,
                                                   1, &refused));
    g_assert_nonnull(strstr(refused->message, g_strerror(EBUSY)));
    g_assert_cmpuint(k.n_enabled, ==, 1);
}

static int fd_ioctl(void *opaque, unsigned long request, void *arg)
{
    int ret = ioctl(GPOINTER_TO_INT(opaque), request, arg);

    return ret < 0 ? -errno : ret;
}

/* What is offered can be switched on; more than that cannot. */
static void test_this_kernel(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = kvm >= 0 ? ioctl(kvm, KVM_CREATE_VM, 0) : -1;
    ShmigKvmCaps caps;
    g_autoptr(GError) err = NULL;

    if (vm < 0) {
        g_test_skip("missing: a VM of /dev/kvm");
        return;
    }
    shmig_kvm_probe(fd_ioctl, GINT_TO_POINTER(vm), &caps);
    g_test_message("get %d, manual %#x, ring %u bytes, acq_rel %d, "
                   "with_bitmap %d",
                   caps.get, caps.manual_protect, caps.ring_max_bytes,
                   caps.ring_acq_rel, caps.ring_with_bitmap);
    g_assert_true(caps.get);
    if (caps.manual_protect) {
        g_assert_true(shmig_kvm_enable_manual_protect(
            fd_ioctl, GINT_TO_POINTER(vm), &caps, caps.manual_protect, &err));
    }
    if (caps.ring_max_bytes) {
        ShmigKvmCaps lies = caps;

        lies.ring_max_bytes *= 2;
        g_assert_false(shmig_kvm_enable_ring(fd_ioctl, GINT_TO_POINTER(vm),
                                             &lies, lies.ring_max_bytes / 16,
                                             NULL));
        g_assert_true(shmig_kvm_enable_ring(fd_ioctl, GINT_TO_POINTER(vm),
                                            &caps, caps.ring_max_bytes / 16,
                                            &err));
    }
    g_assert_no_error(err);
    close(vm);
    close(kvm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty/uapi/probe", test_probe);
    g_test_add_func("/dirty/uapi/ring-sizes", test_ring_sizes);
    g_test_add_func("/dirty/uapi/enable", test_enable);
    g_test_add_func("/dirty/uapi/enable-fails", test_enable_fails);
    g_test_add_func("/dirty/uapi/this-kernel", test_this_kernel);
    return g_test_run();
}
