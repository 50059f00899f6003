/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line on a terminal that says what is going on. */
#include <stdio.h>
#include <unistd.h>

#include "progress.h"

/* Carriage return, and the rest of the line is erased. */
#define CLEAR_LINE "\r\033[K"

void progress_say(const char *format, ...)
{
    va_list args;

    if (!isatty(STDERR_FILENO)) {
        return;
    }
    va_start(args, format);
    fputs(CLEAR_LINE, stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fflush(stderr);
}

void progress_end(void)
{
    if (isatty(STDERR_FILENO)) {
        fputs(CLEAR_LINE, stderr);
        fflush(stderr);
    }
}
