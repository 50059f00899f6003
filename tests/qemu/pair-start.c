/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command lines of a pair, and starting it. */
#include <glib/gstdio.h>
#include <string.h>

#include "loop.h"
#include "pair.h"

/* The region of each disk that the guest writes. */
#define REGION_MIB 4
#define MIB ((uint64_t)1024 * 1024)
#define DISK_MIB 40
#define MEMORY_MIB 64
/* Filling memory and looking at disks, on a busy host without hardware. */
#define READY_SECONDS 120
#define TEMPLATE_BYTES (1024 * 1024)
/* Of {dir}/table, for -acpitable, which takes no more than 64 KiB. */
#define TABLE_BYTES 60000

#define GUEST_OPTIONS "mem=8 zero=8 blank=1 disk=4"

static void G_GNUC_PRINTF(2, 3) add(GPtrArray *args, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_ptr_array_add(args, g_strdup_vprintf(format, ap));
    va_end(ap);
}

/* The words of @text, if any, with {dir} and {image} filled in. */
static char *fill_in(const char *text, const char *dir, const char *image)
{
    g_autoptr(GString) filled = g_string_new(text);

    g_string_replace(filled, "{dir}", dir, 0);
    g_string_replace(filled, "{image}", image, 0);
    return g_string_free(g_steal_pointer(&filled), FALSE);
}

static void add_words(GPtrArray *args, const char *text, const Pair *pair)
{
    g_auto(GStrv) words = g_strsplit(text ? text : "", " ", -1);

    for (unsigned i = 0; words[i]; i++) {
        if (*words[i]) {
            g_ptr_array_add(args, fill_in(words[i], pair->dir, ""));
        }
    }
}

static void add_disk(GPtrArray *args, const Pair *pair, unsigned i,
                     const Image *image, const char *drive)
{
    const PairDisk *disk = &pair->options.disks[i];
    const char *device = disk->device;
    g_autofree char *text = fill_in(drive ? drive : "", pair->dir, image->path);
    const char *file = g_str_has_prefix(text, "file") ? "" : image->path;

    add(args, "-drive");
    add(args, "if=none,id=drive%u,format=%s,discard=unmap%s%s%s%s", i,
        image->format, *file ? ",file=" : "", file, *text ? "," : "", text);
    add(args, "-device");
    add(args, "%s,id=disk%u,drive=drive%u%s%s",
        disk->model ? disk->model : "virtio-blk-pci", i, i, device ? "," : "",
        device ? device : "");
}

static void add_disks(GPtrArray *args, const Pair *pair, bool source)
{
    Image *const *images = source ? pair->source_disks : pair->dest_disks;

    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        const PairDisk *disk = &pair->options.disks[i];
        const char *own = source ? disk->source_drive : disk->dest_drive;

        if (images[i]) {
            add_disk(args, pair, i, images[i], own ? own : disk->drive);
        }
    }
}

static GPtrArray *common_arguments(const Pair *pair, bool source)
{
    const PairOptions *o = &pair->options;
    GPtrArray *args = g_ptr_array_new_with_free_func(g_free);
    unsigned memory_mib =
        source || !o->dest_memory_mib ? o->memory_mib : o->dest_memory_mib;
    const char *machine =
        source || !o->dest_machine ? o->machine : o->dest_machine;

    add(args, "-machine");
    add(args, "%s", machine ? machine : "pc");
    add(args, "-accel");
    add(args, "%s", o->accel);
    add(args, "-cpu");
    /* Without what some hosts lack, which would be a warning. */
    add(args, "qemu64,pni=off");
    add(args, "-smp");
    add(args, "%u", o->vcpus ? o->vcpus : 1);
    add(args, "-m");
    add(args, "%uM%s%s", memory_mib ? memory_mib : MEMORY_MIB,
        o->memory_more ? "," : "", o->memory_more ? o->memory_more : "");
    add(args, "-kernel");
    add(args, "%s", machine_guest_elf());
    add(args, "-append");
    add(args, "%s %s", GUEST_OPTIONS, o->guest ? o->guest : "");
    add(args, "-fw_cfg");
    add(args, "name=opt/shmig/template,file=%s/template", pair->dir);
    add(args, "-global");
    add(args, "migration.x-events=on");
    add_words(args, o->arguments, pair);
    add_words(args, source ? o->source_arguments : o->dest_arguments, pair);
    add_disks(args, pair, source);
    return args;
}

static char *listen_uri(const Pair *pair)
{
    switch (pair->options.address) {
    case PAIR_UNIX:
        return g_strdup_printf("shmig:unix:%s/move", pair->dir);
    case PAIR_TCP4:
        return g_strdup("shmig:127.0.0.1:0");
    case PAIR_TCP6:
        return g_strdup("shmig:[::1]:0");
    }
    g_assert_not_reached();
}

/* The port that the system chose, in QEMU's own words. */
static char *connect_uri(Pair *pair, GError **errp)
{
    g_autoptr(JsonNode) info = NULL;
    JsonArray *addresses;
    JsonNode *address;
    bool v6 = pair->options.address == PAIR_TCP6;

    if (pair->options.address == PAIR_UNIX) {
        return listen_uri(pair);
    }
    info = qmp_call(pair->dest->qmp, errp, "query-migrate", NULL);
    if (!info) {
        return NULL;
    }
    if (!json_at(info, "socket-address")) {
        harness_fail(errp, "the destination does not tell its address");
        return NULL;
    }
    addresses = json_node_get_array(json_at(info, "socket-address"));
    address = json_array_get_element(addresses, 0);
    return g_strdup_printf("shmig:%s%s%s:%s", v6 ? "[" : "",
                           json_text_at(address, "host"), v6 ? "]" : "",
                           json_text_at(address, "port"));
}

/* Where the source goes to, with the options of a pair. */
static char *full_uri(Pair *pair, GError **errp)
{
    const PairOptions *o = &pair->options;
    g_autofree char *address = connect_uri(pair, errp);
    g_autoptr(GString) uri = NULL;

    if (!address) {
        return NULL;
    }
    uri = g_string_new(address);
    if (o->channels) {
        g_string_append_printf(uri, ",channels=%u", o->channels);
    }
    if (o->select) {
        g_string_append_printf(uri, ",disks=%s", o->select);
    }
    return g_string_free(g_steal_pointer(&uri), FALSE);
}

static bool listen_now(Pair *pair, GError **errp)
{
    g_autofree char *uri = listen_uri(pair);

    return qmp_run(pair->dest->qmp, errp, "migrate-incoming",
                   pair->options.dest_survives
                       ? "{'uri': '%s', 'exit-on-error': false}"
                       : "{'uri': '%s'}",
                   uri);
}

static bool start_dest(Pair *pair, GError **errp)
{
    g_autoptr(GPtrArray) args = common_arguments(pair, false);
    const PairOptions *o = &pair->options;
    bool defer = o->defer || o->no_listen || o->dest_survives;
    g_autofree char *uri = defer ? g_strdup("defer") : listen_uri(pair);

    add(args, "-incoming");
    g_ptr_array_add(args, g_steal_pointer(&uri));
    if (!o->dest_runs) {
        add(args, "-S");
    }
    pair->dest = machine_start("destination", pair->dir, args, errp);
    if (!pair->dest || o->no_listen) {
        return pair->dest != NULL;
    }
    if (defer && !listen_now(pair, errp)) {
        return false;
    }
    g_free(pair->uri);
    pair->uri = full_uri(pair, errp);
    return pair->uri != NULL;
}

static bool start_source(Pair *pair, GError **errp)
{
    g_autoptr(GPtrArray) args = common_arguments(pair, true);

    pair->source = machine_start("source", pair->dir, args, errp);
    return pair->source != NULL;
}

static uint64_t disk_bytes(const Pair *pair)
{
    const PairOptions *o = &pair->options;

    return (o->disk_mib ? o->disk_mib : DISK_MIB) * MIB + o->disk_odd_bytes;
}

static bool make_source_disks(Pair *pair, GError **errp)
{
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        const PairDisk *disk = &pair->options.disks[i];
        g_autofree char *name = g_strdup_printf("source%u", i);

        if (!disk->format || disk->only_dest) {
            continue;
        }
        pair->source_disks[i] =
            image_new(pair->dir, name, disk->format, disk_bytes(pair),
                      REGION_MIB * MIB, disk->content, errp);
        if (!pair->source_disks[i] ||
            !image_put_on(pair->source_disks[i], disk->source_storage, errp) ||
            !image_remember(pair->source_disks[i], errp)) {
            return false;
        }
        pair->disks += !disk->model;
    }
    return true;
}

static bool make_dest_disks(Pair *pair, GError **errp)
{
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        const PairDisk *disk = &pair->options.disks[i];
        g_autofree char *name = g_strdup_printf("dest%u", i);
        Image *image;

        if (!disk->format || disk->only_source) {
            continue;
        }
        g_clear_pointer(&pair->dest_disks[i], image_free);
        image =
            image_new(disk->dest_dir ? disk->dest_dir : pair->dir, name,
                      disk->dest_format ? disk->dest_format : disk->format,
                      disk->dest_mib ? disk->dest_mib * MIB : disk_bytes(pair),
                      0, IMAGE_EMPTY, errp);
        if (!image) {
            return false;
        }
        if (disk->same_file) {
            g_free(image->path);
            image->path = g_strdup(pair->source_disks[i]->path);
        }
        pair->dest_disks[i] = image;
        if (!disk->same_file &&
            !image_put_on(image, disk->dest_storage, errp)) {
            return false;
        }
    }
    return true;
}

static bool make_files(Pair *pair, GError **errp)
{
    g_autofree char *template = g_strconcat(pair->dir, "/template", NULL);
    g_autofree char *table = g_strconcat(pair->dir, "/table", NULL);

    return image_random_file(template, TEMPLATE_BYTES, errp) &&
           image_random_file(table, TABLE_BYTES, errp);
}

static bool start(Pair *pair, GError **errp)
{
    pair->dir = g_dir_make_tmp("shmig-pair-XXXXXX", errp);
    if (!pair->dir || !make_files(pair, errp) ||
        !make_source_disks(pair, errp) || !start_source(pair, errp)) {
        return false;
    }
    if (pair->options.no_dest) {
        pair->uri = listen_uri(pair);
    } else if (!make_dest_disks(pair, errp) || !start_dest(pair, errp)) {
        return false;
    }
    return guest_wait_ready(pair->source->guest, READY_SECONDS, errp);
}

Pair *pair_new(const PairOptions *options, GError **errp)
{
    Pair *pair = g_new0(Pair, 1);

    pair->options = *options;
    if (!start(pair, errp)) {
        pair_free(pair);
        return NULL;
    }
    return pair;
}

bool pair_renew_dest(Pair *pair, GError **errp)
{
    g_clear_pointer(&pair->dest, machine_free);
    return make_dest_disks(pair, errp) && start_dest(pair, errp);
}

/* Everything in it was made by us, and there are no folders. */
static void remove_dir(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        g_unlink(file);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_rmdir(path);
}

void pair_free(Pair *pair)
{
    if (!pair) {
        return;
    }
    machine_free(pair->source);
    machine_free(pair->dest);
    for (unsigned i = 0; i < PAIR_MAX_DISKS; i++) {
        image_free(pair->source_disks[i]);
        image_free(pair->dest_disks[i]);
    }
    if (pair->dir) {
        remove_dir(pair->dir);
    }
    g_free(pair->dir);
    g_free(pair->uri);
    g_free(pair);
}
