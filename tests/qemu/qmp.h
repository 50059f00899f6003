/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP monitor: commands with a deadline, and the events that came.
 *
 * Everything is on the main thread; what waits runs the default main context
 * (loop.h), so that other monitors and serial lines are read meanwhile.
 */
#ifndef TESTS_QEMU_QMP_H
#define TESTS_QEMU_QMP_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

typedef struct Qmp Qmp;

/* Takes @fd.  @name is how errors call the other side. */
Qmp *qmp_new(int fd, const char *name);
void qmp_free(Qmp *qmp);

/* Waits for the greeting and leaves the negotiation mode. */
bool qmp_start(Qmp *qmp, double seconds, GError **errp);

/* Whether QEMU has closed the monitor: it ended. */
bool qmp_closed(const Qmp *qmp);

/*
 * Runs @command and returns what it returned, or NULL and QEMU's sentence as
 * the error's message.  @arguments is a format of a JSON object, in which '
 * stands for "; what is inserted into it must need no quoting.  NULL: none.
 */
JsonNode *qmp_call(Qmp *qmp, GError **errp, const char *command,
                   const char *arguments, ...) G_GNUC_PRINTF(4, 5);

/* The same where the result does not matter. */
#define qmp_run(...) qmp_done(qmp_call(__VA_ARGS__))
bool qmp_done(JsonNode *result);

/* What HMP prints for @line. */
char *qmp_hmp(Qmp *qmp, const char *line, GError **errp);

/*
 * Waits for an event @name whose data has @member equal to the string @value
 * (NULL, NULL: any), and takes it out of the queue.  Returns its data, or
 * NULL if it did not come.
 */
JsonNode *qmp_wait_event(Qmp *qmp, const char *name, const char *member,
                         const char *value, double seconds, GError **errp);

/* Whether such an event has come; it stays. */
bool qmp_has_event(Qmp *qmp, const char *name, const char *member,
                   const char *value);

/* The "status" of all MIGRATION events so far, as "setup active …". */
const char *qmp_migration_states(const Qmp *qmp);
void qmp_forget_events(Qmp *qmp);

/* Member @path ("ram.total") of an object; NULL, 0 or "" if it is absent. */
JsonNode *json_at(JsonNode *node, const char *path);
int64_t json_int_at(JsonNode *node, const char *path);
const char *json_text_at(JsonNode *node, const char *path);

#endif
