/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The result as two curves a tracker, drawn by gnuplot. */
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "exit.h"
#include "report.h"

typedef struct Diagram {
    const char *name; /* of the data block */
    const char *title;
    const char *x, *y;
    const char *axes; /* gnuplot commands */
    double x_scale, y_scale;
} Diagram;

static const Diagram by_fraction = {
    "fraction",
    "Cost of one harvest",
    "dirty pages, % of memory",
    "us per GiB of memory",
    "set logscale xy",
    1,
    1e-3,
};

static const Diagram by_rate = {
    "rate",
    "What the guest writes while it is tracked",
    "asked for, 1000 pages/s",
    "reached, 1000 pages/s",
    "unset logscale\nset xrange [0:*]\nset yrange [0:*]",
    1e-3,
    1e-3,
};

static const GArray *points_of(const TrackerResult *tracker,
                               const Diagram *diagram)
{
    return diagram == &by_rate ? tracker->by_rate : tracker->by_fraction;
}

static void add_number(GString *text, double value)
{
    char buffer[G_ASCII_DTOSTR_BUF_SIZE];

    g_string_append_printf(
        text, "%s ", g_ascii_formatd(buffer, sizeof(buffer), "%.6g", value));
}

static void add_data(GString *text, const Result *result,
                     const Diagram *diagram)
{
    for (unsigned t = 0; t < result->trackers->len; t++) {
        const GArray *points = points_of(result->trackers->pdata[t], diagram);

        g_string_append_printf(text, "$%s%u << EOD\n", diagram->name, t);
        for (unsigned i = 0; i < points->len; i++) {
            Point p = g_array_index(points, Point, i);

            add_number(text, p.x * diagram->x_scale);
            add_number(text, p.y * diagram->y_scale);
            g_string_append_c(text, '\n');
        }
        g_string_append(text, "EOD\n");
    }
}

static void add_diagram(GString *text, const Result *result,
                        const Diagram *diagram)
{
    bool any = false;

    g_string_append_printf(text,
                           "set title '%s'\nset xlabel '%s'\n"
                           "set ylabel '%s'\n%s\n",
                           diagram->title, diagram->x, diagram->y,
                           diagram->axes);
    for (unsigned t = 0; t < result->trackers->len; t++) {
        const TrackerResult *tracker = result->trackers->pdata[t];

        if (points_of(tracker, diagram)->len) {
            g_string_append_printf(
                text, "%s$%s%u with linespoints lw 2 title '%s'",
                any ? ", " : "plot ", diagram->name, t, tracker->name);
            any = true;
        }
    }
    if (any && diagram == &by_rate) {
        g_string_append(text, ", x with lines dt 3 lc 'gray' title 'all'");
    }
    g_string_append_c(text, '\n');
}

char *report_plot_script(const Result *result, const char *path)
{
    GString *text = g_string_new(NULL);
    g_autofree char *quoted = NULL;
    g_auto(GStrv) parts = g_strsplit(path, "'", -1);

    /* Within single quotes gnuplot takes '' for one of them. */
    quoted = g_strjoinv("''", parts);
    g_string_append_printf(text,
                           "set terminal svg size 960,420 font ',12' "
                           "background 'white'\nset output '%s'\n",
                           quoted);
    add_data(text, result, &by_fraction);
    add_data(text, result, &by_rate);
    g_string_append(text, "set grid\nset key top left\n"
                          "set multiplot layout 1,2\n");
    add_diagram(text, result, &by_fraction);
    add_diagram(text, result, &by_rate);
    g_string_append(text, "unset multiplot\n");
    return g_string_free(text, FALSE);
}

bool report_has_gnuplot(void)
{
    g_autofree char *path = g_find_program_in_path("gnuplot");

    return path != NULL;
}

static bool run_gnuplot(const char *script_path, GError **errp)
{
    char *argv[] = { (char *)"gnuplot", (char *)script_path, NULL };
    g_autofree char *said = NULL;
    g_autoptr(GError) why = NULL;
    int status;

    if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                      &said, &status, &why)) {
        g_set_error(errp, CLI_ERROR, CLI_FAILED, "gnuplot: %s", why->message);
        return false;
    }
    if (!g_spawn_check_wait_status(status, NULL)) {
        g_set_error(errp, CLI_ERROR, CLI_FAILED, "gnuplot: could not draw: %s",
                    g_strstrip(said));
        return false;
    }
    return true;
}

bool report_plot(const Result *result, const char *path, GError **errp)
{
    g_autofree char *script = report_plot_script(result, path);
    g_autofree char *script_path = NULL;
    g_autoptr(GError) why = NULL;
    int fd = g_file_open_tmp("shmig-plot-XXXXXX", &script_path, &why);
    bool ok;

    if (fd < 0 || !g_file_set_contents(script_path, script, -1, &why)) {
        g_set_error(errp, CLI_ERROR, CLI_FAILED, "plot: %s", why->message);
        ok = false;
    } else {
        ok = run_gnuplot(script_path, errp);
    }
    if (fd >= 0) {
        g_close(fd, NULL);
        g_unlink(script_path);
    }
    return ok;
}
