/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command lines of the bench's QEMUs.  Both ways use the same. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "ends.h"
#include "loop.h"

#define READY_SECONDS 300
#define MOVE_SECONDS 600
#define TEMPLATE_MIB 1

static void G_GNUC_PRINTF(2, 3) add(GPtrArray *args, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_ptr_array_add(args, g_strdup_vprintf(format, ap));
    va_end(ap);
}

static void add_memory(GPtrArray *args, const EndsOptions *o)
{
    if (o->memory == MEMORY_UNTOUCHED) {
        return;
    }
    add(args, "-object");
    add(args, "memory-backend-%s,id=ram,size=%uM,prealloc=on",
        o->memory == MEMORY_SHARED ? "memfd" : "ram", o->size.memory_mib);
    add(args, "-machine");
    add(args, "memory-backend=ram");
}

static void add_disk(GPtrArray *args, const EndsOptions *o, bool source)
{
    const char *cache = source ? o->source_cache : o->dest_cache;

    add(args, "-blockdev");
    add(args,
        "driver=file,node-name=disk0-file,filename=%s,aio=io_uring,"
        "discard=unmap,cache.direct=%s",
        source ? o->source_image : o->dest_image, cache);
    add(args, "-blockdev");
    add(args,
        "driver=raw,node-name=" ENDS_NODE ",file=disk0-file,"
        "discard=unmap,cache.direct=%s",
        cache);
    if (o->iothread) {
        add(args, "-object");
        add(args, "iothread,id=thread0");
    }
    add(args, "-device");
    add(args, "virtio-blk-pci,id=disk0,drive=" ENDS_NODE "%s",
        o->iothread ? ",iothread=thread0" : "");
}

static GPtrArray *arguments(const EndsOptions *o, bool source)
{
    GPtrArray *args = g_ptr_array_new_with_free_func(g_free);

    add(args, "-machine");
    add(args, "pc,accel=kvm");
    add(args, "-cpu");
    add(args, "qemu64");
    add(args, "-m");
    add(args, "%uM", o->size.memory_mib);
    add_memory(args, o);
    add(args, "-kernel");
    add(args, "%s", machine_guest_elf());
    add(args, "-append");
    add(args, "mem=%u tmpl=%u %s", o->size.random_mib - TEMPLATE_MIB,
        TEMPLATE_MIB, o->guest);
    add(args, "-fw_cfg");
    add(args, "name=opt/shmig/template,file=%s/template", o->dir);
    add(args, "-global");
    add(args, "migration.x-events=on");
    add_disk(args, o, source);
    if (!source) {
        add(args, "-incoming");
        add(args, "defer");
    }
    return args;
}

static Machine *start(Ends *ends, bool source, GError **errp)
{
    g_autoptr(GPtrArray) args = arguments(&ends->options, source);
    Machine *machine;

    if (!link_enter(ends->link, !source, errp)) {
        return NULL;
    }
    machine = machine_start(source ? "source" : "destination",
                            ends->options.dir, args, errp);
    if (!link_enter(ends->link, false, errp)) {
        g_clear_pointer(&machine, machine_free);
    }
    return machine;
}

static bool make_dest_image(Ends *ends, GError **errp)
{
    const Image *image = &ends->dest_image;
    int fd = open(image->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool made = fd >= 0 && ftruncate(fd, image->bytes) == 0;

    if (!made) {
        harness_fail(errp, "%s: %s", image->path, g_strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return made;
}

static bool start_both(Ends *ends, GError **errp)
{
    g_autofree char *template =
        g_strconcat(ends->options.dir, "/template", NULL);

    if (!image_random_file(template, TEMPLATE_MIB * BENCH_MIB, errp) ||
        !make_dest_image(ends, errp)) {
        return false;
    }
    /* What earlier runs left for the disk to do is not this run's. */
    sync();
    ends->source = start(ends, true, errp);
    ends->dest = ends->source ? start(ends, false, errp) : NULL;
    return ends->dest &&
           guest_wait_ready(ends->source->guest, READY_SECONDS, errp);
}

/* A file of somebody else's, which QEMU opens as such. */
static Image raw_image(const char *path, uint64_t bytes)
{
    return (Image) { .path = (char *)path,
                     .format = "raw",
                     .bytes = bytes,
                     .file = (char *)path };
}

Ends *ends_new(const EndsOptions *options, Link *link, GError **errp)
{
    Ends *ends = g_new0(Ends, 1);
    uint64_t bytes = options->size.disk_mib * BENCH_MIB;

    ends->options = *options;
    ends->link = link;
    ends->source_image = raw_image(options->source_image, bytes);
    ends->dest_image = raw_image(options->dest_image, bytes);
    if (!start_both(ends, errp)) {
        ends_free(ends);
        return NULL;
    }
    return ends;
}

void ends_free(Ends *ends)
{
    if (ends) {
        machine_free(ends->source);
        machine_free(ends->dest);
        unlink(ends->dest_image.path);
        g_free(ends->uri);
        g_free(ends);
    }
}

bool ends_set_capability(Ends *ends, const char *name, GError **errp)
{
    Machine *const machines[] = { ends->source, ends->dest };

    for (unsigned i = 0; i < G_N_ELEMENTS(machines); i++) {
        if (!qmp_run(machines[i]->qmp, errp, "migrate-set-capabilities",
                     "{'capabilities': [{'capability': '%s', "
                     "'state': true}]}",
                     name)) {
            return false;
        }
    }
    return true;
}

bool ends_set_parameter(Ends *ends, const char *setting, GError **errp)
{
    return qmp_run(ends->source->qmp, errp, "migrate-set-parameters", "{%s}",
                   setting) &&
           qmp_run(ends->dest->qmp, errp, "migrate-set-parameters", "{%s}",
                   setting);
}

bool ends_listen(Ends *ends, const char *scheme, GError **errp)
{
    const char *host = link_address(ends->link);
    g_autoptr(JsonNode) info = NULL;
    JsonNode *address;

    if (!qmp_run(ends->dest->qmp, errp, "migrate-incoming",
                 "{'uri': '%s:%s:0'}", scheme, host)) {
        return false;
    }
    info = qmp_call(ends->dest->qmp, errp, "query-migrate", NULL);
    address = info ? json_at(info, "socket-address") : NULL;
    if (!address) {
        return info && harness_fail(errp, "the destination does not tell its "
                                          "address");
    }
    address = json_array_get_element(json_node_get_array(address), 0);
    ends->uri = g_strdup_printf("%s:%s:%s", scheme, host,
                                json_text_at(address, "port"));
    return true;
}

static bool has_status(Machine *machine, const char *status)
{
    return qmp_has_event(machine->qmp, "MIGRATION", "status", status);
}

static bool is_over(void *opaque)
{
    Ends *ends = opaque;
    Machine *const machines[] = { ends->source, ends->dest };
    unsigned completed = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(machines); i++) {
        completed += has_status(machines[i], "completed");
        if (qmp_closed(machines[i]->qmp) || has_status(machines[i], "failed")) {
            return true;
        }
    }
    return completed == G_N_ELEMENTS(machines);
}

bool ends_wait_completed(Ends *ends, GError **errp)
{
    loop_wait(is_over, ends, MOVE_SECONDS);
    if (!has_status(ends->source, "completed") ||
        !has_status(ends->dest, "completed")) {
        return ends_tell_why(ends, "the migration did not complete", errp);
    }
    return true;
}

bool ends_tell_why(Ends *ends, const char *what, GError **errp)
{
    g_autofree char *source = machine_stderr(ends->source);
    g_autofree char *dest = machine_stderr(ends->dest);
    g_autoptr(JsonNode) info =
        qmp_call(ends->source->qmp, NULL, "query-migrate", NULL);

    return harness_fail(errp,
                        "%s: source [%s] \"%s\", destination [%s]; the "
                        "source printed: %s; the destination: %s",
                        what, qmp_migration_states(ends->source->qmp),
                        info ? json_text_at(info, "error-desc") : "it ended",
                        qmp_migration_states(ends->dest->qmp), source, dest);
}
