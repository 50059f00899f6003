/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first bytes of a connection; docs/protocol.md, "Hello". */
#include "shmig/wire/frame.h"

#include <errno.h>
#include <string.h>

#include "shmig/base/range.h"
#include "shmig/wire/pack.h"

static const uint8_t magic[8] = {
    0x89, 'S', 'H', 'M', 'I', 'G', '\r', '\n',
};

enum {
    AT_VERSION_MIN = 8,
    AT_VERSION_MAX = 10,
    AT_FLAGS = 12,
    AT_CHANNEL = 14,
    AT_CHANNELS = 16,
    AT_RESERVED = 18,
    AT_SESSION = 24,
    AT_RESERVED_END = 40,
};

#define FLAG_REFUSED 0x1

void shmig_hello_encode(const ShmigHello *hello, uint8_t out[SHMIG_HELLO_BYTES])
{
    memset(out, 0, SHMIG_HELLO_BYTES);
    memcpy(out, magic, sizeof(magic));
    shmig_put_u16(out + AT_VERSION_MIN, hello->version_min);
    shmig_put_u16(out + AT_VERSION_MAX, hello->version_max);
    shmig_put_u16(out + AT_FLAGS, hello->refused ? FLAG_REFUSED : 0);
    shmig_put_u16(out + AT_CHANNEL, hello->channel);
    shmig_put_u16(out + AT_CHANNELS, hello->channels);
    memcpy(out + AT_SESSION, hello->session, SHMIG_SESSION_ID_BYTES);
}

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t all = 0;

    for (size_t i = 0; i < n; i++) {
        all |= p[i];
    }
    return all == 0;
}

static const char *hello_problem(const uint8_t in[SHMIG_HELLO_BYTES],
                                 const ShmigHello *hello)
{
    if (memcmp(in, magic, sizeof(magic)) != 0) {
        return "the peer does not speak shmig: its first bytes are not a "
               "shmig hello";
    }
    if (shmig_get_u16(in + AT_FLAGS) & ~FLAG_REFUSED) {
        return "hello: unknown flag";
    }
    if (!all_zero(in + AT_RESERVED, AT_SESSION - AT_RESERVED) ||
        !all_zero(in + AT_RESERVED_END, SHMIG_HELLO_BYTES - AT_RESERVED_END)) {
        return "hello: a reserved byte is not zero";
    }
    if (hello->version_min == 0 || hello->version_min > hello->version_max) {
        return "hello: the version range is empty";
    }
    if (hello->channels == 0 || hello->channels > SHMIG_MAX_CHANNELS) {
        return "hello: the number of channels is out of range";
    }
    if (!shmig_index_ok(hello->channel, hello->channels)) {
        return "hello: the channel is not one of its channels";
    }
    return NULL;
}

int shmig_hello_decode(const uint8_t in[SHMIG_HELLO_BYTES], ShmigHello *hello,
                       const char **why)
{
    ShmigHello h = {
        .version_min = shmig_get_u16(in + AT_VERSION_MIN),
        .version_max = shmig_get_u16(in + AT_VERSION_MAX),
        .refused = shmig_get_u16(in + AT_FLAGS) & FLAG_REFUSED,
        .channel = shmig_get_u16(in + AT_CHANNEL),
        .channels = shmig_get_u16(in + AT_CHANNELS),
    };
    const char *problem = hello_problem(in, &h);

    if (problem) {
        *why = problem;
        return -EPROTO;
    }
    memcpy(h.session, in + AT_SESSION, SHMIG_SESSION_ID_BYTES);
    *hello = h;
    return 0;
}

uint16_t shmig_hello_version(const ShmigHello *ours, const ShmigHello *theirs)
{
    uint16_t high = MIN(ours->version_max, theirs->version_max);
    uint16_t low = MAX(ours->version_min, theirs->version_min);

    return high >= low ? high : 0;
}
