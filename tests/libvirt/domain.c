/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain with the test guest.  Its serial line is a socket that QEMU
 * connects to when it starts: the test listens at the same path on both hosts,
 * and whichever QEMU comes is that host's.
 */
#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "domain-internal.h"
#include "loop.h"

/* The region of each disk that the guest writes. */
#define REGION_MIB 4
#define MIB ((uint64_t)1024 * 1024)
/* Filling memory and looking at disks, on a busy host without hardware. */
#define READY_SECONDS 120
#define TEMPLATE_BYTES (1024 * 1024)
/* What a guest does before it is asked for proof. */
#define VERIFY_BEATS 50
#define BEAT_SECONDS 30

Hosts *domain_hosts(const Domain *domain)
{
    return domain->hosts;
}

unsigned domain_disks(const Domain *domain)
{
    unsigned n = 0;

    while (n < DOMAIN_MAX_DISKS && domain->options.disks[n].format) {
        n++;
    }
    return n;
}

Guest *domain_guest(const Domain *domain, Host host)
{
    return domain->lines[host].guest;
}

static gboolean somebody_came(gint fd, GIOCondition condition, gpointer opaque)
{
    DomainLine *line = opaque;
    int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (connection >= 0) {
        guest_free(line->guest);
        line->guest = guest_new(connection, host_name(line->host));
    }
    return G_SOURCE_CONTINUE;
}

static bool listen_on(Domain *domain, Host host, GError **errp)
{
    DomainLine *line = &domain->lines[host];
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    line->host = host;
    line->path = host_path(domain->hosts, host, DOMAIN_SERIAL);
    g_strlcpy(address.sun_path, line->path, sizeof(address.sun_path));
    line->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (line->fd < 0 ||
        bind(line->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(line->fd, 1) < 0) {
        return harness_fail(errp, "%s: %s", line->path, g_strerror(errno));
    }
    line->source = g_unix_fd_add(line->fd, G_IO_IN, somebody_came, line);
    return true;
}

static void close_line(DomainLine *line)
{
    if (line->source) {
        g_source_remove(line->source);
    }
    if (line->fd >= 0) {
        close(line->fd);
    }
    if (line->path) {
        unlink(line->path);
    }
    guest_free(line->guest);
    g_free(line->path);
}

/* Above the folders of both hosts' own /var/lib/libvirt. */
static char *directory_path(const Domain *domain, Host host,
                            const char *directory)
{
    const char *lib = "/var/lib/libvirt/";

    directory = directory ? directory : DOMAIN_IMAGES;
    g_assert(g_str_has_prefix(directory, lib));
    return host_path(domain->hosts, host, directory + strlen(lib));
}

Image domain_image(const Domain *domain, Host host, const char *directory,
                   unsigned i)
{
    const char *format = domain->options.disks[i].format;
    g_autofree char *dir = directory_path(domain, host, directory);
    char *path = g_strdup_printf("%s/disk%u.%s", dir, i, format);

    return (Image) { .path = path, .format = format };
}

void image_clear(Image *image)
{
    g_free(image->path);
}

char *domain_files(const Domain *domain, Host host, const char *directory,
                   GError **errp)
{
    g_autofree char *path = directory_path(domain, host, directory);
    g_autoptr(GDir) dir = g_dir_open(path, 0, errp);
    g_autoptr(GString) files = g_string_new(NULL);
    const char *name;

    if (!dir) {
        return NULL;
    }
    while ((name = g_dir_read_name(dir))) {
        g_string_append_printf(files, "%s%s", files->len ? " " : "", name);
    }
    return g_string_free(g_steal_pointer(&files), FALSE);
}

bool domain_delete_files(const Domain *domain, Host host, const char *directory,
                         GError **errp)
{
    g_autofree char *names = domain_files(domain, host, directory, errp);
    g_autofree char *dir = directory_path(domain, host, directory);
    g_auto(GStrv) name = names ? g_strsplit(names, " ", -1) : NULL;

    for (unsigned i = 0; name && name[i]; i++) {
        g_autofree char *path = g_build_filename(dir, name[i], NULL);

        g_unlink(path);
    }
    return names != NULL;
}

static bool make_images(Domain *domain, GError **errp)
{
    g_autofree char *dir = directory_path(domain, HOST_A, NULL);
    const DomainOptions *o = &domain->options;
    uint64_t bytes = (o->disk_mib ? o->disk_mib : DOMAIN_DISK_MIB) * MIB;

    for (unsigned i = 0; i < domain_disks(domain); i++) {
        g_autofree char *name = g_strdup_printf("disk%u", i);
        Image *image = image_new(dir, name, o->disks[i].format, bytes,
                                 REGION_MIB * MIB, o->disks[i].content, errp);

        if (!image) {
            return false;
        }
        domain->images[i] = image;
    }
    return true;
}

static bool make_template(Domain *domain, GError **errp)
{
    g_autofree char *one = host_path(domain->hosts, HOST_A, DOMAIN_TEMPLATE);
    g_autofree char *other = host_path(domain->hosts, HOST_B, DOMAIN_TEMPLATE);

    return image_random_file(one, TEMPLATE_BYTES, errp) &&
           image_run_program(errp, "cp", one, other, NULL);
}

static bool start(Domain *domain, GError **errp)
{
    g_autofree char *xml = domain_xml(domain);
    g_autofree char *path = host_path(domain->hosts, HOST_A, "vm.xml");
    g_autofree char *defined = NULL, *started = NULL;

    if (!listen_on(domain, HOST_A, errp) || !listen_on(domain, HOST_B, errp) ||
        !make_template(domain, errp) || !make_images(domain, errp) ||
        !g_file_set_contents(path, xml, -1, errp)) {
        return false;
    }
    defined = host_virsh(domain->hosts, HOST_A, errp,
                         "define /var/lib/libvirt/vm.xml");
    started =
        defined ? host_virsh(domain->hosts, HOST_A, errp, "start " DOMAIN_NAME)
                : NULL;
    if (!started) {
        return false;
    }
    if (!domain->lines[HOST_A].guest) {
        return harness_fail(errp, "the guest's serial line is not there");
    }
    return guest_wait_ready(domain->lines[HOST_A].guest, READY_SECONDS, errp);
}

Domain *domain_new(Hosts *hosts, const DomainOptions *options, GError **errp)
{
    Domain *domain = g_new0(Domain, 1);

    domain->hosts = hosts;
    domain->options = *options;
    domain->lines[HOST_A].fd = domain->lines[HOST_B].fd = -1;
    if (!start(domain, errp)) {
        domain_free(domain);
        return NULL;
    }
    return domain;
}

static void forget(Domain *domain, Host host)
{
    static const char *const commands[] = {
        "destroy " DOMAIN_NAME,
        "undefine --nvram " DOMAIN_NAME,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_free(host_virsh(domain->hosts, host, NULL, "%s", commands[i]));
    }
    domain_delete_files(domain, host, NULL, NULL);
}

void domain_free(Domain *domain)
{
    if (domain) {
        for (Host host = HOST_A; host < HOSTS; host++) {
            forget(domain, host);
            close_line(&domain->lines[host]);
        }
        for (unsigned i = 0; i < DOMAIN_MAX_DISKS; i++) {
            image_free(domain->images[i]);
        }
        g_free(domain);
    }
}

char *domain_state(Domain *domain, Host host, GError **errp)
{
    g_autofree char *names =
        host_virsh(domain->hosts, host, errp, "list --all --name");

    if (!names) {
        return NULL;
    }
    if (!strstr(names, DOMAIN_NAME)) {
        return g_strdup("none");
    }
    return host_virsh(domain->hosts, host, errp, "domstate " DOMAIN_NAME);
}

bool domain_runs_on(Domain *domain, Host host, GError **errp)
{
    Host other = host_other(host);
    g_autofree char *here = domain_state(domain, host, errp);
    g_autofree char *there = here ? domain_state(domain, other, errp) : NULL;

    if (!there) {
        return false;
    }
    if (!g_str_equal(here, "running")) {
        return harness_fail(errp, "the guest's state on %s is \"%s\"",
                            host_name(host), here);
    }
    if (!g_str_equal(there, "none") && !g_str_equal(there, "shut off")) {
        return harness_fail(errp, "the guest's state on %s is \"%s\"",
                            host_name(other), there);
    }
    return guest_wait_beats(domain->lines[host].guest, VERIFY_BEATS,
                            BEAT_SECONDS, errp);
}

bool domain_verify(Domain *domain, Host host, GError **errp)
{
    Guest *guest = domain->lines[host].guest;

    if (!guest) {
        return harness_fail(errp, "no QEMU was started on %s", host_name(host));
    }
    return guest_wait_beats(guest, VERIFY_BEATS, BEAT_SECONDS, errp) &&
           guest_verify(guest, domain_disks(domain), errp);
}

bool domain_compare(Domain *domain, Host to, const char *directory,
                    GError **errp)
{
    bool same = true;

    for (unsigned i = 0; same && i < domain_disks(domain); i++) {
        Image from = domain_image(domain, host_other(to), NULL, i);
        Image image = domain_image(domain, to, directory, i);

        same = image_compare(&from, &image, errp);
        image_clear(&from);
        image_clear(&image);
    }
    return same;
}
