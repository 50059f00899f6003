/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain with the test guest.  Its serial line is a socket that QEMU
 * connects to when it starts: the test listens at the same path on both hosts,
 * and whichever QEMU comes is that host's.
 */
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "domain-internal.h"
#include "loop.h"
#include "machine.h"

/* The region of each disk that the guest writes. */
#define REGION_MIB 4
#define MIB ((uint64_t)1024 * 1024)
/* Filling memory and looking at disks, on a busy host without hardware. */
#define READY_SECONDS 120
#define TEMPLATE_BYTES (1024 * 1024)
/* What a guest does before it is asked for proof. */
#define VERIFY_BEATS 50
#define BEAT_SECONDS 30
#define LINE_SECONDS 10
#define SLACK_BYTES (1024 * 1024)

DomainOptions domain_options(const Domain *domain)
{
    return domain->options;
}

Hosts *domain_hosts(const Domain *domain)
{
    return domain->hosts;
}

const char *domain_name(const Domain *domain)
{
    return domain->name;
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
    g_autofree char *name = g_strconcat(domain->name, ".serial", NULL);

    line->path = host_path(domain->hosts, host, name);
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
    char *path = g_strdup_printf("%s/%s-%u.%s", dir, domain->name, i, format);

    return (Image) { .path = path, .file = path, .format = format };
}

void image_clear(Image *image)
{
    g_free(image->path);
}

char *domain_files(const Domain *domain, Host host, const char *directory,
                   GError **errp)
{
    g_autofree char *pattern = g_strconcat(domain->name, "-*", NULL);

    return host_run(domain->hosts, host, errp, "find",
                    directory ? directory : DOMAIN_IMAGES, "-name", pattern,
                    NULL);
}

bool domain_delete_files(const Domain *domain, Host host, GError **errp)
{
    g_autofree char *pattern = g_strconcat(domain->name, "-*", NULL);
    g_autofree char *done =
        host_run(domain->hosts, host, errp, "find", DOMAIN_IMAGES, "-name",
                 pattern, "-delete", NULL);

    return done != NULL;
}

static uint64_t disk_bytes(const Domain *domain)
{
    const DomainOptions *o = &domain->options;

    return (o->disk_mib ? o->disk_mib : DOMAIN_DISK_MIB) * MIB;
}

static bool make_images(Domain *domain, GError **errp)
{
    g_autofree char *dir = directory_path(domain, HOST_A, NULL);

    for (unsigned i = 0; i < domain_disks(domain); i++) {
        const DomainDisk *disk = &domain->options.disks[i];
        g_autofree char *name = g_strdup_printf("%s-%u", domain->name, i);

        domain->images[i] =
            image_new(dir, name, disk->format, disk_bytes(domain),
                      REGION_MIB * MIB, disk->content, errp);
        if (!domain->images[i]) {
            return false;
        }
    }
    return true;
}

bool domain_put_images(const Domain *domain, Host host, GError **errp)
{
    g_autofree char *size =
        g_strdup_printf("%" G_GUINT64_FORMAT, disk_bytes(domain));
    bool made = true;

    for (unsigned i = 0; made && i < domain_disks(domain); i++) {
        Image image = domain_image(domain, host, NULL, i);

        made = image_run_program(errp, machine_qemu_img(), "create", "-q", "-f",
                                 image.format, image.path, size, NULL);
        image_clear(&image);
    }
    return made;
}

static bool make_template(Domain *domain, GError **errp)
{
    g_autofree char *one = host_path(domain->hosts, HOST_A, DOMAIN_TEMPLATE);
    g_autofree char *other = host_path(domain->hosts, HOST_B, DOMAIN_TEMPLATE);

    return image_random_file(one, TEMPLATE_BYTES, errp) &&
           image_run_program(errp, "cp", one, other, NULL);
}

static bool has_line(void *opaque)
{
    const DomainLine *line = opaque;

    return line->guest;
}

/* QEMU has connected by then, but nobody may have looked. */
static Guest *guest_of(Domain *domain, Host host, GError **errp)
{
    DomainLine *line = &domain->lines[host];

    if (!loop_wait(has_line, line, LINE_SECONDS)) {
        harness_fail(errp, "the guest's serial line is not there on %s",
                     host_name(host));
    }
    return line->guest;
}

char *domain_do(Domain *domain, Host host, const char *command, GError **errp)
{
    return host_virsh(domain->hosts, host, errp, "%s %s", command,
                      domain->name);
}

static bool define(Domain *domain, GError **errp)
{
    g_autofree char *xml = domain_xml(domain);
    g_autofree char *path = host_path(domain->hosts, HOST_A, "definition.xml");
    g_autofree char *defined = NULL;

    if (g_file_set_contents(path, xml, -1, errp)) {
        defined = host_virsh(domain->hosts, HOST_A, errp,
                             "define /var/lib/libvirt/definition.xml");
    }
    return defined != NULL;
}

bool domain_start(Domain *domain, GError **errp)
{
    g_autofree char *started = domain_do(domain, HOST_A, "start", errp);
    Guest *guest = started ? guest_of(domain, HOST_A, errp) : NULL;

    return guest && guest_wait_ready(guest, READY_SECONDS, errp);
}

Domain *domain_new(Hosts *hosts, const DomainOptions *options, GError **errp)
{
    Domain *domain = g_new0(Domain, 1);

    domain->hosts = hosts;
    domain->options = *options;
    domain->name = options->name ? options->name : "vm";
    domain->lines[HOST_A].fd = domain->lines[HOST_B].fd = -1;
    if (!listen_on(domain, HOST_A, errp) || !listen_on(domain, HOST_B, errp) ||
        !make_template(domain, errp) || !make_images(domain, errp) ||
        !define(domain, errp) || !domain_start(domain, errp)) {
        domain_free(domain);
        return NULL;
    }
    return domain;
}

static void forget(Domain *domain, Host host)
{
    static const char *const commands[] = { "destroy", "undefine --nvram" };

    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_free(domain_do(domain, host, commands[i], NULL));
    }
    domain_delete_files(domain, host, NULL);
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
    g_auto(GStrv) name = NULL;
    char *state;

    if (!names) {
        return NULL;
    }
    name = g_strsplit(names, "\n", -1);
    if (!g_strv_contains((const char *const *)name, domain->name)) {
        return g_strdup("none");
    }
    state = domain_do(domain, host, "domstate", NULL);
    /* It may have gone meanwhile. */
    return state ? state : g_strdup("none");
}

bool domain_runs_on(Domain *domain, Host host, GError **errp)
{
    Host other = host_other(host);
    g_autofree char *here = domain_state(domain, host, errp);
    g_autofree char *there = here ? domain_state(domain, other, errp) : NULL;
    Guest *guest;

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
    guest = guest_of(domain, host, errp);
    return guest && guest_wait_beats(guest, VERIFY_BEATS, BEAT_SECONDS, errp);
}

bool domain_verify(Domain *domain, Host host, GError **errp)
{
    Guest *guest = guest_of(domain, host, errp);

    return guest && guest_wait_beats(guest, VERIFY_BEATS, BEAT_SECONDS, errp) &&
           guest_verify(guest, domain_disks(domain), errp);
}

/* Formats and file systems lay out the same data in their own ways. */
static bool is_as_thin(const Image *from, const Image *image, GError **errp)
{
    int64_t was = image_allocated(from, errp);
    int64_t is = was < 0 ? -1 : image_allocated(image, errp);

    if (is > was + was / 16 + SLACK_BYTES) {
        return harness_fail(errp,
                            "%s takes up %" G_GINT64_FORMAT
                            " bytes, %s %" G_GINT64_FORMAT,
                            image->path, is, from->path, was);
    }
    return is >= 0;
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

bool domain_is_thin(Domain *domain, Host to, GError **errp)
{
    bool thin = true;

    for (unsigned i = 0; thin && i < domain_disks(domain); i++) {
        Image from = domain_image(domain, host_other(to), NULL, i);
        Image image = domain_image(domain, to, NULL, i);

        thin = is_as_thin(&from, &image, errp);
        image_clear(&from);
        image_clear(&image);
    }
    return thin;
}
