/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The error domain of the library. */
#include "shmig/base/error.h"

G_DEFINE_QUARK(shmig-error-quark, shmig_error)
