/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buffers between TLS and a socket.
 *
 * `in` is filled only when it is empty: the implementation takes all there is
 * before it asks for more, as it keeps parts of records itself.  `out` grows
 * during a handshake, where a peer makes us say no more than it costs; later
 * nothing is encrypted but what fits.
 */
#include "shmig/io/tls.h"
#include "shmig/io/iov.h"

#include <errno.h>
#include <string.h>

/* An update of keys, which goes out in front of a record. */
#define SLACK_BYTES 256

static void resize(ShmigTlsBuffer *buffer, size_t size)
{
    size_t have = buffer->end - buffer->start;

    if (buffer->start) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, have);
    }
    buffer->start = 0;
    buffer->end = have;
    buffer->size = MAX(size, have);
    buffer->bytes = g_realloc(buffer->bytes, buffer->size);
}

static void drop(ShmigTlsBuffer *buffer, size_t bytes)
{
    buffer->start += bytes;
    if (buffer->start == buffer->end) {
        buffer->start = buffer->end = 0;
    }
}

void shmig_tls_init(ShmigTls *tls, const ShmigTlsOps *ops)
{
    tls->ops = ops;
    resize(&tls->in, SHMIG_TLS_SMALL_BYTES);
    resize(&tls->out, SHMIG_TLS_SMALL_BYTES);
}

void shmig_tls_destroy(ShmigTls *tls)
{
    g_free(tls->in.bytes);
    g_free(tls->out.bytes);
}

void shmig_tls_free(ShmigTls *tls)
{
    if (tls) {
        tls->ops->free(tls);
    }
}

void shmig_tls_creds_free(ShmigTlsCreds *creds)
{
    if (creds) {
        creds->ops->free(creds);
    }
}

ssize_t shmig_tls_pull(ShmigTls *tls, void *bytes, size_t n)
{
    n = MIN(n, tls->in.end - tls->in.start);
    if (!n) {
        return -EAGAIN;
    }
    memcpy(bytes, tls->in.bytes + tls->in.start, n);
    drop(&tls->in, n);
    return n;
}

ssize_t shmig_tls_push(ShmigTls *tls, const void *bytes, size_t n)
{
    ShmigTlsBuffer *out = &tls->out;

    if (n > out->size - out->end) {
        size_t need = out->end - out->start + n;

        if (need > SHMIG_TLS_MAX_FLIGHT) {
            return -ENOBUFS;
        }
        resize(out, MAX(out->size, need));
    }
    memcpy(out->bytes + out->end, bytes, n);
    out->end += n;
    return n;
}

void shmig_tls_settle(ShmigTls *tls, bool receives)
{
    resize(&tls->in, receives ? SHMIG_TLS_BULK_BYTES : SHMIG_TLS_SMALL_BYTES);
    resize(&tls->out, receives ? SHMIG_TLS_SMALL_BYTES : SHMIG_TLS_BULK_BYTES);
}

void *shmig_tls_space(ShmigTls *tls, size_t *bytes)
{
    g_assert(tls->in.end < tls->in.size);
    *bytes = tls->in.size - tls->in.end;
    return tls->in.bytes + tls->in.end;
}

void shmig_tls_received(ShmigTls *tls, size_t bytes)
{
    tls->in.end += bytes;
}

const void *shmig_tls_unsent(const ShmigTls *tls, size_t *bytes)
{
    *bytes = tls->out.end - tls->out.start;
    return tls->out.bytes + tls->out.start;
}

void shmig_tls_sent(ShmigTls *tls, size_t bytes)
{
    drop(&tls->out, bytes);
}

static bool has_room(const ShmigTls *tls)
{
    return tls->out.size - tls->out.end >= SHMIG_TLS_RECORD_BYTES + SLACK_BYTES;
}

/*
 * A page that the guest writes while it is copied is copied again, which the
 * thread sanitizer cannot know, and it looks into memcpy().
 */
#ifdef __SANITIZE_THREAD__
__attribute__((no_sanitize_thread)) static void copy_live(
    uint8_t *to, const volatile uint8_t *from, size_t n)
{
    while (n--) {
        *to++ = *from++;
    }
}
#else
#define copy_live(to, from, n) memcpy(to, from, n)
#endif

/*
 * Puts pieces together into @plain, up to a record's worth.  They may be
 * memory of the guest: what is encrypted has to hold still, as some ciphers
 * read it twice.
 */
static size_t gather(uint8_t *plain, struct iovec *iov, unsigned *at,
                     unsigned n)
{
    size_t have = 0;

    while (*at < n && have < SHMIG_TLS_PLAIN_BYTES) {
        size_t take = MIN(iov[*at].iov_len, SHMIG_TLS_PLAIN_BYTES - have);

        copy_live(plain + have, iov[*at].iov_base, take);
        have += take;
        shmig_iov_advance(iov, at, n, take);
    }
    return have;
}

int shmig_tls_encrypt(ShmigTls *tls, struct iovec *iov, unsigned *at,
                      unsigned n)
{
    uint8_t plain[SHMIG_TLS_PLAIN_BYTES];
    int ret = 0;

    while (ret == 0 && *at < n && has_room(tls)) {
        size_t bytes = gather(plain, iov, at, n);

        ret = bytes ? tls->ops->encrypt(tls, plain, bytes) : 0;
    }
    return ret;
}

const char *shmig_tls_strerror(int err)
{
    switch (err) {
    case -EBADMSG:
        return "what came does not decrypt; it was changed on its way, or is "
               "not TLS";
    case -ECONNRESET:
        return "it was cut, or the peer gave up";
    default:
        return g_strerror(-err);
    }
}
