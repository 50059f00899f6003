/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest: set-up, the first CPU's loop, and the commands.
 *
 * Options, lines and commands are described in README.md and in
 * guest-protocol.h.
 */
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "disk.h"
#include "fw-cfg.h"
#include "layout.h"
#include "memory.h"
#include "multiboot.h"
#include "options.h"
#include "pci.h"
#include "rtc.h"
#include "service.h"
#include "smp.h"
#include "state.h"

#define CONSOLE_POLL_NS 2000000u
#define ACPI_PM1_CONTROL 4
#define ACPI_SLEEP_ENABLE 0x2000
#define DEBUG_EXIT_PORT 0xf4

void guest_main(uint32_t magic, const MultibootInfo *info);

static bool running;
static bool stopping; /* the power-off had no effect */

static void halt_with(const char *what, const char *why)
{
    console_line("ERR %s: %s", what, why);
    for (;;) {
        console_push();
    }
}

static void set_running(bool run)
{
    memory_run(run);
    disk_run(run);
    running = run;
}

static void power_off(void)
{
    while (console_busy() && !stopping) {
        console_push();
    }
    out16(pci_acpi_base() + ACPI_PM1_CONTROL, ACPI_SLEEP_ENABLE);
    out8(DEBUG_EXIT_PORT, 0);
    stopping = true;
}

static void print_stats(void)
{
    RtcStats rtc;

    for (uint32_t i = 0; i < cpu_count; i++) {
        console_line("STAT cpu=%u dirtied=%u", i, cpus[i].dirtied);
    }
    disk_print_stats();
    rtc_stats(&rtc);
    if (clock_longest_gap() > rtc.blackout_us) {
        rtc.blackout_us = clock_longest_gap();
    }
    console_line("STAT clock blackout_us=%D lost_us=%D jumps=%u last_us=%D "
                 "unc_us=%u settling=%u width_us=%u gap_max_us=%u tsc_khz=%u",
                 rtc.blackout_us, rtc.lost_us, rtc.jumps, rtc.last_us,
                 rtc.last_unc_us, rtc.settling, rtc.width_us,
                 clock_longest_gap(), clock_tsc_khz());
    console_line("STAT now_ms=%u ticks=%u dropped=%u running=%u",
                 (uint32_t)divide(clock_ns(), 1000000, NULL), service_ticks(),
                 console_dropped(), running);
}

static void clear_stats(void)
{
    for (uint32_t i = 0; i < cpu_count; i++) {
        cpus[i].dirtied = 0;
    }
    disk_clear_stats();
    clock_clear_gap();
    rtc_clear_stats();
}

static void print_checksums(void)
{
    uint32_t sum;

    console_line("SUM mem=%x", memory_checksum());
    for (uint32_t i = 0; i < state->disks; i++) {
        if (disk_checksum(i, &sum)) {
            console_line("SUM disk=%u sum=%x", i, sum);
        }
    }
}

/* The commands that need everything at rest; false: not one of them. */
static bool run_resting(char command)
{
    bool was_running = running;

    if (command != GUEST_CMD_VERIFY_MEM && command != GUEST_CMD_VERIFY_DISK &&
        command != GUEST_CMD_VERIFY_MEM_QUICK &&
        command != GUEST_CMD_CHECKSUM) {
        return false;
    }
    set_running(false);
    switch (command) {
    case GUEST_CMD_VERIFY_DISK:
        disk_verify();
        break;
    case GUEST_CMD_CHECKSUM:
        print_checksums();
        break;
    default:
        memory_verify(command == GUEST_CMD_VERIFY_MEM_QUICK);
    }
    if (was_running) {
        set_running(true);
    }
    return true;
}

/* Returns NULL, or why the command failed. */
static const char *run_command(const char *line)
{
    if (line[0] == GUEST_CMD_SET) {
        return options_set(line + 1 + (line[1] == ' '), true);
    }
    if (line[1]) {
        return "unknown command";
    }
    if (run_resting(line[0])) {
        return NULL;
    }
    switch (line[0]) {
    case GUEST_CMD_STATS:
        print_stats();
        break;
    case GUEST_CMD_CLEAR_STATS:
        clear_stats();
        break;
    case GUEST_CMD_PAUSE:
    case GUEST_CMD_RUN:
        set_running(line[0] == GUEST_CMD_RUN);
        break;
    case GUEST_CMD_QUIT:
        break;
    default:
        return "unknown command";
    }
    return NULL;
}

static void poll_command(void)
{
    const char *line = console_poll_line();
    const char *error;

    if (!line) {
        return;
    }
    error = run_command(line);
    if (error) {
        console_line("ERR %s: %s", line, error);
    }
    console_line("DONE %c", line[0]);
    if (line[0] == GUEST_CMD_QUIT && !error) {
        power_off();
    }
}

static void loop(void)
{
    uint64_t next_poll = 0;

    for (;;) {
        uint64_t now = service();
        bool busy = disk_step(now);

        /* Only does something where this is the only CPU. */
        busy = memory_dirty_step(&cpus[0]) || busy;
        if (now >= next_poll) {
            poll_command();
            next_poll = now + CONSOLE_POLL_NS;
        }
        if (!busy && !console_busy() && !options.spin &&
            !rtc_wants_polling(now)) {
            smp_sleep();
        }
    }
}

static void parse_options(const MultibootInfo *info)
{
    const char *why, *word;

    if (!(info->flags & MULTIBOOT_HAS_COMMAND_LINE)) {
        return;
    }
    word = options_parse((char *)info->command_line, &why);
    if (word) {
        halt_with(word, why);
    }
}

static void set_up_disks(void)
{
    const char *error = disk_init();

    if (error) {
        halt_with("disk", error);
    }
    if (options.prefill) {
        disk_prefill();
    }
}

static void set_up_memory(const MultibootInfo *info)
{
    const char *error;

    memory_set_end(multiboot_memory_end(info, HEAP_ADDRESS));
    error = memory_init();
    if (error) {
        halt_with("memory", error);
    }
}

void guest_main(uint32_t magic, const MultibootInfo *info)
{
    console_init();
    if (magic != MULTIBOOT_LOADED) {
        halt_with("boot", "not started by a multiboot loader");
    }
    parse_options(info);
    words_set(state, 0, sizeof(*state) / 4);
    state->magic = GUEST_STATE_MAGIC;
    state->seed = options.seed;
    if (!clock_init()) {
        halt_with("clock", "no ACPI timer; use machine pc or q35");
    }
    console_line("BOOT");
    set_up_memory(info);
    smp_init(fw_cfg_cpus());
    state->cpus = cpu_count;
    memory_fill();
    set_up_disks();
    set_running(true);
    state->ready = 1;
    console_line("READY pages=%u zero=%u cpus=%u disks=%u at_ms=%u",
                 state->memory_pages, state->zero_pages, cpu_count,
                 state->disks, (uint32_t)divide(clock_ns(), 1000000, NULL));
    loop();
}
