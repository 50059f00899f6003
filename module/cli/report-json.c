/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The result as JSON, and back again. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

#include "exit.h"
#include "report.h"

/* A file that is larger is not ours. */
#define MAX_FILE_BYTES (64u << 20)

static void add_facts(JsonBuilder *b, const char *name, const GPtrArray *facts)
{
    json_builder_set_member_name(b, name);
    json_builder_begin_object(b);
    for (unsigned i = 0; i < facts->len; i++) {
        const Fact *fact = facts->pdata[i];

        json_builder_set_member_name(b, fact->name);
        json_builder_add_string_value(b, fact->value);
    }
    json_builder_end_object(b);
}

static void add_number(JsonBuilder *b, const char *name, double value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_double_value(b, value);
}

static void add_text(JsonBuilder *b, const char *name, const char *value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_string_value(b, value);
}

static void add_figure(JsonBuilder *b, FigureId id, const GArray *samples)
{
    Summary s = summarize(samples);

    json_builder_set_member_name(b, figures[id].name);
    json_builder_begin_object(b);
    add_text(b, "unit", figures[id].unit);
    add_number(b, "median", s.median);
    add_number(b, "min", s.min);
    add_number(b, "max", s.max);
    add_number(b, "mad", s.mad);
    json_builder_set_member_name(b, "samples");
    json_builder_begin_array(b);
    for (unsigned i = 0; i < samples->len; i++) {
        json_builder_add_double_value(b, g_array_index(samples, double, i));
    }
    json_builder_end_array(b);
    json_builder_end_object(b);
}

static void add_curve(JsonBuilder *b, const char *name, const char *x,
                      const char *y, const GArray *points)
{
    if (points->len == 0) {
        return;
    }
    json_builder_set_member_name(b, name);
    json_builder_begin_array(b);
    for (unsigned i = 0; i < points->len; i++) {
        Point p = g_array_index(points, Point, i);

        json_builder_begin_object(b);
        add_number(b, x, p.x);
        add_number(b, y, p.y);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void add_tracker(JsonBuilder *b, const TrackerResult *tracker)
{
    json_builder_begin_object(b);
    add_text(b, "name", tracker->name);
    if (tracker->missing) {
        add_text(b, "missing", tracker->missing);
    }
    json_builder_set_member_name(b, "figures");
    json_builder_begin_object(b);
    for (unsigned i = 0; i < FIGURES; i++) {
        if (tracker->samples[i]->len) {
            add_figure(b, i, tracker->samples[i]);
        }
    }
    json_builder_end_object(b);
    add_curve(b, "harvest-by-dirty-percent", "percent", "ns/GiB",
              tracker->by_fraction);
    add_curve(b, "guest-by-dirty-rate", "asked-pages/s", "reached-pages/s",
              tracker->by_rate);
    json_builder_end_object(b);
}

char *report_json(const Result *result)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *text = NULL;

    json_builder_begin_object(b);
    add_text(b, "format", REPORT_FORMAT);
    json_builder_set_member_name(b, "version");
    json_builder_add_int_value(b, REPORT_VERSION);
    json_builder_set_member_name(b, "interrupted");
    json_builder_add_boolean_value(b, result->interrupted);
    add_facts(b, "machine", result->machine);
    add_facts(b, "settings", result->settings);
    json_builder_set_member_name(b, "trackers");
    json_builder_begin_array(b);
    for (unsigned i = 0; i < result->trackers->len; i++) {
        add_tracker(b, result->trackers->pdata[i]);
    }
    json_builder_end_array(b);
    json_builder_end_object(b);

    root = json_builder_get_root(b);
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    text = json_generator_to_data(generator, NULL);
    return g_strconcat(text, "\n", NULL);
}

/* NULL if there is no such member, or it is something else. */
static JsonObject *get_object(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node)
                                                : NULL;
}

static JsonArray *get_array(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node)
                                               : NULL;
}

static const char *get_text(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && JSON_NODE_HOLDS_VALUE(node) &&
                   json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : NULL;
}

static bool is_number(JsonNode *node)
{
    return JSON_NODE_HOLDS_VALUE(node) &&
           (json_node_get_value_type(node) == G_TYPE_DOUBLE ||
            json_node_get_value_type(node) == G_TYPE_INT64);
}

static bool read_facts(JsonObject *from, const char *name, GPtrArray *facts)
{
    JsonObject *object = get_object(from, name);
    JsonObjectIter iter;
    const char *key;
    JsonNode *node;

    if (!object) {
        return false;
    }
    json_object_iter_init(&iter, object);
    while (json_object_iter_next(&iter, &key, &node)) {
        const char *value = get_text(object, key);

        if (!value) {
            return false;
        }
        facts_add(facts, key, value);
    }
    return true;
}

static bool read_samples(JsonObject *figure, GArray *samples)
{
    JsonArray *array = get_array(figure, "samples");

    for (unsigned i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *node = json_array_get_element(array, i);
        double value;

        if (!is_number(node)) {
            return false;
        }
        value = json_node_get_double(node);
        g_array_append_val(samples, value);
    }
    return array != NULL;
}

static bool read_figures(JsonObject *from, TrackerResult *tracker)
{
    JsonObject *object = get_object(from, "figures");
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;

    if (!object) {
        return false;
    }
    json_object_iter_init(&iter, object);
    while (json_object_iter_next(&iter, &name, &node)) {
        FigureId id = figure_find(name);

        /* A figure that came later than this program is left out. */
        if (!JSON_NODE_HOLDS_OBJECT(node) ||
            (id < FIGURES &&
             !read_samples(json_node_get_object(node), tracker->samples[id]))) {
            return false;
        }
    }
    return true;
}

static bool read_trackers(JsonObject *from, Result *result)
{
    JsonArray *array = get_array(from, "trackers");

    for (unsigned i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *node = json_array_get_element(array, i);
        JsonObject *object =
            JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *name = object ? get_text(object, "name") : NULL;
        TrackerResult *tracker;

        if (!name || result_find_tracker(result, name)) {
            return false;
        }
        tracker = result_add_tracker(result, name);
        tracker->missing = g_strdup(get_text(object, "missing"));
        if (!read_figures(object, tracker)) {
            return false;
        }
    }
    return array != NULL;
}

static bool refuse(GError **errp, const char *path, const char *why)
{
    g_set_error(errp, CLI_ERROR, CLI_FAILED,
                "%s: %s; give a file that shmig dirty-bench --json wrote", path,
                why);
    return false;
}

static bool read_root(JsonNode *root, const char *path, Result *result,
                      GError **errp)
{
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root)
                             ? json_node_get_object(root)
                             : NULL;
    const char *format = object ? get_text(object, "format") : NULL;
    JsonNode *version =
        object ? json_object_get_member(object, "version") : NULL;

    if (!format || strcmp(format, REPORT_FORMAT) != 0 || !version ||
        !is_number(version)) {
        return refuse(errp, path, "is JSON, but no result of dirty-bench");
    }
    if (json_node_get_int(version) != REPORT_VERSION) {
        return refuse(errp, path, "is of another version of dirty-bench");
    }
    if (!read_facts(object, "machine", result->machine) ||
        !read_facts(object, "settings", result->settings) ||
        !read_trackers(object, result)) {
        return refuse(errp, path, "is a damaged result of dirty-bench");
    }
    return true;
}

Result *report_read_json(const char *path, GError **errp)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(Result) result = result_new();
    g_autofree char *text = NULL;
    gsize length;

    if (g_access(path, R_OK) < 0) {
        refuse(errp, path, g_strerror(errno));
        return NULL;
    }
    if (!g_file_get_contents(path, &text, &length, NULL)) {
        refuse(errp, path, "cannot be read");
        return NULL;
    }
    if (length > MAX_FILE_BYTES ||
        !json_parser_load_from_data(parser, text, length, NULL)) {
        refuse(errp, path, "is not JSON");
        return NULL;
    }
    if (!read_root(json_parser_get_root(parser), path, result, errp)) {
        return NULL;
    }
    return g_steal_pointer(&result);
}
