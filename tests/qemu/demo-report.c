/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Printing what the demo found. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "demo-report.h"
#include "loop.h"
#include "qmp.h"

#define BAR_WIDTH 24
#define MIB (1024.0 * 1024.0)

static bool on_terminal(void)
{
    return isatty(STDOUT_FILENO);
}

static const char *style(const char *code)
{
    return on_terminal() && !g_getenv("NO_COLOR") ? code : "";
}

#define BOLD style("\033[1m")
#define GREEN style("\033[32m")
#define RED style("\033[31m")
#define PLAIN style("\033[0m")

void report_title(const char *text)
{
    printf("\n%s%s%s\n", BOLD, text, PLAIN);
}

void report_line(const char *label, const char *format, ...)
{
    va_list ap;

    printf("  %-14s", label);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

void report_proof(const char *label, const char *format, ...)
{
    va_list ap;

    printf("  %sok%s  %-10s", GREEN, PLAIN, label);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
}

void report_failure(const char *text)
{
    fflush(stdout);
    fprintf(stderr, "\n%sThe demo failed:%s %s\n", RED, PLAIN, text);
}

static int64_t step_began_us;

void report_step(const char *text)
{
    step_began_us = loop_now_us();
    printf("  %-60s", text);
    fflush(stdout);
}

void report_step_done(void)
{
    printf("%6.1f s\n", (loop_now_us() - step_began_us) / 1e6);
}

static const char *phase_in_words(const char *phase)
{
    static const char *const words[][2] = {
        { "connect", "connecting" },   { "disks", "disks" },
        { "ram", "RAM + writes" },     { "switchover", "switch-over" },
        { "handover", "switch-over" }, { "ended", "done" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_str_equal(phase, words[i][0])) {
            return words[i][1];
        }
    }
    return "";
}

static void draw_bar(char bar[BAR_WIDTH + 1], double share)
{
    int filled = CLAMP(share, 0, 1) * BAR_WIDTH;

    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '=', filled);
    if (filled < BAR_WIDTH) {
        bar[filled] = '>';
    }
    bar[BAR_WIDTH] = 0;
}

void report_bar(double share, const char *phase, const char *rest)
{
    static char last_phase[32];
    char bar[BAR_WIDTH + 1];

    if (!on_terminal()) {
        if (*phase && !g_str_equal(phase, last_phase)) {
            report_line(phase, "%s", rest);
        }
        g_strlcpy(last_phase, phase, sizeof(last_phase));
        return;
    }
    draw_bar(bar, share);
    printf("\r  [%s] %3.0f %%  %-13s%s", bar, share * 100, phase, rest);
    fflush(stdout);
}

void report_progress(JsonNode *info)
{
    static int64_t most;
    const char *phase = json_text_at(info, "shmig.phase");
    int64_t left = json_int_at(info, "shmig.ram.remaining") +
                   json_int_at(info, "disk.remaining");
    g_autofree char *rest = NULL;

    most = MAX(most, left);
    rest = g_strdup_printf("%6.0f MiB to go %5.0f MiB/s", left / MIB,
                           json_int_at(info, "shmig.rate") / MIB);
    report_bar(most ? 1 - (double)left / most : 0, phase_in_words(phase), rest);
}

void report_progress_done(void)
{
    if (on_terminal()) {
        printf("\r%*s\r", 78, "");
    }
}

char *report_size(int64_t bytes)
{
    return g_strdup_printf("%.1f MiB", bytes / MIB);
}

static void print_row(const char *name, JsonNode *copy, bool disk)
{
    printf("  %-14s%10.1f%12.1f%12.1f%12.1f  %s\n", name,
           json_int_at(copy, "sent") / MIB, json_int_at(copy, "zero") / MIB,
           json_int_at(copy, "mirrored") / MIB,
           json_int_at(copy, "resent") / MIB,
           disk ? json_text_at(copy, "path") : "");
}

void report_bytes(JsonNode *info)
{
    JsonNode *disks = json_at(info, "shmig.disks");
    JsonArray *array = disks ? json_node_get_array(disks) : NULL;

    printf("  %-14s%10s%12s%12s%12s  %s\n", "MiB", "data", "zeroes", "mirrored",
           "re-sent", "read by");
    print_row("RAM", json_at(info, "shmig.ram"), false);
    for (unsigned i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *disk = json_array_get_element(array, i);

        print_row(json_text_at(disk, "id"), disk, true);
    }
}
