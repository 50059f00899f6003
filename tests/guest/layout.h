/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fixed addresses of the guest, for C and assembly.
 *
 *   0x00008000  trampoline of the other CPUs
 *   0x00100000  the guest's program, data and stacks
 *   0x00200000  GuestState (guest-protocol.h)
 *   0x01000000  tables and buffers, then the template, then the filled
 *               memory, then the untouched memory
 */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#define TRAMPOLINE_ADDRESS 0x8000
#define HEAP_ADDRESS 0x1000000

#define LAPIC_ADDRESS 0xfee00000
#define LAPIC_EOI 0xb0

#endif
