/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running a row as a test of GLib's. */
#include "cases.h"
#include "loop.h"
#include "machine.h"
#include "rows.h"

static Hosts *hosts;
static char *missing;
static const Case *now;

const Case *case_now(void)
{
    return now;
}

Hosts *case_hosts(void)
{
    return hosts;
}

bool case_said(const char *text, GError **errp)
{
    return row_said_words(text, now->expect, errp);
}

/* Only where the row has more than the hosts began with. */
static bool configure(bool begin, GError **errp)
{
    for (Host host = HOST_A; host < HOSTS; host++) {
        if (now->config[host] &&
            !host_configure(hosts, host, begin ? now->config[host] : NULL,
                            errp)) {
            return false;
        }
    }
    return true;
}

static void run_on_hosts(GError **errp)
{
    Domain *domain = NULL;

    if (configure(true, errp)) {
        domain = domain_new(hosts, &now->options, errp);
    }
    if (domain) {
        now->fn(domain, errp);
        domain_free(domain);
    }
    /* What went wrong before is what counts. */
    configure(false, *errp ? NULL : errp);
}

static void run(const void *opaque)
{
    g_autofree char *no_accel = NULL;
    g_autoptr(GError) error = NULL;

    now = opaque;
    no_accel = missing ? NULL : machine_missing(now->options.accel);
    if (missing || no_accel) {
        g_test_skip(missing ? missing : no_accel);
        return;
    }
    if (!hosts) {
        hosts = hosts_new(&error);
    }
    if (hosts) {
        run_on_hosts(&error);
    }
    if (error) {
        g_test_fail_printf("%s", error->message);
        /* Whatever state it left them in is not the next one's. */
        g_clear_pointer(&hosts, hosts_free);
    }
}

void cases_add(const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        g_test_add_data_func(cases[i].path, &cases[i], run);
    }
}

int cases_run(void)
{
    int status;

    missing = hosts_missing();
    status = g_test_run();
    hosts_free(hosts);
    g_free(missing);
    return status;
}
