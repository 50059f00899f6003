/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our sections in QEMU's stream: what is not what was offered, comes twice, at
 * the wrong time or cut short is refused with a sentence, and the session gets
 * no RAM that was not checked.
 */
#include "qemu/osdep.h"

#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/module.h"
#include "migration/migration.h"
#include "system/runstate.h"

#include "incoming.h"
#include "load.h"
#include "stream.h"

#define N_BLOCKS 2
#define BYTES_0 0x10000
#define BYTES_1 0x8000

/* --- in place of the rest of the glue, the session and QEMU --- */

ShmigIncoming *shmig_incoming;

typedef struct Seen {
    unsigned ram; /* calls of set_ram() */
    unsigned go, ready, running;
    uint64_t resized;
    char *aborted;
} Seen;

static Seen seen;
static MigrationState *state;
static bool resize_fails;
static bool in_migrate;

bool shmig_incoming_connected(void)
{
    return shmig_incoming && shmig_incoming->connected;
}

bool coroutine_fn shmig_incoming_wait(ShmigIncoming *in, const bool *flag)
{
    return *flag;
}

Error *shmig_incoming_error(void)
{
    Error *error = NULL;

    error_setg(&error, "the session's");
    return error;
}

void shmig_dest_set_ram(ShmigDest *dest, uint32_t index, void *host)
{
    g_assert_cmpuint(index, ==, seen.ram);
    g_assert_true(host == shmig_incoming->ram->blocks[index].host);
    seen.ram++;
}

void shmig_dest_go(ShmigDest *dest)
{
    seen.go++;
}

void shmig_dest_ready(ShmigDest *dest)
{
    seen.ready++;
}

void shmig_dest_running(ShmigDest *dest)
{
    seen.running++;
}

void shmig_dest_abort(ShmigDest *dest, const char *reason)
{
    g_free(seen.aborted);
    seen.aborted = g_strdup(reason);
}

void memory_region_ram_resize(MemoryRegion *mr, ram_addr_t size, Error **errp)
{
    if (resize_fails) {
        error_setg(errp, "no resize today");
        return;
    }
    seen.resized = size;
}

MigrationState *migrate_get_current(void)
{
    return state;
}

bool runstate_check(RunState wanted)
{
    return in_migrate;
}

/* --- a destination with two blocks --- */

typedef struct Dest {
    ShmigIncoming in;
    ShmigRamBlocks ram;
    ShmigRamBlockRef refs[N_BLOCKS];
    RAMBlock blocks[N_BLOCKS];
    uint8_t memory[N_BLOCKS];
} Dest;

static void setup(Dest *d, const void *data)
{
    static const char *const names[] = { "pc.ram", "pc.bios" };
    static const uint64_t bytes[] = { BYTES_0, BYTES_1 };

    for (unsigned i = 0; i < N_BLOCKS; i++) {
        pstrcpy(d->blocks[i].idstr, sizeof(d->blocks[i].idstr), names[i]);
        d->blocks[i].used_length = bytes[i];
        d->refs[i].rb = &d->blocks[i];
        d->refs[i].host = &d->memory[i];
        d->refs[i].used_bytes = bytes[i];
    }
    d->ram.blocks = d->refs;
    d->ram.n = N_BLOCKS;
    d->in.ram = &d->ram;
    d->in.connected = true;
    shmig_incoming = &d->in;
    resize_fails = in_migrate = false;
    g_free(seen.aborted);
    seen = (Seen) { 0 };
    g_free(stream_said());
}

static void teardown(Dest *d, const void *data)
{
    shmig_incoming = NULL;
}

static GByteArray *blocks(uint32_t n, const char *name, uint64_t bytes)
{
    GByteArray *s = stream_new();

    stream_put_u32(s, SHMIG_SECTION_BLOCKS);
    stream_put_u32(s, n);
    stream_put_name(s, name);
    stream_put_u64(s, bytes);
    stream_put_name(s, "pc.bios");
    stream_put_u64(s, BYTES_1);
    return s;
}

static GByteArray *good_blocks(void)
{
    return blocks(N_BLOCKS, "pc.ram", BYTES_0);
}

static GByteArray *section(uint32_t number)
{
    GByteArray *s = stream_new();

    stream_put_u32(s, number);
    return s;
}

/* Takes @s. */
static int load_part(GByteArray *s, size_t length)
{
    QEMUFile *f = stream_open(s, length);
    int ret = shmig_load_state(f, NULL, SHMIG_SECTION_VERSION);

    qemu_fclose(f);
    g_byte_array_unref(s);
    return ret;
}

static int load(GByteArray *s)
{
    return load_part(s, s->len);
}

static void assert_said(const char *text)
{
    g_autofree char *said = stream_said();

    g_test_message("%s", said);
    g_assert_nonnull(strstr(said, text));
    for (const char *c = said; *c; c++) {
        g_assert_true(g_ascii_isprint(*c) || *c == '\n');
    }
}

static void assert_refused(GByteArray *s, const char *text)
{
    g_assert_cmpint(load(s), <, 0);
    g_assert_cmpuint(seen.go, ==, 0);
    assert_said(text);
}

/* --- blocks --- */

static void blocks_are_given(Dest *d, const void *data)
{
    g_assert_cmpint(load(good_blocks()), ==, 0);
    g_assert_cmpuint(seen.ram, ==, N_BLOCKS);
    g_assert_cmpuint(seen.go, ==, 1);
    g_assert_cmpuint(seen.resized, ==, 0);
}

static void blocks_twice(Dest *d, const void *data)
{
    g_assert_cmpint(load(good_blocks()), ==, 0);
    g_assert_cmpint(load(good_blocks()), <, 0);
    g_assert_cmpuint(seen.go, ==, 1);
    g_assert_cmpuint(seen.ram, ==, N_BLOCKS);
    assert_said("twice");
}

/* What was refused once does not become good by being said again. */
static void blocks_after_bad_ones(Dest *d, const void *data)
{
    assert_refused(blocks(N_BLOCKS + 1, "pc.ram", BYTES_0), "2 RAM blocks");
    assert_refused(good_blocks(), "twice");
}

static void wrong_count(Dest *d, const void *data)
{
    assert_refused(blocks(GPOINTER_TO_UINT(data), "pc.ram", BYTES_0),
                   "offered 2 RAM blocks");
    g_assert_cmpuint(seen.ram, ==, 0);
}

static void no_blocks(Dest *d, const void *data)
{
    GByteArray *s = section(SHMIG_SECTION_BLOCKS);

    d->ram.n = 0;
    stream_put_u32(s, 0);
    g_assert_cmpint(load(s), ==, 0);
    g_assert_cmpuint(seen.go, ==, 1);
}

static void wrong_name(Dest *d, const void *data)
{
    assert_refused(blocks(N_BLOCKS, data, BYTES_0), "RAM block 0");
    g_assert_cmpuint(seen.ram, ==, 0);
}

static void wrong_size(Dest *d, const void *data)
{
    const uint64_t *bytes = data;

    assert_refused(blocks(N_BLOCKS, "pc.ram", *bytes), "\"pc.ram\"");
    g_assert_cmpuint(seen.ram, ==, 0);
    g_assert_cmpuint(seen.resized, ==, 0);
}

static void is_resized(Dest *d, const void *data)
{
    d->blocks[0].used_length = BYTES_0 / 2;
    g_assert_cmpint(load(good_blocks()), ==, 0);
    g_assert_cmpuint(seen.resized, ==, BYTES_0);
    g_assert_cmpuint(seen.go, ==, 1);
}

static void cannot_be_resized(Dest *d, const void *data)
{
    d->blocks[0].used_length = BYTES_0 / 2;
    resize_fails = true;
    assert_refused(good_blocks(), "no resize today");
    g_assert_cmpuint(seen.ram, ==, 0);
}

/* At every byte: nothing that was not there is believed. */
static void cut_blocks(Dest *d, const void *data)
{
    g_autoptr(GByteArray) whole = good_blocks();

    for (size_t length = 0; length < whole->len; length++) {
        d->in.has_blocks = false;
        seen.ram = 0;
        g_assert_cmpint(load_part(good_blocks(), length), <, 0);
        g_assert_cmpuint(seen.go, ==, 0);
        assert_said("stream");
    }
}

/* The number of blocks is 0, and so is what is read beyond the end. */
static void cut_count_of_none(Dest *d, const void *data)
{
    d->ram.n = 0;
    assert_refused(section(SHMIG_SECTION_BLOCKS), "stream");
}

/* --- the other sections --- */

static void progress(Dest *d, const void *data)
{
    g_assert_cmpint(load(good_blocks()), ==, 0);
    g_assert_cmpint(load(section(SHMIG_SECTION_PROGRESS)), ==, 0);
    g_assert_cmpint(load(section(SHMIG_SECTION_PROGRESS)), ==, 0);
    g_assert_cmpuint(seen.go, ==, 1);
}

static void end_when_drained(Dest *d, const void *data)
{
    g_assert_cmpint(load(good_blocks()), ==, 0);
    d->in.drained = true;
    g_assert_cmpint(load(section(SHMIG_SECTION_END)), ==, 0);
}

static void end_of_a_session_that_failed(Dest *d, const void *data)
{
    g_assert_cmpint(load(good_blocks()), ==, 0);
    g_assert_cmpint(load(section(SHMIG_SECTION_END)), <, 0);
}

/* It would wait for RAM that nobody was told to send. */
static void before_the_blocks(Dest *d, const void *data)
{
    assert_refused(section(GPOINTER_TO_UINT(data)), "before its RAM blocks");
}

static void unknown_section(Dest *d, const void *data)
{
    static const uint32_t numbers[] = { 0, SHMIG_SECTION_END + 1, UINT32_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        assert_refused(section(numbers[i]), "unknown shmig section");
    }
}

static void over_another_transport(Dest *d, const void *data)
{
    d->in.connected = false;
    assert_refused(good_blocks(), "another transport");
    shmig_incoming = NULL;
    assert_refused(good_blocks(), "another transport");
}

/* --- the end --- */

static void ready_before_all_came(Dest *d, const void *data)
{
    Error *error = NULL;

    g_assert_false(shmig_incoming_ready(&error));
    g_assert_nonnull(strstr(error_get_pretty(error), "before all RAM"));
    g_assert_cmpuint(seen.ready, ==, 0);
    error_free(error);
}

static void ready_and_no_commit(Dest *d, const void *data)
{
    Error *error = NULL;

    d->in.drained = true;
    g_assert_false(shmig_incoming_ready(&error));
    g_assert_cmpstr(error_get_pretty(error), ==, "the session's");
    g_assert_cmpuint(seen.ready, ==, 1);
    error_free(error);
}

static void ready_and_commit(Dest *d, const void *data)
{
    d->in.drained = d->in.committed = true;
    g_assert_true(shmig_incoming_ready(&error_abort));
    shmig_incoming_running();
    g_assert_cmpuint(seen.running, ==, 1);
    g_assert_true(d->in.running);
}

/* The source must not be told that the guest runs. */
static void not_running(Dest *d, const void *data)
{
    in_migrate = true;
    shmig_incoming_running();
    g_assert_cmpuint(seen.running, ==, 0);
    g_assert_false(d->in.running);
    assert_said("could not activate its disks");
}

static void source_is_told_why(Dest *d, const void *data)
{
    error_setg(&state->error, "a device is missing");
    shmig_load_cleanup(NULL);
    g_assert_nonnull(strstr(seen.aborted, "a device is missing"));
    error_free(state->error);
    state->error = NULL;
}

/* Who owns the guest says nothing that would have the source run it. */
static void owner_says_nothing(Dest *d, const void *data)
{
    d->in.committed = true;
    shmig_load_cleanup(NULL);
    g_assert_null(seen.aborted);
}

#define ADD(name, data, fn) \
    g_test_add("/qemu/load/" name, Dest, data, setup, fn, teardown)
#define NUMBER(n) GUINT_TO_POINTER(n)

static void add_blocks_tests(void)
{
    static const uint64_t below = BYTES_0 - 1, above = BYTES_0 + 1,
                          most = UINT64_MAX, none;

    ADD("blocks/given", NULL, blocks_are_given);
    ADD("blocks/twice", NULL, blocks_twice);
    ADD("blocks/after-bad-ones", NULL, blocks_after_bad_ones);
    ADD("blocks/none", NULL, no_blocks);
    ADD("blocks/count-0", NUMBER(0), wrong_count);
    ADD("blocks/count-below", NUMBER(N_BLOCKS - 1), wrong_count);
    ADD("blocks/count-above", NUMBER(N_BLOCKS + 1), wrong_count);
    ADD("blocks/count-most", NUMBER(UINT32_MAX), wrong_count);
    ADD("blocks/name-other", "pc.rom", wrong_name);
    ADD("blocks/name-empty", "", wrong_name);
    ADD("blocks/name-in-wrong-order", "pc.bios", wrong_name);
    ADD("blocks/name-with-control-characters", "\033[2J\a\r", wrong_name);
    ADD("blocks/size-0", &none, wrong_size);
    ADD("blocks/size-below", &below, wrong_size);
    ADD("blocks/size-above", &above, wrong_size);
    ADD("blocks/size-most", &most, wrong_size);
    ADD("blocks/resized", NULL, is_resized);
    ADD("blocks/cannot-be-resized", NULL, cannot_be_resized);
    ADD("blocks/cut", NULL, cut_blocks);
    ADD("blocks/cut-count-of-none", NULL, cut_count_of_none);
}

int main(int argc, char **argv)
{
    module_call_init(MODULE_INIT_QOM);
    state = g_new0(MigrationState, 1);
    qemu_mutex_init(&state->error_mutex);
    g_test_init(&argc, &argv, NULL);

    add_blocks_tests();
    ADD("progress", NULL, progress);
    ADD("progress/before-blocks", NUMBER(SHMIG_SECTION_PROGRESS),
        before_the_blocks);
    ADD("end/drained", NULL, end_when_drained);
    ADD("end/failed", NULL, end_of_a_session_that_failed);
    ADD("end/before-blocks", NUMBER(SHMIG_SECTION_END), before_the_blocks);
    ADD("unknown-section", NULL, unknown_section);
    ADD("another-transport", NULL, over_another_transport);
    ADD("ready/before-all-came", NULL, ready_before_all_came);
    ADD("ready/no-commit", NULL, ready_and_no_commit);
    ADD("ready/commit", NULL, ready_and_commit);
    ADD("running/disks-not-activated", NULL, not_running);
    ADD("cleanup/source-is-told-why", NULL, source_is_told_why);
    ADD("cleanup/owner-says-nothing", NULL, owner_says_nothing);
    return g_test_run();
}
