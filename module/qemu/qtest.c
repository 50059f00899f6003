/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cases for QEMU's own migration-test, over its helpers: a boot sector that
 * increments a byte of each page moves, and goes on with the right bytes.
 *
 * Both sides boot from the same file, which shmig would refuse to copy onto
 * itself; it is left out with disks=none or by naming others.
 */
#include "qemu/osdep.h"

#include "libqtest.h"
#include "migration/framework.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define DISK_BYTES (8 << 20)

static char *tmpfs;

static char *listen_uri(void)
{
    return g_strdup_printf("shmig:unix:%s/migsocket", tmpfs);
}

static char *connect_uri(const char *options)
{
    return g_strdup_printf("shmig:unix:%s/migsocket,%s", tmpfs, options);
}

static void move(const char *options, MigrateCommon *args)
{
    g_autofree char *from = listen_uri();
    g_autofree char *to = connect_uri(options);

    args->listen_uri = from;
    args->connect_uri = to;
    test_precopy_common(args);
}

static void test_live(void)
{
    MigrateCommon args = { .live = true };

    move("disks=none", &args);
}

static void test_live_dirty_ring(void)
{
    MigrateCommon args = { .live = true, .start.use_dirty_ring = true };

    move("disks=none", &args);
}

static void test_stopped(void)
{
    MigrateCommon args = {};

    move("disks=none,channels=4", &args);
}

static void test_suspended(void)
{
    MigrateCommon args = { .start.suspend_me = true };

    move("disks=none", &args);
}

static void *throttle(QTestState *from, QTestState *to)
{
    migrate_set_capability(from, "auto-converge", true);
    return NULL;
}

static void test_auto_converge(void)
{
    MigrateCommon args = { .live = true, .start_hook = throttle };

    move("disks=none", &args);
}

static void *pause_before_switchover(QTestState *from, QTestState *to)
{
    migrate_set_capability(from, "pause-before-switchover", true);
    return NULL;
}

static void test_structured(void)
{
    g_autofree char *from = listen_uri();
    g_autofree char *channels = g_strdup_printf(
        "[ { 'channel-type': 'main', 'addr': { 'transport': 'shmig', "
        "'address': { 'type': 'unix', 'path': '%s/migsocket' }, "
        "'disks': [], 'channels': 3 } } ]",
        tmpfs);
    MigrateCommon args = {
        .listen_uri = from,
        .connect_channels = channels,
    };

    test_precopy_common(&args);
}

static char *disk_path(const char *side)
{
    return g_strdup_printf("%s/shmig-%s.raw", tmpfs, side);
}

static char *disk_option(const char *side)
{
    g_autofree char *path = disk_path(side);

    return g_strdup_printf(
        "-drive if=none,id=d1,file=%s,format=raw,discard=unmap "
        "-device virtio-blk-pci,drive=d1,id=disk1",
        path);
}

/* Data, and a hole. */
static void make_disk(const char *side, bool empty)
{
    g_autofree char *path = disk_path(side);
    g_autofree char *bytes = g_malloc0(DISK_BYTES);

    for (size_t i = 0; !empty && i < DISK_BYTES / 4; i++) {
        bytes[i] = g_test_rand_int();
    }
    g_assert(g_file_set_contents(path, bytes, DISK_BYTES / 4, NULL));
    g_assert_cmpint(truncate(path, DISK_BYTES), ==, 0);
}

static void compare_disks(QTestState *from, QTestState *to, void *opaque)
{
    g_autofree char *source = disk_path("source");
    g_autofree char *target = disk_path("target");
    g_autofree char *a = NULL;
    g_autofree char *b = NULL;
    gsize a_bytes, b_bytes;

    g_assert(g_file_get_contents(source, &a, &a_bytes, NULL));
    g_assert(g_file_get_contents(target, &b, &b_bytes, NULL));
    g_assert_cmpmem(a, a_bytes, b, b_bytes);
    unlink(source);
    unlink(target);
}

static void test_disk(void)
{
    g_autofree char *source = disk_option("source");
    g_autofree char *target = disk_option("target");
    MigrateCommon args = {
        .start.opts_source = source,
        .start.opts_target = target,
        .end_hook = compare_disks,
        .live = true,
    };

    make_disk("source", false);
    make_disk("target", true);
    move("disks=disk1", &args);
}

static void test_same_file(void)
{
    MigrateCommon args = {
        .start.hide_stderr = true,
        .result = MIG_TEST_FAIL,
    };
    g_autofree char *from = listen_uri();

    args.listen_uri = args.connect_uri = from;
    test_precopy_common(&args);
}

static void *set_xbzrle(QTestState *from, QTestState *to)
{
    migrate_set_capability(from, "xbzrle", true);
    return NULL;
}

static void test_refused_capability(void)
{
    MigrateCommon args = {
        .start_hook = set_xbzrle,
        .result = MIG_TEST_QMP_ERROR,
    };

    move("disks=none", &args);
}

/* The source cancels in @phase, and then moves to the same place at last. */
static void cancel_in(const char *phase, TestMigrateStartHook hook)
{
    g_autofree char *listen = listen_uri();
    g_autofree char *connect = connect_uri("disks=none");
    MigrateStart args = { .hide_stderr = true };
    QTestState *from, *to;

    if (migrate_start(&from, &to, "defer", &args)) {
        return;
    }
    if (hook) {
        hook(from, to);
    }
    migrate_incoming_qmp(to, listen, NULL, "{ 'exit-on-error': false }");
    wait_for_serial("src_serial");
    if (g_str_equal(phase, "active")) {
        migrate_ensure_non_converge(from);
    } else {
        migrate_ensure_converge(from);
    }
    migrate_qmp(from, to, connect, NULL, "{}");
    migration_event_wait(from, phase);
    migrate_cancel(from);
    wait_for_migration_status(from, "cancelled",
                              (const char *[]) { "completed", NULL });
    wait_for_migration_status(to, "failed",
                              (const char *[]) { "completed", NULL });
    migrate_end(from, to, false);
}

static void test_cancel_active(void)
{
    cancel_in("active", NULL);
}

static void test_cancel_pre_switchover(void)
{
    cancel_in("pre-switchover", pause_before_switchover);
}

void migration_test_add_shmig(MigrationTestEnv *env)
{
    tmpfs = env->tmpfs;
    migration_test_add("/migration/shmig/live", test_live);
    /* As with QEMU's own: some hosts take for ever with a full ring. */
    if (env->full_set && env->has_kvm && env->has_dirty_ring) {
        migration_test_add("/migration/shmig/live-dirty-ring",
                           test_live_dirty_ring);
    }
    migration_test_add("/migration/shmig/stopped", test_stopped);
    if (env->is_x86) {
        migration_test_add("/migration/shmig/suspended", test_suspended);
    }
    migration_test_add("/migration/shmig/auto-converge", test_auto_converge);
    migration_test_add("/migration/shmig/structured", test_structured);
    migration_test_add("/migration/shmig/disk", test_disk);
    migration_test_add("/migration/shmig/disk-same-file", test_same_file);
    migration_test_add("/migration/shmig/refused-capability",
                       test_refused_capability);
    migration_test_add("/migration/shmig/cancel-active", test_cancel_active);
    migration_test_add("/migration/shmig/cancel-pre-switchover",
                       test_cancel_pre_switchover);
}
