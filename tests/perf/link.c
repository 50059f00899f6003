/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Network namespaces, and counting what passes between them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "images.h"
#include "link.h"
#include "loop.h"

#define NS_PATH "/proc/thread-self/ns/net"
#define SOURCE_ADDRESS "10.99.0.1"
#define DEST_ADDRESS "10.99.0.2"

/* A frame of 1500 bytes takes up 1514 for tbf, and carries 1448 of payload:
 * 20 bytes are IP's, 32 TCP's with time stamps. */
#define FRAME_BYTES 1514.0
#define PAYLOAD_BYTES 1448.0
/* Four times what TCP hands to a device at once, so that it need not be cut
 * up before the bucket; 2 ms of the link. */
#define BURST "256kb"
#define LATENCY "10ms"

struct Link {
    unsigned mbit;
    int home, source, dest; /* namespaces; dest: -1 if it is the source's */
};

/* Leaves the thread in a new namespace and returns a descriptor of it. */
static int new_namespace(GError **errp)
{
    int fd;

    if (unshare(CLONE_NEWNET) < 0) {
        harness_fail(errp,
                     "cannot make a network namespace: %s; run the bench as "
                     "root",
                     g_strerror(errno));
        return -1;
    }
    fd = open(NS_PATH, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        harness_fail(errp, NS_PATH ": %s", g_strerror(errno));
        return -1;
    }
    if (!image_run_program(errp, "ip", "link", "set", "lo", "up", NULL)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool set_up_device(const char *name, const char *address, unsigned mbit,
                          GError **errp)
{
    g_autofree char *with_mask = g_strconcat(address, "/24", NULL);
    g_autofree char *rate = g_strdup_printf("%umbit", mbit);

    return image_run_program(errp, "ip", "addr", "add", with_mask, "dev", name,
                             NULL) &&
           image_run_program(errp, "ip", "link", "set", name, "up", NULL) &&
           image_run_program(errp, "tc", "qdisc", "add", "dev", name, "root",
                             "tbf", "rate", rate, "burst", BURST, "latency",
                             LATENCY, NULL);
}

/* The thread is in the destination's namespace, and then in the source's. */
static bool join(Link *link, GError **errp)
{
    g_autofree char *source =
        g_strdup_printf("/proc/%d/fd/%d", getpid(), link->source);

    return image_run_program(errp, "ip", "link", "add", "veth1", "type", "veth",
                             "peer", "name", "veth0", NULL) &&
           image_run_program(errp, "ip", "link", "set", "veth0", "netns",
                             source, NULL) &&
           set_up_device("veth1", DEST_ADDRESS, link->mbit, errp) &&
           link_enter(link, false, errp) &&
           set_up_device("veth0", SOURCE_ADDRESS, link->mbit, errp);
}

static bool make(Link *link, GError **errp)
{
    link->source = new_namespace(errp);
    if (link->source < 0 || !link->mbit) {
        return link->source >= 0;
    }
    link->dest = new_namespace(errp);
    return link->dest >= 0 && join(link, errp);
}

Link *link_new(unsigned mbit, GError **errp)
{
    Link *link = g_new0(Link, 1);

    link->mbit = mbit;
    link->source = link->dest = -1;
    link->home = open(NS_PATH, O_RDONLY | O_CLOEXEC);
    if (link->home < 0) {
        harness_fail(errp, NS_PATH ": %s", g_strerror(errno));
        link_free(link);
        return NULL;
    }
    if (!make(link, errp)) {
        link_free(link);
        return NULL;
    }
    return link;
}

static void close_namespace(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void link_free(Link *link)
{
    if (!link) {
        return;
    }
    if (link->home >= 0 && setns(link->home, CLONE_NEWNET) < 0) {
        g_warning("cannot leave the namespace: %s", g_strerror(errno));
    }
    close_namespace(link->home);
    close_namespace(link->source);
    close_namespace(link->dest);
    g_free(link);
}

const char *link_address(const Link *link)
{
    return link->mbit ? DEST_ADDRESS : "127.0.0.1";
}

bool link_enter(Link *link, bool dest, GError **errp)
{
    int fd = dest && link->mbit ? link->dest : link->source;

    if (setns(fd, CLONE_NEWNET) < 0) {
        return harness_fail(errp, "cannot enter a namespace: %s",
                            g_strerror(errno));
    }
    return true;
}

/* What the devices of this thread's namespace have sent. */
static int64_t sent_here(GError **errp)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    int64_t sum = 0;

    if (!g_file_get_contents("/proc/thread-self/net/dev", &text, NULL, errp)) {
        return -1;
    }
    lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        const char *numbers = strchr(lines[i], ':');
        uint64_t sent;

        if (numbers &&
            sscanf(numbers + 1, "%*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64,
                   &sent) == 1) {
            sum += sent;
        }
    }
    return sum;
}

int64_t link_bytes(Link *link, GError **errp)
{
    int64_t source = sent_here(errp), dest = 0;

    if (source >= 0 && link->mbit) {
        dest = link_enter(link, true, errp) ? sent_here(errp) : -1;
        if (!link_enter(link, false, errp)) {
            return -1;
        }
    }
    return source < 0 || dest < 0 ? -1 : source + dest;
}

double link_goodput(const Link *link)
{
    return link->mbit * 1e6 / 8 * PAYLOAD_BYTES / FRAME_BYTES;
}
