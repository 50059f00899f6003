/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stock Linux moves while it writes a file system, and finds each file as
 * it was written; so does e2fsck, of the file system.  Its memory may be
 * partly unplugged and ballooned away meanwhile.
 */
#include <inttypes.h>

#include "linux-guest.h"
#include "loop.h"
#include "pair.h"

#define DISK_BYTES ((uint64_t)256 << 20)
/* Each instruction is interpreted, and others use the host, too. */
#define BOOT_SECONDS 240
#define FILES_SECONDS 120
#define VERIFY_SECONDS 240
#define EXIT_SECONDS 60

/* Files before it moves; on its way at least; and where it has arrived. */
#define FILES_BEFORE 20
#define FILES_MEANWHILE 10
#define FILES_AFTER 20

/* Memory that can be plugged, what of it is, and what the balloon leaves of
 * the rest. */
#define MIB ((int64_t)1024 * 1024)
#define PLUGGABLE_MIB 512
#define PLUGGED_BYTES (64 * MIB)
#define RAM_BYTES (256 * MIB)
#define LEFT_BYTES (176 * MIB)
#define CHANGE_SECONDS 60

typedef struct Scene {
    bool changing; /* it has memory that comes and goes */
    Pair *pair;
    LinuxGuest *source, *dest;
} Scene;

static void G_GNUC_PRINTF(2, 3) add(GPtrArray *args, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_ptr_array_add(args, g_strdup_vprintf(format, ap));
    va_end(ap);
}

static char *socket_of(const Scene *scene, const char *side)
{
    return g_strdup_printf("%s/%s.serial", scene->pair->dir, side);
}

static void add_changing_memory(GPtrArray *args)
{
    add(args, "-m");
    add(args, "256M,maxmem=2G");
    add(args, "-object");
    add(args, "memory-backend-ram,id=vm0,size=%uM", PLUGGABLE_MIB);
    add(args, "-device");
    add(args, "virtio-mem-pci,id=vm,memdev=vm0");
    add(args, "-device");
    add(args, "virtio-balloon-pci,id=balloon");
}

/* The harness has the first serial line for the test guest; Linux uses the
 * second. */
static GPtrArray *arguments(const Scene *scene, const char *side,
                            const Image *image)
{
    static const char *const fixed[] = {
        "-machine", "pc", "-accel", "tcg",  "-cpu",    "qemu64,pni=off",
        "-smp",     "1",  "-m",     "256M", "-global", "migration.x-events=on"
    };
    GPtrArray *args = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = socket_of(scene, side);

    for (unsigned i = 0; i < G_N_ELEMENTS(fixed); i++) {
        add(args, "%s", fixed[i]);
    }
    add(args, "-kernel");
    add(args, "%s/vmlinuz", scene->pair->dir);
    add(args, "-initrd");
    add(args, "%s/initrd", scene->pair->dir);
    add(args, "-append");
    add(args, "console=ttyS1 loglevel=1 memhp_default_state=online");
    add(args, "-chardev");
    add(args, "socket,id=linux,path=%s,server=on,wait=off", path);
    add(args, "-serial");
    add(args, "chardev:linux");
    add(args, "-drive");
    add(args, "if=none,id=drive0,format=raw,discard=unmap,file=%s",
        image->path);
    add(args, "-device");
    add(args, "virtio-blk-pci,id=disk0,drive=drive0");
    if (scene->changing) {
        add_changing_memory(args);
    }
    return args;
}

static bool make_images(Pair *pair, GError **errp)
{
    pair->source_disks[0] = image_new(pair->dir, "source0", "raw", DISK_BYTES,
                                      0, IMAGE_EMPTY, errp);
    if (!pair->source_disks[0] ||
        !image_run_program(errp, "mke2fs", "-q", "-F", "-t", "ext4",
                           pair->source_disks[0]->path, NULL)) {
        return false;
    }
    pair->dest_disks[0] =
        image_new(pair->dir, "dest0", "raw", DISK_BYTES, 0, IMAGE_EMPTY, errp);
    return pair->dest_disks[0] != NULL;
}

static bool start_dest(Scene *scene, GError **errp)
{
    Pair *pair = scene->pair;
    g_autoptr(GPtrArray) args =
        arguments(scene, "destination", pair->dest_disks[0]);
    g_autofree char *path = socket_of(scene, "destination");

    pair->uri = g_strdup_printf("shmig:unix:%s/move", pair->dir);
    add(args, "-incoming");
    add(args, "%s", pair->uri);
    add(args, "-S");
    pair->dest = machine_start("destination", pair->dir, args, errp);
    if (pair->dest) {
        scene->dest = linux_guest_new(path, "destination", errp);
    }
    return scene->dest != NULL;
}

static bool start_source(Scene *scene, GError **errp)
{
    Pair *pair = scene->pair;
    g_autoptr(GPtrArray) args =
        arguments(scene, "source", pair->source_disks[0]);
    g_autofree char *path = socket_of(scene, "source");

    pair->source = machine_start("source", pair->dir, args, errp);
    if (pair->source) {
        scene->source = linux_guest_new(path, "source", errp);
    }
    return scene->source != NULL &&
           linux_guest_wait_files(scene->source, 1, BOOT_SECONDS, errp);
}

/* --- memory that comes and goes --- */

static int64_t plugged_bytes(Machine *machine, GError **errp)
{
    g_autoptr(JsonNode) size =
        qmp_call(machine->qmp, errp, "qom-get",
                 "{'path': '/machine/peripheral/vm', 'property': 'size'}");

    return size ? json_node_get_int(size) : -1;
}

static int64_t left_bytes(Machine *machine, GError **errp)
{
    g_autoptr(JsonNode) info =
        qmp_call(machine->qmp, errp, "query-balloon", NULL);

    return info ? json_int_at(info, "actual") : -1;
}

/* Until @bytes() of @machine is @wanted; QEMU tells when it changes. */
static bool wait_bytes(Machine *machine, int64_t (*bytes)(Machine *, GError **),
                       int64_t wanted, const char *event, GError **errp)
{
    int64_t now;

    while ((now = bytes(machine, errp)) != wanted) {
        g_autoptr(JsonNode) told =
            now < 0 ? NULL
                    : qmp_wait_event(machine->qmp, event, NULL, NULL,
                                     CHANGE_SECONDS, errp);

        if (!told) {
            g_prefix_error(errp, "%" PRId64 " bytes instead of %" PRId64 ": ",
                           now, wanted);
            return false;
        }
    }
    return true;
}

/* Part of the pluggable memory comes, part of the other goes. */
static bool change_memory(Scene *scene, GError **errp)
{
    Machine *source = scene->pair->source;

    return qmp_run(source->qmp, errp, "qom-set",
                   "{'path': '/machine/peripheral/vm', "
                   "'property': 'requested-size', 'value': %" PRId64 "}",
                   PLUGGED_BYTES) &&
           wait_bytes(source, plugged_bytes, PLUGGED_BYTES,
                      "MEMORY_DEVICE_SIZE_CHANGE", errp) &&
           qmp_run(source->qmp, errp, "balloon", "{'value': %" PRId64 "}",
                   LEFT_BYTES) &&
           wait_bytes(source, left_bytes, LEFT_BYTES, "BALLOON_CHANGE", errp);
}

/* The destination has as much, and what was not plugged was not even looked
 * at: it would count as zeroes. */
static bool memory_has_moved(Scene *scene, GError **errp)
{
    g_autoptr(JsonNode) info = pair_query(scene->pair, errp);
    int64_t plugged = plugged_bytes(scene->pair->dest, errp);
    int64_t left = plugged < 0 ? -1 : left_bytes(scene->pair->dest, errp);
    int64_t seen;

    if (!info || left < 0) {
        return false;
    }
    if (plugged != PLUGGED_BYTES || left != LEFT_BYTES) {
        return harness_fail(errp,
                            "the destination has %" PRId64
                            " bytes plugged and %" PRId64 " left",
                            plugged, left);
    }
    seen = json_int_at(info, "shmig.ram.sent") +
           json_int_at(info, "shmig.ram.zero") -
           json_int_at(info, "shmig.ram.resent");
    g_test_message("%" PRId64 " MiB of RAM were looked at", seen / MIB);
    if (seen > RAM_BYTES + PLUGGED_BYTES + 64 * MIB) {
        return harness_fail(errp, "%" PRId64 " bytes of RAM were looked at",
                            seen);
    }
    return true;
}

/* It writes while it moves: the migration is held back until it has. */
static bool move(Scene *scene, GError **errp)
{
    Pair *pair = scene->pair;
    unsigned files;

    if (!linux_guest_wait_files(scene->source, FILES_BEFORE, FILES_SECONDS,
                                errp)) {
        return false;
    }
    if (scene->changing && !change_memory(scene, errp)) {
        return false;
    }
    files = linux_guest_files(scene->source);
    pair->options.slow = true;
    if (!pair_migrate(pair, errp) ||
        !linux_guest_wait_files(scene->source, files + FILES_MEANWHILE,
                                FILES_SECONDS, errp)) {
        return false;
    }
    if (pair_is_over(pair)) {
        return harness_fail(errp, "the migration ended too early: source [%s]",
                            qmp_migration_states(pair->source->qmp));
    }
    return pair_hurry(pair, errp) && pair_wait_moved(pair, errp) &&
           pair_compare_disks(pair, errp) &&
           pair_compare_allocation(pair, errp);
}

static bool arrive(Scene *scene, GError **errp)
{
    Pair *pair = scene->pair;
    unsigned good;
    int status;

    if (!qmp_run(pair->dest->qmp, errp, "cont", NULL) ||
        !linux_guest_wait_files(scene->dest,
                                linux_guest_files(scene->source) + FILES_AFTER,
                                FILES_SECONDS, errp)) {
        return false;
    }
    good = linux_guest_verify(scene->dest, VERIFY_SECONDS, errp);
    if (!good) {
        return false;
    }
    status = machine_wait_exit(pair->dest, EXIT_SECONDS, errp);
    if (status > 0) {
        return harness_fail(errp, "destination: QEMU ended with status %d",
                            status);
    }
    if (status < 0 || !machine_quit(pair->source, errp)) {
        return false;
    }
    g_test_message("%u files on the source, %u when it was told to verify; "
                   "%u that it had kept were good",
                   linux_guest_files(scene->source),
                   linux_guest_files(scene->dest), good);
    return image_run_program(errp, "e2fsck", "-fn", pair->dest_disks[0]->path,
                             NULL);
}

static void play(Scene *scene, char **missing, GError **errp)
{
    Pair *pair = scene->pair;

    pair->dir = g_dir_make_tmp("shmig-linux-XXXXXX", errp);
    if (pair->dir && linux_guest_make(pair->dir, missing, errp) &&
        make_images(pair, errp) && start_dest(scene, errp) &&
        start_source(scene, errp) && move(scene, errp) &&
        (!scene->changing || memory_has_moved(scene, errp))) {
        arrive(scene, errp);
    }
}

static char *tools_missing(void)
{
    static const char *const tools[] = { "mke2fs", "e2fsck" };

    for (unsigned i = 0; i < G_N_ELEMENTS(tools); i++) {
        g_autofree char *path = g_find_program_in_path(tools[i]);

        if (!path) {
            return g_strdup_printf("%s is not in PATH; it is in package "
                                   "e2fsprogs, in /usr/sbin",
                                   tools[i]);
        }
    }
    return machine_missing("tcg");
}

static void run(bool changing)
{
    g_autofree char *missing = tools_missing();
    g_autoptr(GError) error = NULL;
    Scene scene = { .changing = changing };

    if (missing) {
        g_test_skip(missing);
        return;
    }
    scene.pair = g_new0(Pair, 1);
    play(&scene, &missing, &error);
    if (missing) {
        g_test_skip(missing);
    } else if (error) {
        g_test_fail_printf("%s", error->message);
    }
    linux_guest_free(scene.source);
    linux_guest_free(scene.dest);
    pair_free(scene.pair);
}

static void writes_files_while_it_moves(void)
{
    run(false);
}

static void is_plugged_and_ballooned(void)
{
    run(true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qemu/linux/writes-files-while-it-moves",
                    writes_files_while_it_moves);
    g_test_add_func("/qemu/linux/is-plugged-and-ballooned",
                    is_plugged_and_ballooned);
    return g_test_run();
}
