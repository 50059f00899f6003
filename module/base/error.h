/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The error domain of the library. */
#ifndef SHMIG_BASE_ERROR_H
#define SHMIG_BASE_ERROR_H

#include <glib.h>

#define SHMIG_ERROR (shmig_error_quark())
GQuark shmig_error_quark(void);

typedef enum ShmigErrorCode {
    SHMIG_ERROR_PROTOCOL,  /* the peer broke the protocol */
    SHMIG_ERROR_REFUSED,   /* the peer refused, in its own words */
    SHMIG_ERROR_PEER,      /* the peer gave up, in its own words */
    SHMIG_ERROR_LOST,      /* a connection ended or timed out */
    SHMIG_ERROR_RAM,       /* a RAM region, or its tracker */
    SHMIG_ERROR_DISK,      /* a disk could not be read or written */
    SHMIG_ERROR_CANCELLED, /* we gave up because we were asked to */
    SHMIG_ERROR_SYSTEM,    /* threads, rings, sockets */
    SHMIG_ERROR_LIMIT,     /* more of something than there may be */
} ShmigErrorCode;

#endif
