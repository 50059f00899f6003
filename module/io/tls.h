/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS between a connection and its socket: an ops table, so that the library
 * which does it is the embedder's (QEMU's is GnuTLS, by its credentials
 * objects).
 *
 * Encrypted bytes are in two buffers.  Whoever has the socket fills `in` and
 * empties `out`; the implementation takes from the one with shmig_tls_pull()
 * and adds to the other with shmig_tls_push(), and never waits.
 *
 * A ShmigTls is used by one thread at a time: the one that says hello, and
 * then its channel's.
 */
#ifndef SHMIG_IO_TLS_H
#define SHMIG_IO_TLS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* What a record holds at most, and may come to when it is encrypted. */
#define SHMIG_TLS_PLAIN_BYTES (16u << 10)
#define SHMIG_TLS_RECORD_BYTES (SHMIG_TLS_PLAIN_BYTES + 256 + 5)
/*
 * The two buffers, of which one is for bulk data: four records.  What the
 * library takes besides is counted in shmig/session/memory.c.
 */
#define SHMIG_TLS_SMALL_BYTES (20u << 10)
#define SHMIG_TLS_BULK_BYTES (66u << 10)
/* The flight of a handshake, certificates included. */
#define SHMIG_TLS_MAX_FLIGHT (256u << 10)

typedef struct ShmigTls ShmigTls;

typedef struct ShmigTlsOps {
    /*
     * Goes on with the handshake as far as `in` goes.  Returns 1: it is
     * complete; 0: more has to come; -1 with an error.  What there is in
     * `out` has to be sent in each case.  No version but 1.3 is spoken.
     */
    int (*handshake)(ShmigTls *tls, GError **errp);
    /*
     * After the handshake: whether the peer is who it has to be.  May block,
     * like all on the control path.
     */
    bool (*check)(ShmigTls *tls, GError **errp);
    /*
     * Adds a record with these @bytes (1 to SHMIG_TLS_PLAIN_BYTES) to `out`,
     * which has room for it.  They do not change meanwhile.  0 or
     * -errno.
     */
    int (*encrypt)(ShmigTls *tls, const void *plain, size_t bytes);
    /*
     * Up to @bytes of what came: how many; 0 at the peer's own end
     * (close_notify); -EAGAIN if all of `in` was taken and more has to come;
     * any other -errno for good: -EBADMSG is a record that was changed.
     */
    ssize_t (*decrypt)(ShmigTls *tls, void *plain, size_t bytes);
    /* Adds to `out` that nothing follows.  0 or -errno. */
    int (*bye)(ShmigTls *tls);
    void (*free)(ShmigTls *tls);
} ShmigTlsOps;

typedef struct ShmigTlsBuffer {
    uint8_t *bytes;
    size_t start, end; /* what it holds */
    size_t size;
} ShmigTlsBuffer;

/* Embedded in what an implementation allocates. */
struct ShmigTls {
    const ShmigTlsOps *ops;
    ShmigTlsBuffer in, out;
    bool heard; /* the peer said something */
};

/* What one side's connections are secured with. */
typedef struct ShmigTlsCreds ShmigTlsCreds;

typedef struct ShmigTlsCredsOps {
    /* For one connection: of the client at the source, of the server at the
     * destination.  Any thread. */
    ShmigTls *(*connect)(ShmigTlsCreds *creds, GError **errp);
    void (*free)(ShmigTlsCreds *creds);
} ShmigTlsCredsOps;

struct ShmigTlsCreds {
    const ShmigTlsCredsOps *ops;
};

/* --- for implementations --- */

void shmig_tls_init(ShmigTls *tls, const ShmigTlsOps *ops);
void shmig_tls_destroy(ShmigTls *tls);
/* How many bytes were taken, or -EAGAIN: there are none. */
ssize_t shmig_tls_pull(ShmigTls *tls, void *bytes, size_t n);
/* All of them, or -ENOBUFS. */
ssize_t shmig_tls_push(ShmigTls *tls, const void *bytes, size_t n);

/* --- for whoever has the socket --- */

/* NULL is fine. */
void shmig_tls_free(ShmigTls *tls);
/* NULL is fine. */
void shmig_tls_creds_free(ShmigTlsCreds *creds);
/* The handshake is over; @receives: bulk data comes, else it goes. */
void shmig_tls_settle(ShmigTls *tls, bool receives);
/* Where received bytes go, and how many of them may. */
void *shmig_tls_space(ShmigTls *tls, size_t *bytes);
void shmig_tls_received(ShmigTls *tls, size_t bytes);
/* What waits to be sent. */
const void *shmig_tls_unsent(const ShmigTls *tls, size_t *bytes);
void shmig_tls_sent(ShmigTls *tls, size_t bytes);
/*
 * Encrypts as much of iov[*at..n) as there is room for, pieces of all sizes
 * put together, and moves on there.  What they hold may change meanwhile.  0
 * or -errno.
 */
int shmig_tls_encrypt(ShmigTls *tls, struct iovec *iov, unsigned *at,
                      unsigned n);
/* What an error of encrypt() or decrypt() says about the connection. */
const char *shmig_tls_strerror(int err);

#endif
