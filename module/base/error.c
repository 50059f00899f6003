/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The error domain of the library. */
#include "shmig/base/error.h"

/* Not G_DEFINE_QUARK: its cache is filled without a lock. */
GQuark shmig_error_quark(void)
{
    return g_quark_from_static_string("shmig-error-quark");
}
