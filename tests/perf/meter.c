/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading /proc. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "meter.h"

#define PAGE_BYTES 4096
#define PIECE_BYTES (1024 * 1024)

static double tick_seconds(uint64_t ticks)
{
    return (double)ticks / sysconf(_SC_CLK_TCK);
}

/* utime and stime of a stat file; the name before them may hold anything, but
 * ends with the last bracket. */
static bool read_stat(const char *path, double *seconds, GError **errp)
{
    g_autofree char *text = NULL;
    const char *after_name;
    uint64_t user, kernel;

    if (!g_file_get_contents(path, &text, NULL, errp)) {
        return false;
    }
    after_name = strrchr(text, ')');
    if (!after_name ||
        sscanf(after_name + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64
               " %" SCNu64,
               &user, &kernel) != 2) {
        return harness_fail(errp, "%s is not as expected: %s", path, text);
    }
    *seconds = tick_seconds(user + kernel);
    return true;
}

bool meter_cpu(const Machine *machine, double *seconds, GError **errp)
{
    g_autofree char *path =
        g_strdup_printf("/proc/%d/stat", machine_pid(machine));

    return read_stat(path, seconds, errp);
}

bool meter_vcpus(Machine *machine, double *seconds, GError **errp)
{
    g_autoptr(JsonNode) cpus =
        qmp_call(machine->qmp, errp, "query-cpus-fast", NULL);
    JsonArray *array;
    double sum = 0;

    if (!cpus) {
        return false;
    }
    array = json_node_get_array(cpus);
    for (unsigned i = 0; i < json_array_get_length(array); i++) {
        int64_t thread =
            json_int_at(json_array_get_element(array, i), "thread-id");
        g_autofree char *path = g_strdup_printf(
            "/proc/%d/task/%" PRId64 "/stat", machine_pid(machine), thread);
        double one;

        if (!read_stat(path, &one, errp)) {
            return false;
        }
        sum += one;
    }
    *seconds = sum;
    return true;
}

bool meter_host(double *seconds, GError **errp)
{
    g_autofree char *text = NULL;
    uint64_t user, nice, kernel, irq, softirq;

    if (!g_file_get_contents("/proc/stat", &text, NULL, errp)) {
        return false;
    }
    if (sscanf(text,
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %*u %" SCNu64
               " %" SCNu64,
               &user, &nice, &kernel, &irq, &softirq) != 5) {
        return harness_fail(errp, "/proc/stat is not as expected: %s", text);
    }
    *seconds = tick_seconds(user + nice + kernel + irq + softirq);
    return true;
}

static bool read_status(const Machine *machine, const char *key, int64_t *bytes,
                        GError **errp)
{
    g_autofree char *path =
        g_strdup_printf("/proc/%d/status", machine_pid(machine));
    g_autofree char *text = NULL, *line = g_strdup_printf("\n%s:", key);
    const char *at;

    if (!g_file_get_contents(path, &text, NULL, errp)) {
        return false;
    }
    at = strstr(text, line);
    if (!at) {
        return harness_fail(errp, "%s has no %s", path, key);
    }
    *bytes = g_ascii_strtoll(at + strlen(line), NULL, 10) * 1024;
    return true;
}

bool meter_resident(const Machine *machine, int64_t *bytes, GError **errp)
{
    g_autofree char *path =
        g_strdup_printf("/proc/%d/clear_refs", machine_pid(machine));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, "5", 1) == 1;

    if (!done) {
        harness_fail(errp, "%s: %s", path, g_strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return done && read_status(machine, "VmRSS", bytes, errp);
}

bool meter_peak(const Machine *machine, int64_t *bytes, GError **errp)
{
    return read_status(machine, "VmHWM", bytes, errp);
}

static bool is_zero(const char *page)
{
    return !page[0] && !memcmp(page, page + 1, PAGE_BYTES - 1);
}

static bool count_nonzero(int fd, uint64_t at, uint64_t bytes, int64_t *nonzero,
                          GError **errp)
{
    g_autofree char *piece = g_malloc(PIECE_BYTES);
    int64_t pages = 0;

    for (uint64_t done = 0; done < bytes; done += PIECE_BYTES) {
        if (pread(fd, piece, PIECE_BYTES, at + done) != PIECE_BYTES) {
            return harness_fail(errp, "cannot read the guest's memory: %s",
                                g_strerror(errno));
        }
        for (unsigned i = 0; i < PIECE_BYTES; i += PAGE_BYTES) {
            pages += !is_zero(piece + i);
        }
    }
    *nonzero = pages * PAGE_BYTES;
    return true;
}

bool meter_nonzero(Machine *machine, uint64_t bytes, int64_t *nonzero,
                   GError **errp)
{
    g_autofree char *where = qmp_hmp(machine->qmp, "gpa2hva 0", errp);
    g_autofree char *path =
        g_strdup_printf("/proc/%d/mem", machine_pid(machine));
    const char *address = where ? strstr(where, "is 0x") : NULL;
    bool counted;
    int fd;

    if (!address) {
        return where &&
               harness_fail(errp, "QEMU says of its memory: %s", where);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return harness_fail(errp, "%s: %s", path, g_strerror(errno));
    }
    counted = count_nonzero(fd, g_ascii_strtoull(address + 3, NULL, 16), bytes,
                            nonzero, errp);
    close(fd);
    return counted;
}
