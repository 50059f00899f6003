/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QMP monitor. */
#include <string.h>

#include "line.h"
#include "loop.h"
#include "qmp.h"

/* A command that takes longer hangs. */
#define COMMAND_SECONDS 30

struct Qmp {
    char *name;
    LineReader *reader;
    bool greeted;
    JsonNode *reply; /* of the command under way */
    GQueue events;   /* of JsonNode, the whole message */
    GString *states;
};

static const char *event_name(JsonNode *event)
{
    return json_object_get_string_member(json_node_get_object(event), "event");
}

static void take_event(Qmp *qmp, JsonNode *event)
{
    if (g_str_equal(event_name(event), "MIGRATION")) {
        g_string_append_printf(qmp->states, "%s%s", qmp->states->len ? " " : "",
                               json_text_at(event, "data.status"));
    }
    g_queue_push_tail(&qmp->events, event);
}

static void take_line(void *opaque, const char *line)
{
    Qmp *qmp = opaque;
    JsonNode *node = line ? json_from_string(line, NULL) : NULL;
    JsonObject *object;

    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
        g_clear_pointer(&node, json_node_unref);
        return;
    }
    object = json_node_get_object(node);
    if (json_object_has_member(object, "QMP")) {
        qmp->greeted = true;
        json_node_unref(node);
    } else if (json_object_has_member(object, "event")) {
        take_event(qmp, node);
    } else {
        g_clear_pointer(&qmp->reply, json_node_unref);
        qmp->reply = node;
    }
}

Qmp *qmp_new(int fd, const char *name)
{
    Qmp *qmp = g_new0(Qmp, 1);

    qmp->name = g_strdup(name);
    qmp->states = g_string_new(NULL);
    g_queue_init(&qmp->events);
    qmp->reader = line_reader_new(fd, take_line, qmp);
    return qmp;
}

void qmp_forget_events(Qmp *qmp)
{
    g_queue_clear_full(&qmp->events, (GDestroyNotify)json_node_unref);
    g_string_truncate(qmp->states, 0);
}

void qmp_free(Qmp *qmp)
{
    if (qmp) {
        line_reader_free(qmp->reader);
        qmp_forget_events(qmp);
        g_clear_pointer(&qmp->reply, json_node_unref);
        g_string_free(qmp->states, TRUE);
        g_free(qmp->name);
        g_free(qmp);
    }
}

bool qmp_closed(const Qmp *qmp)
{
    return line_reader_closed(qmp->reader);
}

static bool greeted(void *opaque)
{
    Qmp *qmp = opaque;

    return qmp->greeted || qmp_closed(qmp);
}

bool qmp_start(Qmp *qmp, double seconds, GError **errp)
{
    if (!loop_wait(greeted, qmp, seconds) || !qmp->greeted) {
        return harness_fail(errp, "%s: QEMU %s", qmp->name,
                            qmp_closed(qmp) ? "ended before its monitor began"
                                            : "does not start its monitor");
    }
    return qmp_run(qmp, errp, "qmp_capabilities", NULL);
}

static bool replied(void *opaque)
{
    Qmp *qmp = opaque;

    return qmp->reply || qmp_closed(qmp);
}

/* The reply's "return", or its error as ours. */
static JsonNode *take_reply(Qmp *qmp, const char *command, GError **errp)
{
    g_autoptr(JsonNode) reply = g_steal_pointer(&qmp->reply);
    JsonNode *result;

    if (!reply) {
        harness_fail(errp, "%s: QEMU %s \"%s\"", qmp->name,
                     qmp_closed(qmp) ? "ended at the command"
                                     : "did not answer the command",
                     command);
        return NULL;
    }
    result = json_at(reply, "return");
    if (!result) {
        harness_fail(errp, "%s", json_text_at(reply, "error.desc"));
        return NULL;
    }
    return json_node_copy(result);
}

JsonNode *qmp_call(Qmp *qmp, GError **errp, const char *command,
                   const char *arguments, ...)
{
    g_autofree char *filled = NULL, *line = NULL;
    va_list ap;

    if (arguments) {
        va_start(ap, arguments);
        filled = g_strdup_vprintf(arguments, ap);
        va_end(ap);
        g_strdelimit(filled, "'", '"');
    }
    line = g_strdup_printf("{\"execute\": \"%s\"%s%s}\n", command,
                           filled ? ", \"arguments\": " : "",
                           filled ? filled : "");
    if (!line_send(qmp->reader, line, errp)) {
        g_prefix_error(errp, "%s: command \"%s\": ", qmp->name, command);
        return NULL;
    }
    loop_wait(replied, qmp, COMMAND_SECONDS);
    return take_reply(qmp, command, errp);
}

bool qmp_done(JsonNode *result)
{
    bool done = result != NULL;

    g_clear_pointer(&result, json_node_unref);
    return done;
}

char *qmp_hmp(Qmp *qmp, const char *line, GError **errp)
{
    g_autoptr(JsonNode) node = qmp_call(qmp, errp, "human-monitor-command",
                                        "{'command-line': '%s'}", line);

    return node ? g_strdup(json_node_get_string(node)) : NULL;
}

typedef struct EventWait {
    Qmp *qmp;
    const char *name, *member, *value;
} EventWait;

static GList *find_event(const EventWait *wait)
{
    for (GList *l = wait->qmp->events.head; l; l = l->next) {
        g_autofree char *path = g_strconcat("data.", wait->member, NULL);

        if (g_str_equal(event_name(l->data), wait->name) &&
            (!wait->member ||
             g_str_equal(json_text_at(l->data, path), wait->value))) {
            return l;
        }
    }
    return NULL;
}

static bool event_came(void *opaque)
{
    EventWait *wait = opaque;

    return find_event(wait) || qmp_closed(wait->qmp);
}

bool qmp_has_event(Qmp *qmp, const char *name, const char *member,
                   const char *value)
{
    EventWait wait = { qmp, name, member, value };

    return find_event(&wait) != NULL;
}

JsonNode *qmp_wait_event(Qmp *qmp, const char *name, const char *member,
                         const char *value, double seconds, GError **errp)
{
    EventWait wait = { qmp, name, member, value };
    JsonNode *event, *data;
    GList *link;

    loop_wait(event_came, &wait, seconds);
    link = find_event(&wait);
    if (!link) {
        harness_fail(errp, "%s: event %s%s%s did not come%s; states: %s",
                     qmp->name, name, value ? " " : "", value ? value : "",
                     qmp_closed(qmp) ? ", QEMU ended" : "", qmp->states->str);
        return NULL;
    }
    event = link->data;
    g_queue_delete_link(&qmp->events, link);
    data = json_at(event, "data");
    data = data ? json_node_copy(data) : json_node_new(JSON_NODE_NULL);
    json_node_unref(event);
    return data;
}

const char *qmp_migration_states(const Qmp *qmp)
{
    return qmp->states->str;
}

JsonNode *json_at(JsonNode *node, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", -1);

    for (unsigned i = 0; names[i]; i++) {
        if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
            return NULL;
        }
        node = json_object_get_member(json_node_get_object(node), names[i]);
    }
    return node;
}

int64_t json_int_at(JsonNode *node, const char *path)
{
    JsonNode *member = json_at(node, path);

    return member && JSON_NODE_HOLDS_VALUE(member) ? json_node_get_int(member)
                                                   : 0;
}

const char *json_text_at(JsonNode *node, const char *path)
{
    JsonNode *member = json_at(node, path);
    const char *text = member && JSON_NODE_HOLDS_VALUE(member)
                           ? json_node_get_string(member)
                           : NULL;

    return text ? text : "";
}
