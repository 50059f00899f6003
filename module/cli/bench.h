/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `shmig dirty-bench`. */
#ifndef SHMIG_CLI_BENCH_H
#define SHMIG_CLI_BENCH_H

#include "exit.h"

/* @argv[0] is "dirty-bench".  Prints what it found, and what was wrong. */
CliExit bench_main(char **argv);

#endif
