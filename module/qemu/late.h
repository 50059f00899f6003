/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RAM that devices write while the guest is stopped for the switch-over. */
#ifndef SHMIG_QEMU_LATE_H
#define SHMIG_QEMU_LATE_H

/*
 * Registers the handler that sends it, right before the devices' state.  To
 * be called after shmig_register_savevm(): handlers run in that order.
 */
void shmig_register_late(void);

#endif
