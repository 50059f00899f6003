/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person does at QEMU's own monitor: migrate and wait for it, cancel,
 * read why it was refused. */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>

#include "loop.h"
#include "rows.h"

#define PROMPT "(qemu) "
#define ANSWER_SECONDS 60

/* A monitor on a socket, which waits as a terminal does. */
typedef struct Terminal {
    GSocketConnection *connection;
    GString *text;
} Terminal;

static bool open_terminal(Terminal *terminal, const Pair *pair, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/hmp", pair->dir);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketClient) client = g_socket_client_new();

    g_socket_client_set_timeout(client, ANSWER_SECONDS);
    terminal->connection = g_socket_client_connect(
        client, G_SOCKET_CONNECTABLE(address), NULL, errp);
    terminal->text = g_string_new(NULL);
    return terminal->connection != NULL;
}

static void close_terminal(Terminal *terminal)
{
    g_clear_object(&terminal->connection);
    g_string_free(terminal->text, TRUE);
}

/* Reads up to the next prompt; what came before it stays in @terminal. */
static bool wait_prompt(Terminal *terminal, GError **errp)
{
    GInputStream *in =
        g_io_stream_get_input_stream(G_IO_STREAM(terminal->connection));

    g_string_truncate(terminal->text, 0);
    while (!g_str_has_suffix(terminal->text->str, PROMPT)) {
        char c;
        gssize n = g_input_stream_read(in, &c, 1, NULL, errp);

        if (n == 0) {
            harness_fail(errp, "the monitor was closed");
        }
        if (n <= 0) {
            g_prefix_error(errp, "after \"%s\": ", terminal->text->str);
            return false;
        }
        g_string_append_c(terminal->text, c);
    }
    return true;
}

static bool type_line(Terminal *terminal, const char *line, GError **errp)
{
    g_autofree char *typed = g_strconcat(line, "\r", NULL);

    return g_output_stream_write_all(
               g_io_stream_get_output_stream(G_IO_STREAM(terminal->connection)),
               typed, strlen(typed), NULL, NULL, errp) &&
           wait_prompt(terminal, errp);
}

/* No prompt before it is over. */
static bool waits_for_end(Terminal *terminal, Pair *pair, GError **errp)
{
    g_autofree char *line = g_strdup_printf("migrate %s", pair->uri);
    g_autoptr(JsonNode) info = NULL;

    if (!wait_prompt(terminal, errp) || !type_line(terminal, line, errp)) {
        return false;
    }
    info = pair_query(pair, errp);
    if (!info) {
        return false;
    }
    if (!g_str_equal(json_text_at(info, "status"), "completed") ||
        strstr(terminal->text->str, "rror")) {
        return harness_fail(errp, "after \"%s\" the migration is \"%s\"",
                            terminal->text->str, json_text_at(info, "status"));
    }
    return true;
}

static bool in_foreground(Pair *pair, GError **errp)
{
    Terminal terminal = {};
    bool ok = open_terminal(&terminal, pair, errp) &&
              waits_for_end(&terminal, pair, errp);

    close_terminal(&terminal);
    return ok && pair_arrive(pair, errp);
}

static bool says_nothing(Pair *pair, const char *line, GError **errp)
{
    g_autofree char *said = qmp_hmp(pair->source->qmp, line, errp);

    if (said && *said) {
        return harness_fail(errp, "%s: %s", line, said);
    }
    return said != NULL;
}

static bool is_copying_disks(JsonNode *info)
{
    return json_int_at(info, "shmig.wire-bytes") > PAIR_SLOW_BYTES / 2;
}

static bool cancelled(Pair *pair, GError **errp)
{
    g_autofree char *line = g_strdup_printf("migrate -d %s", pair->uri);
    g_autofree char *ended = NULL, *said = NULL;

    if (!says_nothing(pair, "migrate_set_parameter max-bandwidth 1M", errp) ||
        !says_nothing(pair, line, errp) ||
        !pair_wait_query(pair, is_copying_disks, errp) ||
        !says_nothing(pair, "migrate_cancel", errp) ||
        !pair_wait_status(pair, "cancelled", errp)) {
        return false;
    }
    said = qmp_hmp(pair->source->qmp, "info migrate", errp);
    ended = said ? pair_wait_dest_end(pair, errp) : NULL;
    return ended && row_said(said, errp) && pair_source_unharmed(pair, errp) &&
           pair_move_after_all(pair, errp);
}

static bool refused(Pair *pair, GError **errp)
{
    g_autofree char *said = qmp_hmp(pair->source->qmp, row_now()->data, errp);

    return said && row_said(said, errp) && pair_source_unharmed(pair, errp) &&
           pair_quit(pair, errp);
}

/* clang-format off */
#define TCG .accel = "tcg", .disks = { { .format = "raw" } }
#define HMP "/qemu/hmp/"

static const Row rows[] = {
    { HMP "migrate",
      { TCG, .guest = ROW_BUSY,
        .source_arguments = "-chardev socket,id=hmp,path={dir}/hmp,server=on,"
                            "wait=off -mon chardev=hmp,mode=readline" },
      in_foreground },
    { HMP "migrate_cancel", { TCG, .guest = ROW_BUSY }, cancelled,
      "Migration status: cancelled|shmig: ended" },
    { HMP "refused/option", { TCG, .guest = ROW_IDLE, .no_dest = true },
      refused, "Error: channels=0: must be a number from 1 to 64",
      "migrate -d shmig:127.0.0.1:1,channels=0" },
    { HMP "refused/disk", { TCG, .guest = ROW_IDLE, .no_dest = true },
      refused, "Error: disks=: the guest has no disk \"disk7\"",
      "migrate -d shmig:127.0.0.1:1,disks=disk7" },
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    return g_test_run();
}
