/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's one GuestState, at its fixed address. */
#ifndef GUEST_STATE_H
#define GUEST_STATE_H

#include "guest-protocol.h"

static GuestState *const state = (GuestState *)GUEST_STATE_ADDRESS;

#endif
