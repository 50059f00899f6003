/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Through which descriptor a request goes: never one that refuses it. */
#include "shmig/disk/file-access.h"

#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <unistd.h>

#define LARGE (1u << 20)

/* A file in a place that takes O_DIRECT, or -1. */
static int image(int flags)
{
    char path[] = "/var/tmp/shmig-access-XXXXXX";
    int plain = mkostemp(path, O_CLOEXEC);
    int fd;

    g_assert_cmpint(plain, >=, 0);
    g_assert_cmpint(ftruncate(plain, 2 * LARGE), ==, 0);
    fd = open(path, flags | O_CLOEXEC);
    unlink(path);
    close(plain);
    return fd;
}

static void *aligned(void)
{
    void *buf = NULL;

    g_assert_cmpint(posix_memalign(&buf, 4096, LARGE), ==, 0);
    return buf;
}

static bool is_direct(int fd)
{
    return fcntl(fd, F_GETFL) & O_DIRECT;
}

static void test_cached(void)
{
    ShmigFileAccess a;
    char *buf = aligned();

    shmig_file_access_init(&a, image(O_RDWR));
    g_assert_false(a.block_device);
    g_assert_cmpint(a.cached_fd, ==, a.fd);
    /* Reads stay where the writer's cache is. */
    g_assert_cmpint(shmig_file_access_fd(&a, false, 0, LARGE, buf), ==, a.fd);
    /* What shares a page with others does, too. */
    g_assert_cmpint(shmig_file_access_fd(&a, true, 512, LARGE, buf), ==, a.fd);
    g_assert_cmpint(shmig_file_access_fd(&a, true, 0, LARGE, buf + 512), ==,
                    a.fd);
    /* The guest's small writes are collected. */
    g_assert_cmpint(shmig_file_access_fd(&a, true, 0, 4096, buf), ==, a.fd);
    if (a.direct_fd >= 0) {
        g_assert_true(is_direct(a.direct_fd));
        g_assert_cmpint(shmig_file_access_fd(&a, true, 0, LARGE, buf), ==,
                        a.direct_fd);
        g_assert_cmpint(shmig_file_access_fd(&a, true, 0, 64 << 10, buf), ==,
                        a.direct_fd);
        g_assert_cmpint(shmig_file_access_fd(&a, true, 0, 60 << 10, buf), ==,
                        a.fd);
    } else {
        g_test_skip("/var/tmp takes no O_DIRECT");
    }
    shmig_file_access_destroy(&a);
    free(buf);
}

static void test_read_only(void)
{
    ShmigFileAccess a;
    char *buf = aligned();

    shmig_file_access_init(&a, image(O_RDONLY));
    g_assert_cmpint(a.direct_fd, ==, -1);
    g_assert_cmpint(shmig_file_access_fd(&a, false, 0, LARGE, buf), ==, a.fd);
    shmig_file_access_destroy(&a);
    free(buf);
}

static void test_direct(void)
{
    int fd = image(O_RDWR | O_DIRECT);
    ShmigFileAccess a;
    char *buf;

    if (fd < 0) {
        g_test_skip("/var/tmp takes no O_DIRECT");
        return;
    }
    buf = aligned();
    shmig_file_access_init(&a, fd);
    g_assert_cmpint(a.direct_fd, ==, a.fd);
    g_assert_cmpint(shmig_file_access_fd(&a, true, 0, 4096, buf), ==, a.fd);
    g_assert_cmpint(shmig_file_access_fd(&a, false, 0, LARGE, buf), ==, a.fd);
    if (a.align > 512) {
        g_assert_false(is_direct(a.cached_fd));
        g_assert_cmpint(shmig_file_access_fd(&a, true, 512, 512, buf), ==,
                        a.cached_fd);
        g_assert_cmpint(shmig_file_access_fd(&a, true, 0, 4096, buf + 512), ==,
                        a.cached_fd);
    }
    shmig_file_access_destroy(&a);
    free(buf);
}

/* io_uring would answer EAGAIN. */
static void test_blocking(void)
{
    ShmigFileAccess a;

    shmig_file_access_init(&a, image(O_RDWR | O_NONBLOCK));
    g_assert_cmpint(fcntl(a.fd, F_GETFL) & O_NONBLOCK, ==, 0);
    shmig_file_access_destroy(&a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/file-access/cached", test_cached);
    g_test_add_func("/disk/file-access/read-only", test_read_only);
    g_test_add_func("/disk/file-access/direct", test_direct);
    g_test_add_func("/disk/file-access/blocking", test_blocking);
    return g_test_run();
}
