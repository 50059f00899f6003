/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting with a deadline on the default main context. */
#include "loop.h"

/* Of the one process there is; set by a signal's source. */
static bool interrupted;

G_DEFINE_QUARK(harness - error - quark, harness_error)

bool harness_fail(GError **errp, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_set_error_literal(errp, HARNESS_ERROR, 0, text);
    return false;
}

int64_t loop_now_us(void)
{
    return g_get_monotonic_time();
}

static gboolean deadline_passed(void *opaque)
{
    *(bool *)opaque = true;
    return G_SOURCE_CONTINUE;
}

bool loop_wait(LoopTest test, void *opaque, double seconds)
{
    bool late = false;
    guint timer = g_timeout_add(seconds * 1000, deadline_passed, &late);
    bool held;

    while (!(held = test(opaque)) && !late && !interrupted) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_source_remove(timer);
    return held && !interrupted;
}

void loop_interrupt(void)
{
    interrupted = true;
    g_main_context_wakeup(NULL);
}

bool loop_interrupted(void)
{
    return interrupted;
}
