/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest does what its README says: it runs, finds what is wrong, and
 * survives QEMU's own migration.
 *
 * SHMIG_QEMU names QEMU, SHMIG_GUEST the guest.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "check.h"
#include "vm.h"
#include "../guest-protocol.h"

#define MIB 0x100000
#define DISK_BYTES (32 * MIB)
#define RAM_BYTES (128 * MIB)
#define STOP_US 300000

typedef struct Case {
    const char *accel;
    unsigned cpus;
} Case;

/* The files of one test, and QEMU's arguments that use them. */
typedef struct Setup {
    char *directory, *ram, *disk[2], *dump;
    char *arguments;
} Setup;

static char *make_file(const char *directory, const char *name, gint64 bytes)
{
    char *path = g_build_filename(directory, name, NULL);
    int fd = g_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, bytes), ==, 0);
    close(fd);
    return path;
}

static Setup *setup_new(void)
{
    Setup *s = g_new0(Setup, 1);

    s->directory = g_dir_make_tmp("shmig-guest-XXXXXX", NULL);
    g_assert_nonnull(s->directory);
    s->ram = make_file(s->directory, "ram", RAM_BYTES);
    s->disk[0] = make_file(s->directory, "disk0", DISK_BYTES);
    s->disk[1] = make_file(s->directory, "disk1", DISK_BYTES);
    s->dump = g_build_filename(s->directory, "dump", NULL);
    s->arguments = g_strdup_printf(
        "-M pc,memory-backend=ram -m %d "
        "-object memory-backend-file,id=ram,size=%d,mem-path=%s,share=on "
        "-drive if=none,id=d0,format=raw,discard=unmap,file=%s "
        "-device virtio-blk-pci,drive=d0 "
        "-drive if=none,id=d1,format=raw,discard=unmap,file=%s "
        "-device virtio-blk-pci,drive=d1",
        RAM_BYTES / MIB, RAM_BYTES, s->ram, s->disk[0], s->disk[1]);
    return s;
}

static void setup_free(Setup *s)
{
    g_unlink(s->ram);
    g_unlink(s->disk[0]);
    g_unlink(s->disk[1]);
    g_unlink(s->dump);
    g_assert_cmpint(g_rmdir(s->directory), ==, 0);
    g_free(s->ram);
    g_free(s->disk[0]);
    g_free(s->disk[1]);
    g_free(s->dump);
    g_free(s->directory);
    g_free(s->arguments);
    g_free(s);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Setup, setup_free)

static bool cannot_run(const char *accel)
{
    if (!vm_qemu()) {
        g_test_skip("no QEMU: set SHMIG_QEMU");
        return true;
    }
    if (!vm_can(accel)) {
        g_test_skip("no access to /dev/kvm");
        return true;
    }
    return false;
}

static void assert_contains(const char *text, const char *wanted)
{
    if (!strstr(text, wanted)) {
        g_error("no \"%s\" in: %s", wanted, text);
    }
}

static void assert_verifies(Vm *vm)
{
    g_autofree char *memory = vm_command(vm, "v");
    g_autofree char *disks = vm_command(vm, "d");

    assert_contains(memory, GUEST_LINE_MEM_OK);
    assert_contains(disks, "DISK 0 ok");
    assert_contains(disks, "DISK 1 ok");
}

/* Flips one byte of a file. */
static void flip_byte(const char *path, off_t at)
{
    int fd = g_open(path, O_RDWR | O_CLOEXEC, 0);
    guint8 byte;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pread(fd, &byte, 1, at), ==, 1);
    byte ^= 0x40;
    g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
    close(fd);
}

static void test_boot(const void *opaque)
{
    const Case *c = opaque;
    g_autoptr(Setup) s = NULL;
    g_autoptr(Vm) vm = NULL;
    g_autofree char *ready = NULL, *stats = NULL, *quit = NULL;

    if (cannot_run(c->accel)) {
        return;
    }
    s = setup_new();
    vm = vm_start("vm", c->accel, c->cpus,
                  "mem=8 zero=2 dirty=2000 write=100 wz=9 discard=11 read=7 "
                  "blank=1 wsize=mixed disk=8 doff=3",
                  s->arguments);
    ready = vm_line(vm, GUEST_LINE_READY);
    g_assert_cmpint(vm_number(ready, "cpus="), ==, c->cpus);
    g_assert_cmpint(vm_number(ready, "disks="), ==, 2);
    vm_wait_tick(vm, vm_last_tick(vm).number + 100);
    assert_verifies(vm);
    stats = vm_command(vm, "s");
    g_assert_cmpint(vm_number(strstr(stats, "disk=0"), "writes="), >, 0);
    g_assert_cmpint(vm_number(strstr(stats, "disk=1"), "zeroes="), >, 0);
    g_assert_cmpint(
        vm_number(stats, c->cpus > 1 ? "cpu=1 dirtied=" : "cpu=0 dirtied="), >,
        0);
    quit = vm_command(vm, "q");
    g_assert_cmpint(vm_wait_exit(vm), ==, 0);
}

static void dump_memory(Vm *vm, const Setup *s)
{
    vm_qmp_ok(vm,
              "{'execute': 'pmemsave', 'arguments': {'val': 0, "
              "'size': %d, 'filename': '%s'}}",
              RAM_BYTES, s->dump);
}

/* Checks from outside; returns the number of bad pages and sectors. */
static guint64 check_dump(const Setup *s)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GuestDump) dump = guest_dump_open(s->dump, &error);
    GuestCheck found;
    guint64 bad;

    g_assert_no_error(error);
    guest_check_memory(dump, &found, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(found.checked, ==, 8 * 256);
    bad = found.bad;
    for (unsigned i = 0; i < 2; i++) {
        guest_check_disk(dump, i, s->disk[i], &found, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(found.checked, >, 0);
        bad += found.bad;
    }
    return bad;
}

static const GuestState *ram_state(const char *ram)
{
    return (const GuestState *)(ram + GUEST_STATE_ADDRESS);
}

static GMappedFile *map(const char *path)
{
    GMappedFile *file = g_mapped_file_new(path, FALSE, NULL);

    g_assert_nonnull(file);
    return file;
}

/* Where the guest's disk 0 has a written sector. */
static guint32 written_lba(const char *ram)
{
    const GuestDiskState *d = &ram_state(ram)->disk[0];
    const guint32 *expect = (const guint32 *)(ram + d->expect_address);

    for (guint32 i = 0; i < d->region_sectors; i++) {
        if (expect[i] && expect[i] < GUEST_EXPECT_MAX_SEQUENCE) {
            return d->first_lba + i;
        }
    }
    g_error("the guest has written nothing");
}

static void test_finds_a_flipped_byte(const void *opaque)
{
    const Case *c = opaque;
    g_autoptr(Setup) s = NULL;
    g_autoptr(Vm) vm = NULL;
    g_autoptr(GMappedFile) ram = NULL;
    g_autofree char *ready = NULL, *pause = NULL, *memory = NULL;
    g_autofree char *zero = NULL, *disk = NULL;
    const char *bytes;
    guint32 lba;

    if (cannot_run(c->accel)) {
        return;
    }
    s = setup_new();
    vm = vm_start("vm", c->accel, c->cpus, "mem=8 zero=2 dirty=2000 write=100",
                  s->arguments);
    ready = vm_line(vm, GUEST_LINE_READY);
    vm_wait_tick(vm, vm_last_tick(vm).number + 50);
    pause = vm_command(vm, "p");
    dump_memory(vm, s);
    g_assert_cmpuint(check_dump(s), ==, 0);

    ram = map(s->ram);
    bytes = g_mapped_file_get_contents(ram);
    lba = written_lba(bytes);
    flip_byte(s->disk[0], (off_t)lba * GUEST_SECTOR_BYTES + 200);
    disk = vm_command(vm, "d");
    assert_contains(disk, "DISK 0 bad");
    assert_contains(disk, "DISK 1 ok");
    g_assert_cmpint(vm_number(disk, "lba="), ==, lba);

    flip_byte(s->ram, ram_state(bytes)->zero_address + 5000);
    zero = vm_command(vm, "v");
    assert_contains(zero, "MEM bad zero_page=1 count=1");
    flip_byte(s->ram, ram_state(bytes)->memory_address + 77 * 4096 + 3000);
    memory = vm_command(vm, "v");
    assert_contains(memory, "MEM bad page=77 count=1");

    dump_memory(vm, s);
    g_assert_cmpuint(check_dump(s), ==, 3);
}

static void test_sees_a_stop(const void *opaque)
{
    const Case *c = opaque;
    g_autoptr(Setup) s = NULL;
    g_autoptr(Vm) vm = NULL;
    g_autofree char *ready = NULL, *clear = NULL, *stats = NULL;
    gint64 begin, end;

    if (cannot_run(c->accel)) {
        return;
    }
    s = setup_new();
    vm = vm_start("vm", c->accel, c->cpus, "mem=1", s->arguments);
    ready = vm_line(vm, GUEST_LINE_READY);
    /* The RTC's bounds are close after two changes of second. */
    vm_wait_tick(vm, vm_last_tick(vm).number + 250);
    clear = vm_command(vm, "z");
    begin = g_get_monotonic_time();
    vm_qmp_ok(vm, "{'execute': 'stop'}");
    g_usleep(STOP_US);
    vm_qmp_ok(vm, "{'execute': 'cont'}");
    end = g_get_monotonic_time();
    vm_wait_tick(vm, vm_last_tick(vm).number + 350);
    stats = vm_command(vm, "s");
    g_assert_cmpint(vm_number(stats, "blackout_us="), >, STOP_US - 50000);
    /* A busy host makes gaps of its own: no close upper limit. */
    g_assert_cmpint(vm_number(stats, "blackout_us="), <,
                    end - begin + 2 * G_USEC_PER_SEC);
}

static void test_survives_io_errors(const void *opaque)
{
    const Case *c = opaque;
    g_autoptr(Setup) s = NULL;
    g_autoptr(Vm) vm = NULL;
    g_autofree char *arguments = NULL, *ready = NULL, *line = NULL;
    g_autofree char *stats = NULL, *disks = NULL;

    if (cannot_run(c->accel)) {
        return;
    }
    s = setup_new();
    /* Merged with the failing write, one next to it would fail as well. */
    arguments = g_strdup_printf(
        "-M pc -m 128 -blockdev driver=blkdebug,node-name=n0,image.driver=file,"
        "image.filename=%s,inject-error.0.event=none,"
        "inject-error.0.iotype=write,inject-error.0.errno=5,"
        "inject-error.0.sector=8 "
        "-device virtio-blk-pci,drive=n0,werror=report,rerror=report,"
        "request-merging=off",
        s->disk[0]);
    vm = vm_start("vm", c->accel, c->cpus, "mem=1 disk=1 write=200", arguments);
    ready = vm_line(vm, GUEST_LINE_READY);
    line = vm_line(vm, GUEST_LINE_IOERR);
    g_assert_cmpint(vm_number(line, "lba="), ==, 8);
    stats = vm_command(vm, "s");
    g_assert_cmpint(vm_number(stats, "errors="), >, 0);
    disks = vm_command(vm, "d");
    assert_contains(disks, "DISK 0 ok");
    g_assert_cmpint(vm_number(disks, "unknown="), ==, 8);
}

static void test_survives_migration(const void *opaque)
{
    const char *append = "mem=16 zero=4 dirty=2000 write=200 wz=9 read=7";
    const Case *c = opaque;
    g_autoptr(Setup) s = NULL;
    g_autoptr(Vm) source = NULL, destination = NULL;
    g_autofree char *address = NULL, *ready = NULL, *clear = NULL;
    g_autofree char *arguments = NULL, *resume = NULL, *stats = NULL;
    VmTick last, first;

    if (cannot_run(c->accel)) {
        return;
    }
    s = setup_new();
    address = g_strdup_printf("unix:%s/migration", s->directory);
    arguments = g_strdup_printf(
        "-M pc -m 128 -drive if=none,id=d0,format=raw,file=%s "
        "-device virtio-blk-pci,drive=d0 -drive if=none,id=d1,format=raw,"
        "file=%s -device virtio-blk-pci,drive=d1",
        s->disk[0], s->disk[1]);
    source = vm_start("source", c->accel, c->cpus, append, arguments);
    ready = vm_line(source, GUEST_LINE_READY);
    destination = vm_start(
        "destination", c->accel, c->cpus, append,
        (resume = g_strdup_printf("%s -incoming %s", arguments, address)));
    clear = vm_command(source, "z");
    vm_qmp_ok(source, "{'execute': 'migrate', 'arguments': {'uri': '%s'}}",
              address);
    g_free(vm_event(destination, "\"RESUME\""));
    vm_wait_tick(destination, 0);
    last = vm_last_tick(source);
    first = vm_first_tick(destination);
    g_assert_cmpuint(first.number, >, last.number);
    g_test_message("heartbeats: %" G_GINT64_FORMAT " us from the last of the "
                   "source to the first of the destination",
                   first.arrival_us - last.arrival_us);
    vm_wait_tick(destination, first.number + 50);
    assert_verifies(destination);
    stats = vm_command(destination, "s");
    g_assert_cmpint(vm_number(stats, "errors="), ==, 0);
}

static void add(const char *name, const Case *c, GTestDataFunc function)
{
    g_autofree char *path =
        g_strdup_printf("/guest/%s/%s/%u-cpu", name, c->accel, c->cpus);

    g_test_add_data_func(path, c, function);
}

int main(int argc, char **argv)
{
    static const Case cases[] = {
        { "kvm", 1 }, { "kvm", 2 }, { "tcg", 1 }, { "tcg", 2 }
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *c = &cases[i];

        add("boot", c, test_boot);
        add("survives-migration", c, test_survives_migration);
        if (c->cpus > 1) {
            add("finds-a-flipped-byte", c, test_finds_a_flipped_byte);
            add("survives-io-errors", c, test_survives_io_errors);
            add("sees-a-stop", c, test_sees_a_stop);
        }
    }
    return g_test_run();
}
