/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection to the peer. */
#include "shmig/io/link.h"

#include <unistd.h>

void shmig_link_close(ShmigLink *link)
{
    if (link->fd >= 0) {
        close(link->fd);
    }
    shmig_tls_free(link->tls);
    *link = SHMIG_NO_LINK;
}
