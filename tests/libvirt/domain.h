/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain of libvirt's whose guest is the test guest, and what there is of
 * it on each of two hosts: a serial line, images, a state.
 */
#ifndef TESTS_LIBVIRT_DOMAIN_H
#define TESTS_LIBVIRT_DOMAIN_H

#include "guest.h"
#include "hosts.h"
#include "images.h"

#define DOMAIN_MAX_DISKS 4

/* Where images are unless somebody says otherwise, in the host's own words. */
#define DOMAIN_IMAGES "/var/lib/libvirt/images"

typedef struct DomainDisk {
    const char *format; /* NULL: there is no such disk */
    ImageContent content;
    const char *driver; /* more attributes of <driver> */
    const char *more;   /* more elements of <disk> */
} DomainDisk;

typedef struct DomainOptions {
    const char *name;    /* default "vm"; that of one is no part of another's */
    const char *accel;   /* "kvm" or "tcg" */
    unsigned vcpus;      /* default 1 */
    unsigned memory_mib; /* default 64 */
    const char *guest;   /* more options of the test guest */
    unsigned disk_mib;   /* size of each disk, default 40 */
    DomainDisk disks[DOMAIN_MAX_DISKS];
} DomainOptions;

typedef struct Domain Domain;

/* Makes its images on host A, defines it there and starts it. */
Domain *domain_new(Hosts *hosts, const DomainOptions *options, GError **errp);
/* Nothing of it is left on either host. */
void domain_free(Domain *domain);

Hosts *domain_hosts(const Domain *domain);
DomainOptions domain_options(const Domain *domain);
const char *domain_name(const Domain *domain);
unsigned domain_disks(const Domain *domain);

/* Its guest as that host's QEMU shows it; the QEMU started last, of several.
 * NULL if there was none. */
Guest *domain_guest(const Domain *domain, Host host);

/* Disk @i, as the outside finds it on that host; directory NULL: that of
 * DOMAIN_IMAGES.  The file need not be there. */
Image domain_image(const Domain *domain, Host host, const char *directory,
                   unsigned i);
void image_clear(Image *image);

/* Paths of its images in @directory of that host, or below; "" for none. */
char *domain_files(const Domain *domain, Host host, const char *directory,
                   GError **errp);
/* Deletes those in or below the usual directory. */
bool domain_delete_files(const Domain *domain, Host host, GError **errp);

/* Makes empty images there of the sizes and formats that it has. */
bool domain_put_images(const Domain *domain, Host host, GError **errp);

/* Starts it on host A, and waits until its guest has begun its work. */
bool domain_start(Domain *domain, GError **errp);

/* virsh COMMAND with the name of the domain, as host_virsh(). */
char *domain_do(Domain *domain, Host host, const char *command, GError **errp);

/* What virsh domstate says; "none" where it is not known. */
char *domain_state(Domain *domain, Host host, GError **errp);

/* Its guest runs on that host, which has heartbeats to show for it, and on
 * no other. */
bool domain_runs_on(Domain *domain, Host host, GError **errp);

/* The guest on that host goes on for a while, then proves memory and disks. */
bool domain_verify(Domain *domain, Host host, GError **errp);

/* The disks of both hosts hold the same bytes; @directory is host @to's. */
bool domain_compare(Domain *domain, Host to, const char *directory,
                    GError **errp);

/* Its images on host @to take up no more room than on the other. */
bool domain_is_thin(Domain *domain, Host to, GError **errp);

#endif
