/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What domain.c and domain-xml.c share. */
#ifndef TESTS_LIBVIRT_DOMAIN_INTERNAL_H
#define TESTS_LIBVIRT_DOMAIN_INTERNAL_H

#include "domain.h"

#define DOMAIN_DISK_MIB 40

/* Below /var/lib/libvirt of both hosts. */
#define DOMAIN_TEMPLATE "template"

/* The guest's serial line on a host. */
typedef struct DomainLine {
    Host host;
    char *path;
    int fd;       /* where QEMUs come, -1 before */
    guint source; /* of @fd */
    Guest *guest; /* who came last */
} DomainLine;

struct Domain {
    Hosts *hosts;
    const char *name;
    DomainOptions options;
    DomainLine lines[HOSTS];
    Image *images[DOMAIN_MAX_DISKS]; /* on host A, at first */
};

char *domain_xml(const Domain *domain);

#endif
