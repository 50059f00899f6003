/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of RAM in QEMU's stream: written where they belong, and nowhere else,
 * whatever their number, block and offset say.
 */
#include "qemu/osdep.h"

#include "qapi/error.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "io/channel-buffer.h"
#include "migration/register.h"

#include "incoming.h"
#include "late.h"
#include "stream.h"
#include "tracker.h"

#define PAGE 4096
#define N_BLOCKS 2
#define N_PAGES 3 /* of each block; one more belongs to nobody */
#define MAX_PAGES (64 * MiB / PAGE)

/* --- in place of the rest of the glue and QEMU --- */

ShmigIncoming *shmig_incoming;
ShmigOutgoing *shmig_outgoing;

static const SaveVMHandlers *handlers;
static unsigned n_dirty; /* what the tracker finds: pages 0, 1, 2, 0, … */
static bool ram_changed;
static char *save_error;

int register_savevm_live(const char *idstr, uint32_t instance_id,
                         int version_id, const SaveVMHandlers *ops,
                         void *opaque)
{
    g_assert_cmpstr(idstr, ==, "shmig-late");
    handlers = ops;
    return 0;
}

bool migrate_shmig(void)
{
    return true;
}

bool shmig_incoming_connected(void)
{
    return shmig_incoming && shmig_incoming->connected;
}

bool shmig_ram_blocks_same(const ShmigRamBlocks *ram, Error **errp)
{
    if (ram_changed) {
        error_setg(errp, "RAM changed");
    }
    return !ram_changed;
}

void shmig_tracker_take_late(const ShmigRamBlocks *ram, GArray *pages)
{
    for (unsigned i = 0; i < n_dirty; i++) {
        ShmigLatePage page = { .block = i % N_BLOCKS, .page = i % N_PAGES };

        g_array_append_val(pages, page);
    }
}

int shmig_save_fail(ShmigOutgoing *out, Error *error)
{
    g_free(save_error);
    save_error = g_strdup(error_get_pretty(error));
    error_free(error);
    return -EIO;
}

/* --- two blocks, with a guard behind each --- */

typedef struct Ram {
    ShmigIncoming in;
    ShmigOutgoing out;
    ShmigRamBlocks blocks;
    ShmigRamBlockRef refs[N_BLOCKS];
    uint8_t memory[N_BLOCKS][(N_PAGES + 1) * PAGE];
} Ram;

static void setup(Ram *ram, const void *data)
{
    memset(ram->memory, 0xee, sizeof(ram->memory));
    for (unsigned i = 0; i < N_BLOCKS; i++) {
        ram->refs[i].host = ram->memory[i];
        ram->refs[i].used_bytes = N_PAGES * PAGE;
    }
    ram->blocks.blocks = ram->refs;
    ram->blocks.n = N_BLOCKS;
    ram->in.ram = ram->out.ram = &ram->blocks;
    ram->in.connected = ram->in.drained = true;
    shmig_incoming = &ram->in;
    shmig_outgoing = &ram->out;
    n_dirty = 0;
    ram_changed = false;
    g_clear_pointer(&save_error, g_free);
    g_free(stream_said());
}

static void teardown(Ram *ram, const void *data)
{
    shmig_incoming = NULL;
    shmig_outgoing = NULL;
}

static void put_page(GByteArray *s, uint32_t block, uint64_t offset,
                     uint8_t byte)
{
    uint8_t page[PAGE];

    memset(page, byte, sizeof(page));
    stream_put_u32(s, block);
    stream_put_u64(s, offset);
    g_byte_array_append(s, page, sizeof(page));
}

static GByteArray *one_page(uint32_t block, uint64_t offset)
{
    GByteArray *s = stream_new();

    stream_put_u32(s, 1);
    put_page(s, block, offset, 0x11);
    return s;
}

/* Takes @s. */
static int load_part(GByteArray *s, size_t length)
{
    QEMUFile *f = stream_open(s, length);
    int ret = handlers->load_state(f, NULL, 1);

    qemu_fclose(f);
    g_byte_array_unref(s);
    return ret;
}

static int load(GByteArray *s)
{
    return load_part(s, s->len);
}

static void assert_page(const Ram *ram, unsigned block, unsigned page,
                        uint8_t byte)
{
    for (unsigned i = 0; i < PAGE; i++) {
        g_assert_cmphex(ram->memory[block][page * PAGE + i], ==, byte);
    }
}

static void assert_untouched(const Ram *ram)
{
    for (unsigned block = 0; block < N_BLOCKS; block++) {
        for (unsigned page = 0; page <= N_PAGES; page++) {
            assert_page(ram, block, page, 0xee);
        }
    }
}

static void assert_said(const char *text)
{
    g_autofree char *said = stream_said();

    g_assert_nonnull(strstr(said, text));
}

static void assert_refused(const Ram *ram, GByteArray *s)
{
    g_assert_cmpint(load(s), <, 0);
    assert_said("of RAM");
    assert_untouched(ram);
}

/* --- where a page goes --- */

static void in_place(Ram *ram, const void *data)
{
    GByteArray *s = stream_new();

    stream_put_u32(s, 3);
    put_page(s, 0, 0, 0x11);
    put_page(s, N_BLOCKS - 1, (N_PAGES - 1) * PAGE, 0x22);
    put_page(s, 0, 0, 0x33);
    g_assert_cmpint(load(s), ==, 0);
    assert_page(ram, 0, 0, 0x33);
    assert_page(ram, 0, 1, 0xee);
    assert_page(ram, 1, N_PAGES - 2, 0xee);
    assert_page(ram, 1, N_PAGES - 1, 0x22);
    assert_page(ram, 0, N_PAGES, 0xee);
    assert_page(ram, 1, N_PAGES, 0xee);
}

static void wrong_block(Ram *ram, const void *data)
{
    static const uint32_t numbers[] = { N_BLOCKS, N_BLOCKS + 1, INT32_MAX,
                                        UINT32_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        assert_refused(ram, one_page(numbers[i], 0));
    }
}

static void wrong_offset(Ram *ram, const void *data)
{
    static const uint64_t offsets[] = {
        1,
        PAGE - 1,
        (N_PAGES - 1) * PAGE - 1,
        (N_PAGES - 1) * PAGE + 1,
        N_PAGES * PAGE - 1,
        N_PAGES * PAGE,
        N_PAGES * PAGE + 1,
        (N_PAGES + 1) * PAGE,
        1ULL << 32,
        1ULL << 63,
        UINT64_MAX - PAGE + 1, /* whose end is 0 */
        UINT64_MAX,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(offsets); i++) {
        g_test_message("%" PRIx64, offsets[i]);
        assert_refused(ram, one_page(0, offsets[i]));
    }
}

/* The last page does not fit as a whole. */
static void odd_block(Ram *ram, const void *data)
{
    ram->refs[0].used_bytes = N_PAGES * PAGE - 1;
    assert_refused(ram, one_page(0, (N_PAGES - 1) * PAGE));
    ram->refs[0].used_bytes = 0;
    assert_refused(ram, one_page(0, 0));
}

static void good_then_bad(Ram *ram, const void *data)
{
    GByteArray *s = stream_new();

    stream_put_u32(s, 2);
    put_page(s, 0, PAGE, 0x11);
    put_page(s, 0, N_PAGES * PAGE, 0x22);
    g_assert_cmpint(load(s), <, 0);
    assert_page(ram, 0, 1, 0x11);
    assert_page(ram, 0, N_PAGES, 0xee);
}

/* --- how many --- */

static GByteArray *pages(uint32_t said, unsigned n)
{
    GByteArray *s = stream_new();

    stream_put_u32(s, said);
    for (unsigned i = 0; i < n; i++) {
        put_page(s, 0, 0, i);
    }
    return s;
}

static void none(Ram *ram, const void *data)
{
    g_assert_cmpint(load(pages(0, 0)), ==, 0);
    assert_untouched(ram);
}

/* As it is at setup, where no session need be. */
static void none_without_a_session(Ram *ram, const void *data)
{
    shmig_incoming = NULL;
    g_assert_cmpint(load(pages(0, 0)), ==, 0);
}

static void as_many_as_may_be(Ram *ram, const void *data)
{
    unsigned n = MAX_PAGES - GPOINTER_TO_UINT(data);

    g_assert_cmpint(load(pages(n, n)), ==, 0);
    assert_page(ram, 0, 0, n - 1);
}

static void too_many(Ram *ram, const void *data)
{
    assert_refused(ram, pages(MAX_PAGES + 1, 1));
    assert_refused(ram, pages(UINT32_MAX, 1));
}

static void fewer_than_said(Ram *ram, const void *data)
{
    g_assert_cmpint(load(pages(2, 1)), <, 0);
    assert_said("cut");
}

static void cut(Ram *ram, const void *data)
{
    g_autoptr(GByteArray) whole = one_page(0, PAGE);

    for (size_t length = 0; length < whole->len; length++) {
        g_assert_cmpint(load_part(one_page(0, PAGE), length), <, 0);
        assert_page(ram, 0, 0, 0xee);
        assert_page(ram, 0, 2, 0xee);
    }
}

/* --- when --- */

/* What the session brings afterwards would be older. */
static void before_all_came(Ram *ram, const void *data)
{
    ram->in.drained = false;
    assert_refused(ram, one_page(0, 0));
}

static void over_another_transport(Ram *ram, const void *data)
{
    ram->in.connected = false;
    assert_refused(ram, one_page(0, 0));
    shmig_incoming = NULL;
    assert_refused(ram, one_page(0, 0));
}

/* --- the source's half --- */

static int save(GByteArray *s)
{
    QIOChannelBuffer *buffer = qio_channel_buffer_new(0);
    QEMUFile *f = qemu_file_new_output(QIO_CHANNEL(buffer));
    int ret = handlers->save_live_complete_precopy(f, NULL);

    g_assert_cmpint(qemu_fflush(f), ==, 0);
    g_byte_array_append(s, buffer->data, buffer->usage);
    qemu_fclose(f);
    object_unref(OBJECT(buffer));
    return ret;
}

static void what_is_saved_is_loaded(Ram *ram, const void *data)
{
    GByteArray *s = stream_new();

    n_dirty = 4; /* 0/0, 1/1, 0/2, 1/0 */
    memset(ram->memory, 0x44, sizeof(ram->memory));
    g_assert_cmpint(save(s), ==, 0);
    memset(ram->memory, 0xee, sizeof(ram->memory));
    g_assert_cmpint(load(s), ==, 0);
    assert_page(ram, 0, 0, 0x44);
    assert_page(ram, 0, 1, 0xee);
    assert_page(ram, 0, 2, 0x44);
    assert_page(ram, 1, 0, 0x44);
    assert_page(ram, 1, 1, 0x44);
    assert_page(ram, 1, 2, 0xee);
}

static void most_is_saved(Ram *ram, const void *data)
{
    GByteArray *s = stream_new();

    n_dirty = MAX_PAGES;
    g_assert_cmpint(save(s), ==, 0);
    g_assert_cmpint(load(s), ==, 0);
}

static void more_is_not_saved(Ram *ram, const void *data)
{
    g_autoptr(GByteArray) s = stream_new();

    n_dirty = MAX_PAGES + 1;
    g_assert_cmpint(save(s), ==, -EIO);
    g_assert_nonnull(strstr(save_error, "64 MiB"));
    g_assert_cmpuint(s->len, ==, 0);
}

static void changed_ram_is_not_saved(Ram *ram, const void *data)
{
    g_autoptr(GByteArray) s = stream_new();

    ram_changed = true;
    g_assert_cmpint(save(s), ==, -EIO);
    g_assert_cmpstr(save_error, ==, "RAM changed");
    g_assert_cmpuint(s->len, ==, 0);
}

#define ADD(name, data, fn) \
    g_test_add("/qemu/late/" name, Ram, data, setup, fn, teardown)

int main(int argc, char **argv)
{
    module_call_init(MODULE_INIT_QOM);
    shmig_register_late();
    g_test_init(&argc, &argv, NULL);

    ADD("page/in-place", NULL, in_place);
    ADD("page/wrong-block", NULL, wrong_block);
    ADD("page/wrong-offset", NULL, wrong_offset);
    ADD("page/odd-block", NULL, odd_block);
    ADD("page/good-then-bad", NULL, good_then_bad);
    ADD("count/none", NULL, none);
    ADD("count/none-without-a-session", NULL, none_without_a_session);
    ADD("count/below-limit", GUINT_TO_POINTER(1), as_many_as_may_be);
    ADD("count/limit", GUINT_TO_POINTER(0), as_many_as_may_be);
    ADD("count/above-limit", NULL, too_many);
    ADD("count/fewer-than-said", NULL, fewer_than_said);
    ADD("cut", NULL, cut);
    ADD("before-all-came", NULL, before_all_came);
    ADD("another-transport", NULL, over_another_transport);
    ADD("save/loaded", NULL, what_is_saved_is_loaded);
    ADD("save/limit", NULL, most_is_saved);
    ADD("save/above-limit", NULL, more_is_not_saved);
    ADD("save/changed-ram", NULL, changed_ram_is_not_saved);
    return g_test_run();
}
