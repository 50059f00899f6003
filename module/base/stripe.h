/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The unit that never changes its connection; docs/protocol.md, "Stripes". */
#ifndef SHMIG_BASE_STRIPE_H
#define SHMIG_BASE_STRIPE_H

#define SHMIG_STRIPE_BYTES (2u << 20)

#endif
