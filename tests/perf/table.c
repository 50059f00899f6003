/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Printing what the runs yielded. */
#include <math.h>
#include <stdio.h>

#include "table.h"

typedef struct Row {
    BenchFigure figure;
    const char *label;
    double unit;
    int digits;
} Row;

static const Row rows[] = {
    { FIG_TOTAL_S, "total time, s", 1, 2 },
    { FIG_DISK_S, "  until the mirror was ready", 1, 2 },
    { FIG_CPU_S, "CPU of both QEMUs, s", 1, 2 },
    { FIG_OWN_CPU_S, "  without the guest's CPUs", 1, 2 },
    { FIG_SOURCE_CPU_S, "    source", 1, 2 },
    { FIG_DEST_CPU_S, "    destination", 1, 2 },
    { FIG_REST_CPU_S, "CPU of the rest of the host, s", 1, 2 },
    { FIG_DOWNTIME_MS, "downtime by QEMU, ms", 1, 0 },
    { FIG_BLACKOUT_MS, "blackout by the guest, ms", 1, 1 },
    { FIG_WIRE_BYTES, "on the wire, MiB", BENCH_MIB, 1 },
    { FIG_NONZERO_BYTES, "non-zero, MiB", BENCH_MIB, 1 },
    { FIG_WIRE_RATIO, "  wire over non-zero", 1, 4 },
    { FIG_LINK_RATIO, "  time over link limit", 1, 3 },
    { FIG_ALLOC_RATIO, "allocated, of the source's", 1, 4 },
    { FIG_SOURCE_MEMORY_BYTES, "memory on top, source, MiB", BENCH_MIB, 1 },
    { FIG_DEST_MEMORY_BYTES, "memory on top, destination, MiB", BENCH_MIB, 1 },
};

/* What is wanted of shmig: a share of stock's figure, or a figure. */
typedef struct Goal {
    BenchFigure figure;
    bool of_stock;
    double limit;
    double unit;
    const char *label;
    const char *cases;
} Goal;

static const Goal goals[] = {
    { FIG_TOTAL_S, true, 0.8, 1, "total time, of stock's", "idle busy" },
    { FIG_CPU_S, true, 0.6, 1, "CPU, of stock's", "idle busy" },
    { FIG_OWN_CPU_S, true, 0.6, 1, "CPU without the guest's, of stock's",
      "idle busy" },
    { FIG_DOWNTIME_MS, true, 0.5, 1, "downtime by QEMU, of stock's",
      "idle busy" },
    { FIG_BLACKOUT_MS, true, 0.5, 1, "blackout by the guest, of stock's",
      "idle busy" },
    { FIG_WIRE_RATIO, false, 1.02, 1, "wire over non-zero bytes", "idle" },
    { FIG_ALLOC_RATIO, false, 1.01, 1, "allocation, of the source's",
      "idle busy disk link" },
    { FIG_SOURCE_MEMORY_BYTES, false, 64, BENCH_MIB,
      "memory on top, source, MiB", "idle" },
    { FIG_DEST_MEMORY_BYTES, false, 64, BENCH_MIB,
      "memory on top, destination, MiB", "idle" },
};

void table_case_init(TableCase *table, const BenchCase *bench_case)
{
    table->bench_case = bench_case;
    for (unsigned way = 0; way < WAYS; way++) {
        table->runs[way] = g_array_new(FALSE, FALSE, sizeof(BenchRun));
        for (unsigned i = 0; i < FIGURES; i++) {
            table->footprint[way].figure[i] = NAN;
        }
    }
}

void table_case_clear(TableCase *table)
{
    for (unsigned way = 0; way < WAYS; way++) {
        g_clear_pointer(&table->runs[way], g_array_unref);
    }
}

static int compare(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The values of @figure that there are, in ascending order. */
static GArray *sorted(const TableCase *table, BenchWay way, BenchFigure figure)
{
    GArray *values = g_array_new(FALSE, FALSE, sizeof(double));

    for (unsigned i = 0; i < table->runs[way]->len; i++) {
        double value =
            g_array_index(table->runs[way], BenchRun, i).figure[figure];

        if (!isnan(value)) {
            g_array_append_val(values, value);
        }
    }
    if (!values->len && !isnan(table->footprint[way].figure[figure])) {
        g_array_append_val(values, table->footprint[way].figure[figure]);
    }
    g_array_sort(values, compare);
    return values;
}

double table_median(const TableCase *table, BenchWay way, BenchFigure figure)
{
    g_autoptr(GArray) values = sorted(table, way, figure);
    unsigned n = values->len;

    if (!n) {
        return NAN;
    }
    return (g_array_index(values, double, (n - 1) / 2) +
            g_array_index(values, double, n / 2)) /
           2;
}

static void print_value(const TableCase *table, BenchWay way, const Row *row)
{
    g_autoptr(GArray) values = sorted(table, way, row->figure);
    g_autofree char *span = NULL;

    if (!values->len) {
        printf("%10s  %-16s", "", "");
        return;
    }
    if (values->len > 1) {
        span = g_strdup_printf(
            "(%.*f … %.*f)", row->digits,
            g_array_index(values, double, 0) / row->unit, row->digits,
            g_array_index(values, double, values->len - 1) / row->unit);
    }
    /* The dots are three bytes and one column. */
    printf("%10.*f  %-*s", row->digits,
           table_median(table, way, row->figure) / row->unit, span ? 18 : 16,
           span ? span : "");
}

static void print_row(const TableCase *table, const Row *row)
{
    double shmig = table_median(table, WAY_SHMIG, row->figure);
    double stock = table_median(table, WAY_STOCK, row->figure);

    if (isnan(shmig) && isnan(stock)) {
        return;
    }
    printf("  %-32s", row->label);
    print_value(table, WAY_SHMIG, row);
    print_value(table, WAY_STOCK, row);
    if (!isnan(shmig) && stock > 0) {
        printf("%6.2f", shmig / stock);
    }
    printf("\n");
}

void table_print(const TableCase *table)
{
    printf("\n%s: %s\n", table->bench_case->name, table->bench_case->title);
    printf("  %-32s%10s  %-16s%10s  %-16s%6s\n", "median (lowest … highest)",
           "shmig", "", "stock", "", "ratio");
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        print_row(table, &rows[i]);
    }
    fflush(stdout);
}

static bool is_about(const Goal *goal, const char *name)
{
    g_auto(GStrv) cases = g_strsplit(goal->cases, " ", -1);

    return g_strv_contains((const char *const *)cases, name);
}

static void print_goal(const Goal *goal, const TableCase *table)
{
    double value = table_median(table, WAY_SHMIG, goal->figure) / goal->unit;

    if (goal->of_stock) {
        value /= table_median(table, WAY_STOCK, goal->figure);
    }
    if (isnan(value)) {
        return;
    }
    printf("  %-38s%-6s%10.2f%12.3f   %s\n", goal->label,
           table->bench_case->name, goal->limit, value,
           value <= goal->limit ? "met" : "NOT MET");
}

void table_print_goals(const TableCase *tables, unsigned n)
{
    printf("\n  %-38s%-6s%10s%12s\n", "goal", "case", "at most", "is");
    for (unsigned i = 0; i < G_N_ELEMENTS(goals); i++) {
        for (unsigned j = 0; j < n; j++) {
            if (is_about(&goals[i], tables[j].bench_case->name)) {
                print_goal(&goals[i], &tables[j]);
            }
        }
    }
}
