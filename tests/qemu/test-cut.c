/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection breaks before, within and after every kind of message, and
 * messages arrive with a number that is not what was sent.
 *
 * Never do two run the guest.  Before COMMIT the source does; where COMMIT was
 * sent and no answer came, the source stays paused and says so, and which of
 * the two goes on is up to the user.
 */
#include <string.h>

#include "loop.h"
#include "relay.h"
#include "rows.h"
#include "shmig/wire/frame.h"

typedef enum Owner {
    OWNER_SOURCE,  /* it goes on; the destination never ran the guest */
    OWNER_UNKNOWN, /* none runs: COMMIT never arrived, which nobody knows */
    OWNER_DEST,    /* it runs; the source stays paused */
} Owner;

typedef struct Cut {
    RelayFault fault;
    Owner owner;
    const char *said; /* by the source, words separated by '|' */
} Cut;

static bool source_is(Pair *pair, const char *wanted, GError **errp)
{
    g_autoptr(JsonNode) status =
        qmp_call(pair->source->qmp, errp, "query-status", NULL);

    if (!status) {
        return false;
    }
    if (!g_str_equal(json_text_at(status, "status"), wanted)) {
        return harness_fail(errp, "the source is \"%s\", not \"%s\"",
                            json_text_at(status, "status"), wanted);
    }
    return true;
}

/* Where the row expects no words, the destination may have seen too little to
 * begin with it: then it waits for somebody else, until told to quit. */
static bool dest_never_ran(Pair *pair, GError **errp)
{
    g_autofree char *printed = NULL;

    if (guest_has_run(pair->dest->guest)) {
        return harness_fail(errp, "the destination ran the guest");
    }
    if (!row_now()->expect) {
        qmp_run(pair->dest->qmp, NULL, "quit", NULL);
        return machine_wait_exit(pair->dest, PAIR_MOVE_SECONDS, errp) >= 0;
    }
    printed = pair_wait_dest_end(pair, errp);
    return printed && row_said(printed, errp);
}

/* The guest moves after all; for a third of the rows that has to do. */
static bool source_goes_on(Pair *pair, const Cut *cut, GError **errp)
{
    return pair_source_unharmed(pair, errp) &&
           (cut->fault.deed == RELAY_CUT_WITHIN
                ? pair_move_after_all(pair, errp)
                : machine_quit(pair->source, errp));
}

static bool is_as_said(Pair *pair, const Cut *cut, GError **errp)
{
    switch (cut->owner) {
    case OWNER_SOURCE:
        return dest_never_ran(pair, errp) && source_goes_on(pair, cut, errp);
    case OWNER_UNKNOWN:
        /* The user looks at the destination, and goes on with the source. */
        return dest_never_ran(pair, errp) && source_is(pair, "paused", errp) &&
               qmp_run(pair->source->qmp, errp, "cont", NULL) &&
               source_goes_on(pair, cut, errp);
    case OWNER_DEST:
        return source_is(pair, "paused", errp) &&
               pair_verify(pair->dest, pair->disks, errp) &&
               machine_quit(pair->source, errp) &&
               machine_quit(pair->dest, errp);
    }
    g_assert_not_reached();
}

static bool through_relay(Pair *pair, const char *path, Relay *relay,
                          GError **errp)
{
    const Cut *cut = row_now()->data;
    g_autofree char *sentence = NULL;

    if (!qmp_run(pair->source->qmp, errp, "migrate",
                 "{'uri': 'shmig:unix:%s,channels=2'}", path)) {
        return false;
    }
    sentence = pair_wait_failed(pair, errp);
    if (!sentence) {
        return false;
    }
    if (!relay_has_struck(relay)) {
        return harness_fail(errp, "the message never came by");
    }
    return row_said_words(sentence, cut->said, errp) &&
           is_as_said(pair, cut, errp);
}

static bool cut(Pair *pair, GError **errp)
{
    const Cut *cut = row_now()->data;
    g_autofree char *path = g_strdup_printf("%s/relay", pair->dir);
    g_autofree char *to = g_strdup_printf("%s/move", pair->dir);
    Relay *relay = relay_new(path, to, &cut->fault, errp);
    bool ok = relay && through_relay(pair, path, relay, errp);

    relay_free(relay);
    return ok;
}

/* clang-format off */
#define PAIR { .accel = "tcg", .vcpus = 2, .dest_runs = true, \
               .guest = "dirty=500 write=100 wsize=mixed", \
               .disks = { { .format = "raw" }, { .format = "qcow2" } } }

/* A KVM that interprets instructions takes seconds to verify more. */
#define PAIR_KVM { .accel = "kvm", .dest_runs = true, \
                   .guest = "mem=2 zero=1 disk=1 dirty=500 write=100 " \
                            "wsize=mixed", \
                   .disks = { { .format = "raw" } } }

#define ROW_OF(pair_, path_, expect_, ...) \
    { "/qemu/cut/" path_, pair_, cut, expect_, &(const Cut) { __VA_ARGS__ } }
#define ROW(path_, expect_, ...) ROW_OF(PAIR, path_, expect_, __VA_ARGS__)

#define ROW_CUT(path_, deed_, from_, frame_, nth_, expect_, owner_, said_) \
    ROW(path_, expect_, \
        { RELAY_##deed_, RELAY_##from_, frame_, nth_ }, OWNER_##owner_, said_)

#define ROW_KVM(path_, deed_, from_, frame_, nth_, owner_, said_) \
    ROW_OF(PAIR_KVM, path_ "/kvm", LOST_CHANNEL, \
           { RELAY_##deed_, RELAY_##from_, frame_, nth_ }, OWNER_##owner_, \
           said_)

/* Cut before, within and after the @nth such frame. */
#define ROWS(name_, from_, frame_, nth_, expect_, said_) \
    ROW_CUT(name_ "/before", CUT_BEFORE, from_, frame_, nth_, expect_, \
            SOURCE, said_), \
    ROW_CUT(name_ "/within", CUT_WITHIN, from_, frame_, nth_, expect_, \
            SOURCE, said_), \
    ROW_CUT(name_ "/after", CUT_AFTER, from_, frame_, nth_, expect_, \
            SOURCE, said_)

#define ROW_ADD(path_, from_, frame_, nth_, at_, bytes_, number_, expect_, \
                said_) \
    ROW("change/" path_, expect_, \
        { RELAY_ADD, RELAY_##from_, frame_, nth_, at_, bytes_, number_ }, \
        OWNER_SOURCE, said_)
/* The destination finds it and both say the same. */
#define ROW_FOUND(path_, frame_, nth_, at_, bytes_, number_, said_) \
    ROW_ADD(path_, SOURCE, frame_, nth_, at_, bytes_, number_, said_, said_)

#define OFFER SHMIG_FRAME_OFFER
#define ANSWER SHMIG_FRAME_ANSWER
#define GO SHMIG_FRAME_GO
#define DATA SHMIG_FRAME_DATA
#define DRAIN SHMIG_FRAME_DRAIN
#define DRAINED SHMIG_FRAME_DRAINED
#define STREAM SHMIG_FRAME_STREAM
#define READY SHMIG_FRAME_READY
#define COMMIT SHMIG_FRAME_COMMIT
#define RUNNING SHMIG_FRAME_RUNNING
/* Where the first record of DATA is. */
#define RECORD SHMIG_FRAME_BYTES

#define NOBODY "no shmig destination answered: the "
/* The connection that says hello, or the channel that it has become; or the
 * source, before all of them were open. */
#define CLOSED "the | c"
/* The end is noticed in reading or in writing. */
#define LOST "the |connection"
#define LOST_CHANNEL "the |channel "
#define MAY_OWN "channel 0|the destination may own it|before you start it here"
#define BROKE "the peer broke the protocol"
#define BROKE_0 BROKE " on channel 0: "
#define BROKE_ANY BROKE " on channel |"

/* NULL: the destination may not have begun, and wait for somebody else. */
static const Row rows[] = {
    ROWS("hello", SOURCE, 0, 0, NULL, NOBODY),
    ROWS("hello-reply", DEST, 0, 0, NULL, NOBODY),
    ROWS("hello-of-channel-1", SOURCE, 0, 1, CLOSED, CLOSED),
    ROWS("offer", SOURCE, OFFER, 0, NULL, NOBODY),
    ROWS("answer", DEST, ANSWER, 0, "the source |channels", LOST),
    ROWS("stream", SOURCE, STREAM, 0, "", LOST_CHANNEL),
    ROWS("go", DEST, GO, 0, LOST_CHANNEL, LOST_CHANNEL),
    ROWS("data", SOURCE, DATA, 0, LOST_CHANNEL, LOST_CHANNEL),
    ROWS("later-data", SOURCE, DATA, 20, LOST_CHANNEL, LOST_CHANNEL),
    ROWS("drain", SOURCE, DRAIN, 0, LOST_CHANNEL, LOST_CHANNEL),
    ROWS("drained", DEST, DRAINED, 0, LOST_CHANNEL, LOST_CHANNEL),
    ROWS("return-stream", DEST, STREAM, 0, LOST_CHANNEL, LOST_CHANNEL),
    /* After READY, COMMIT may be on its way before the cut: see there. */
    ROW_CUT("ready/before", CUT_BEFORE, DEST, READY, 0, LOST_CHANNEL,
            SOURCE, LOST_CHANNEL),
    ROW_CUT("ready/within", CUT_WITHIN, DEST, READY, 0, LOST_CHANNEL,
            SOURCE, LOST_CHANNEL),
    ROW_CUT("commit/before", CUT_BEFORE, SOURCE, COMMIT, 0, LOST_CHANNEL,
            UNKNOWN, MAY_OWN),
    ROW_CUT("commit/within", CUT_WITHIN, SOURCE, COMMIT, 0, LOST_CHANNEL,
            UNKNOWN, MAY_OWN),
    ROW_CUT("commit/after", CUT_AFTER, SOURCE, COMMIT, 0, "", DEST, MAY_OWN),
    ROW_CUT("running/before", CUT_BEFORE, DEST, RUNNING, 0, "", DEST, MAY_OWN),
    ROW_CUT("running/within", CUT_WITHIN, DEST, RUNNING, 0, "", DEST, MAY_OWN),

    ROW_KVM("go/before", CUT_BEFORE, DEST, GO, 0, SOURCE, LOST_CHANNEL),
    ROW_KVM("later-data/within", CUT_WITHIN, SOURCE, DATA, 20, SOURCE,
            LOST_CHANNEL),
    ROW_KVM("ready/before", CUT_BEFORE, DEST, READY, 0, SOURCE, LOST_CHANNEL),
    ROW_KVM("commit/within", CUT_WITHIN, SOURCE, COMMIT, 0, UNKNOWN, MAY_OWN),

    ROW_ADD("hello-magic", SOURCE, 0, 0, 0, 1, 1, NULL,
            "does not speak shmig"),
    ROW_ADD("hello-version", SOURCE, 0, 0, 8, 4, 0x10001, NULL,
            "speaks version 1 of the shmig protocol only"),
    ROW_ADD("hello-channels", SOURCE, 0, 0, 16, 2, 100, NULL,
            "hello: the number of channels is out of range"),
    ROW_ADD("reply-magic", DEST, 0, 0, 0, 1, 1, NULL,
            "does not speak shmig"),
    ROW_ADD("reply-version", DEST, 0, 0, 8, 4, 0x10001, NULL,
            "destination speaks version 2 to 2|this side 1 to 1"),
    ROW_ADD("reply-session", DEST, 0, 0, 24, 8, 1, NULL,
            "answered for another session"),
    ROW_FOUND("frame-magic", DATA, 3, 0, 1, 1, BROKE_ANY "frame: wrong magic"),
    ROW_FOUND("frame-type", DATA, 3, 4, 1, 99, BROKE_ANY "frame: unknown type"),
    ROW_FOUND("frame-flags", DATA, 3, 6, 2, 4, BROKE_ANY "frame: a flag"),
    ROW_FOUND("frame-sequence", DATA, 3, 8, 4, 1,
              BROKE_ANY "frame: wrong sequence"),
    ROW_FOUND("frame-records", DATA, 3, 12, 4, 1,
              BROKE_ANY "frame: body and number of records"),
    ROW_FOUND("record-region", DATA, 3, RECORD, 4, 100,
              BROKE_ANY "record: no such region"),
    ROW_FOUND("record-kind", DATA, 3, RECORD + 4, 1, 2,
              BROKE_ANY "record: unknown kind"),
    ROW_FOUND("record-past-the-end", DATA, 3, RECORD + 8, 8, 1ull << 40,
              BROKE_ANY "record: its range does not lie within the region"),
    ROW_FOUND("record-before-the-start", DATA, 3, RECORD + 8, 8,
              -(1ull << 40),
              BROKE_ANY "record: its range does not lie within the region"),
    ROW_FOUND("record-on-the-wrong-channel", DATA, 3, RECORD + 8, 8,
              SHMIG_STRIPE_BYTES,
              BROKE_ANY "record: a stripe on the wrong channel"),
    ROW_FOUND("record-length", DATA, 3, RECORD + 16, 8, 1,
              BROKE_ANY "record: its range is not aligned"),
    ROW_ADD("answer-type", DEST, ANSWER, 0, 4, 1, 1, "the source |channels",
            BROKE ": frame: the length of its body is out of range"),
    ROW_ADD("drained-number", DEST, DRAINED, 0, 24, 8, 1,
            BROKE_ANY "a frame that a destination does not send",
            BROKE_ANY "a frame that a destination does not send"),
    ROW_ADD("ready-sequence", DEST, READY, 0, 8, 4, 1,
            BROKE_0 "frame: wrong sequence", BROKE_0 "frame: wrong sequence"),
};
/* clang-format on */

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rows_add(rows, G_N_ELEMENTS(rows));
    return g_test_run();
}
