/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host memory behind the bench's guest. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backing.h"
#include "exit.h"

/* Huge pages come in this size wherever both guests of ours run. */
#define HUGE_BYTES (UINT64_C(2) << 20)

static const char *const names[BACKINGS] = {
    [BACKING_4K] = "4k",
    [BACKING_THP] = "thp",
    [BACKING_HUGETLB] = "hugetlb",
    [BACKING_MEMFD] = "memfd",
};

const char *backing_name(Backing backing)
{
    return names[backing];
}

bool backing_find(const char *name, Backing *backing)
{
    for (unsigned i = 0; i < BACKINGS; i++) {
        if (strcmp(name, names[i]) == 0) {
            *backing = i;
            return true;
        }
    }
    return false;
}

static uint64_t meminfo(const char *key)
{
    g_autofree char *text = NULL;
    const char *at;

    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL)) {
        return 0;
    }
    at = strstr(text, key);
    return at ? g_ascii_strtoull(at + strlen(key), NULL, 10) << 10 : 0;
}

uint64_t backing_host_bytes(void)
{
    return meminfo("MemTotal:");
}

uint64_t backing_free_bytes(void)
{
    return meminfo("MemAvailable:");
}

static void *map_memfd(uint64_t bytes)
{
    int fd = memfd_create("shmig-dirty-bench", MFD_CLOEXEC);
    void *memory = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, bytes) == 0) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    return memory;
}

/*
 * Aligned, so that a huge page of the host can be one of the guest.  What is
 * mapped too much at both ends is given back at once.
 */
static void *map_anonymous(uint64_t bytes)
{
    uint8_t *memory = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t before;

    if (memory == MAP_FAILED) {
        return MAP_FAILED;
    }
    before = -(uintptr_t)memory % HUGE_BYTES;
    if (before) {
        munmap(memory, before);
    }
    munmap(memory + before + bytes, HUGE_BYTES - before);
    return memory + before;
}

static const char *advice(Backing backing)
{
    return backing == BACKING_HUGETLB ? "; reserve 2 MiB pages in "
                                        "/proc/sys/vm/nr_hugepages, or choose "
                                        "another --backing"
                                      : "; choose a smaller --memory";
}

uint8_t *backing_map(Backing backing, uint64_t bytes, GError **errp)
{
    void *memory;

    switch (backing) {
    case BACKING_HUGETLB:
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
        break;
    case BACKING_MEMFD:
        memory = map_memfd(bytes);
        break;
    default:
        memory = map_anonymous(bytes);
        break;
    }
    if (memory == MAP_FAILED) {
        g_set_error(errp, CLI_ERROR, CLI_CANNOT,
                    "memory: %" PRIu64 " MiB of %s cannot be mapped: %s%s",
                    bytes >> 20, names[backing], g_strerror(errno),
                    advice(backing));
        return NULL;
    }
    if (backing == BACKING_4K || backing == BACKING_THP) {
        /* Refused where the kernel has no THP: then there are none anyway. */
        madvise(memory, bytes,
                backing == BACKING_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    }
    return memory;
}

void backing_unmap(uint8_t *memory, uint64_t bytes)
{
    if (memory) {
        munmap(memory, bytes);
    }
}
