/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first byte of a connection, by which TLS is told from plain. */
#ifndef SHMIG_WIRE_TLS_RECORD_H
#define SHMIG_WIRE_TLS_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#define SHMIG_TLS_RECORD_ALERT 0x15
#define SHMIG_TLS_RECORD_HANDSHAKE 0x16

/* Whether @byte is what a client's TLS begins with. */
static inline bool shmig_tls_record_is_client(uint8_t byte)
{
    return byte == SHMIG_TLS_RECORD_HANDSHAKE;
}

/* Whether @byte may be the first that a server's TLS answers. */
static inline bool shmig_tls_record_may_begin(uint8_t byte)
{
    return byte == SHMIG_TLS_RECORD_HANDSHAKE || byte == SHMIG_TLS_RECORD_ALERT;
}

#endif
