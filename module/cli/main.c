/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shmig command: finds the subcommand. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

static void print_help(FILE *to)
{
    fputs(
        "Usage: shmig COMMAND [ARGUMENT]…\n\n"
        "  dirty-bench   how fast can dirty pages be tracked and harvested "
        "here?\n\n"
        "shmig COMMAND --help says more; shmig --version names the version.\n",
        to);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("shmig " SHMIG_VERSION);
        return CLI_OK;
    }
    if (strcmp(argv[1], "dirty-bench") == 0) {
        return bench_main(argv + 1);
    }
    fprintf(stderr, "shmig: %s: there is no such command; see shmig --help\n",
            argv[1]);
    return CLI_USAGE;
}
