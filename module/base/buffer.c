/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Big page-aligned buffers, whose pages cost nothing until touched. */
#include "shmig/base/buffer.h"
#include "shmig/base/error.h"

#include <errno.h>
#include <sys/mman.h>

uint8_t *shmig_buffer_new(size_t bytes, GError **errp)
{
    void *buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (buffer == MAP_FAILED) {
        g_set_error(errp, SHMIG_ERROR, SHMIG_ERROR_SYSTEM,
                    "the kernel gives this process no buffer of %zu bytes: "
                    "%s; raise its limits on memory, or use fewer channels",
                    bytes, g_strerror(errno));
        return NULL;
    }
    return buffer;
}

void shmig_buffer_free(uint8_t *buffer, size_t bytes)
{
    if (buffer) {
        munmap(buffer, bytes);
    }
}
