/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where to, with how many connections, and which disks:
 *
 *   shmig:HOST:PORT[,OPTION…]  shmig:unix:PATH[,…]  shmig:vsock:CID:PORT[,…]
 *
 * with the options channels=N and disks=ID[;ID…] or disks=none.  What comes
 * before the first of these, commas included, is the address, so that QEMU's
 * own options of an address (ipv4=on) can be given.
 */
#include "qemu/osdep.h"

#include "qemu/cutils.h"
#include "qemu/sockets.h"

#include "glue.h"

static bool parse_channels(const char *text, ShmigMigrationArgs *args,
                           Error **errp)
{
    unsigned n;

    if (qemu_strtoui(text, NULL, 10, &n) < 0 || n < 1 ||
        n > SHMIG_MAX_CHANNELS) {
        error_setg(errp, "channels=%s: must be a number from 1 to %d", text,
                   SHMIG_MAX_CHANNELS);
        return false;
    }
    args->has_channels = true;
    args->channels = n;
    return true;
}

static bool parse_disks(const char *text, ShmigMigrationArgs *args,
                        Error **errp)
{
    g_auto(GStrv) ids = g_strsplit(text, ";", -1);
    strList **tail = &args->disks;

    args->has_disks = true;
    if (g_str_equal(text, "none")) {
        return true;
    }
    for (unsigned i = 0; i == 0 || ids[i]; i++) {
        if (!ids[i] || !*ids[i]) {
            error_setg(errp,
                       "disks=%s: must be ids of guest devices "
                       "separated by ';', or \"none\"",
                       text);
            return false;
        }
        QAPI_LIST_APPEND(tail, g_strdup(ids[i]));
    }
    return true;
}

static bool parse_address(const char *text, ShmigMigrationArgs *args,
                          Error **errp)
{
    ERRP_GUARD();

    if (!*text) {
        error_setg(errp, "shmig: an address is missing; give HOST:PORT, "
                         "unix:PATH or vsock:CID:PORT");
        return false;
    }
    args->address = socket_parse(text, errp);
    if (!args->address) {
        error_prepend(errp, "shmig: ");
    }
    return args->address != NULL;
}

bool shmig_parse_uri(const char *uri, ShmigMigrationArgs *args, Error **errp)
{
    g_auto(GStrv) parts = g_strsplit(uri + strlen("shmig:"), ",", -1);
    g_autoptr(GString) address = g_string_new(NULL);
    bool in_address = true;
    const char *value;

    for (unsigned i = 0; parts[i]; i++) {
        if (strstart(parts[i], "channels=", &value)) {
            in_address = false;
            if (!parse_channels(value, args, errp)) {
                return false;
            }
        } else if (strstart(parts[i], "disks=", &value)) {
            in_address = false;
            if (!parse_disks(value, args, errp)) {
                return false;
            }
        } else if (in_address) {
            g_string_append_printf(address, "%s%s", i ? "," : "", parts[i]);
        } else {
            error_setg(errp,
                       "shmig: unknown option \"%s\"; there are "
                       "channels=N and disks=ID[;ID...]",
                       parts[i]);
            return false;
        }
    }
    return parse_address(address->str, args, errp);
}

bool shmig_args_check(const ShmigMigrationArgs *args, bool incoming,
                      Error **errp)
{
    switch (args->address->type) {
    case SOCKET_ADDRESS_TYPE_INET:
    case SOCKET_ADDRESS_TYPE_UNIX:
    case SOCKET_ADDRESS_TYPE_VSOCK:
        break;
    default:
        error_setg(errp,
                   "shmig: an address of type %s cannot be used; it "
                   "takes several connections to a host and port, a unix "
                   "path or a vsock address",
                   SocketAddressType_str(args->address->type));
        return false;
    }
    if (incoming && (args->has_channels || args->has_disks)) {
        error_setg(errp,
                   "shmig: option \"%s\" is for the source; the "
                   "destination takes what the source offers",
                   args->has_disks ? "disks" : "channels");
        return false;
    }
    if (args->has_channels &&
        (args->channels < 1 || args->channels > SHMIG_MAX_CHANNELS)) {
        error_setg(errp, "shmig: %u channels: there can be 1 to %d",
                   args->channels, SHMIG_MAX_CHANNELS);
        return false;
    }
    return true;
}

char *shmig_args_disks(const ShmigMigrationArgs *args)
{
    g_autoptr(GString) text = NULL;

    if (!args->has_disks) {
        return NULL;
    }
    if (!args->disks) {
        return g_strdup("none");
    }
    text = g_string_new(NULL);
    for (strList *l = args->disks; l; l = l->next) {
        g_string_append_printf(text, "%s%s", text->len ? ";" : "", l->value);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}
