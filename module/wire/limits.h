/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every size and limit of the protocol: docs/protocol.md in numbers. */
#ifndef SHMIG_WIRE_LIMITS_H
#define SHMIG_WIRE_LIMITS_H

#include "shmig/base/stripe.h"
#include "shmig/base/units.h"

#define SHMIG_VERSION_MIN 1
#define SHMIG_VERSION_MAX 1

#define SHMIG_HELLO_BYTES 64
#define SHMIG_SESSION_ID_BYTES 16
#define SHMIG_FRAME_BYTES 32
#define SHMIG_RECORD_BYTES 24

#define SHMIG_MAX_RECORDS 512        /* in one DATA frame */
#define SHMIG_MAX_PAYLOAD (1u << 20) /* bytes of one DATA frame */
#define SHMIG_MAX_BODY (1u << 20)    /* bytes of OFFER and ANSWER */
#define SHMIG_MAX_STREAM_BODY (64u << 10)
#define SHMIG_STREAM_WINDOW (1u << 20) /* bytes of stream without credit */
#define SHMIG_APPLIED_STEP (2u << 20)  /* bytes that APPLIED is sent for */

#define SHMIG_MAX_NAME 255  /* bytes of a RAM block or device id */
#define SHMIG_MAX_TEXT 1024 /* bytes of one sentence */
#define SHMIG_MAX_IDENTITY 255
#define SHMIG_MAX_RAM_BLOCKS 1024
#define SHMIG_MAX_DISKS 256
#define SHMIG_MAX_KEPT 1024 /* identities of storage that does not travel */
#define SHMIG_MAX_CHANNELS 64
#define SHMIG_MAX_PROBLEMS 64

#define SHMIG_MAX_REGION_BYTES INT64_MAX /* fits every off_t */
#define SHMIG_MIN_PAGE_BYTES SHMIG_PAGE_BYTES
#define SHMIG_MAX_PAGE_BYTES (1u << 31)

#endif
