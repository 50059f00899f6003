/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entries into the guest: the multiboot header, the first CPU, the trampoline
 * that brings the other CPUs from real mode here, and the one interrupt
 * handler.
 *
 * No "iret" and nothing newer than an i486 anywhere: a KVM without hardware
 * paging may interpret the whole guest and know little more than that.
 */
#include "layout.h"

        .set    mb_magic, 0x1badb002
        .set    mb_flags, 2             /* memory map wanted */

        .text
        .code32
        .globl  _start
        .globl  timer_isr, spurious_isr
        .globl  trampoline, trampoline_end
        .globl  ap_stack_top, ap_index

/* Within the file's first 8 KiB, as multiboot wants it. */
        .align  4
        .long   mb_magic, mb_flags, -(mb_magic + mb_flags)

_start:
        cli
        cld
        movl    $boot_stack_top, %esp
        pushl   %ebx
        pushl   %eax
        call    segments_load
        call    guest_main
1:      cli
        hlt
        jmp     1b

/* Flat segments of our own: the loader's descriptors may be anywhere. */
segments_load:
        lgdt    gdt_pointer
        ljmp    $8, $1f
1:      movl    $16, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
        ret

/* Copied to TRAMPOLINE_ADDRESS; a CPU starts it with CS = address >> 4. */
trampoline:
        .code16
        cli
        cld
        movw    %cs, %ax
        movw    %ax, %ds
        lgdtl   (trampoline_gdt_pointer - trampoline)
        movl    %cr0, %eax
        orl     $1, %eax
        movl    %eax, %cr0
        ljmpl   $8, $ap_entry
        .align  4
trampoline_gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
trampoline_end:

        .code32
ap_entry:
        movl    $16, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
        movl    ap_stack_top, %esp
        pushl   ap_index
        call    ap_main
1:      cli
        hlt
        jmp     1b

/*
 * Only "hlt" runs with interrupts on.  Returning by "ret $8" drops CS and
 * EFLAGS from the frame, which is what "iret" would do between equal rings.
 */
timer_isr:
        movl    $0, LAPIC_ADDRESS + LAPIC_EOI
spurious_isr:
        pushl   8(%esp)
        popfl
        ret     $8

        .data
        .align  8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* code, flat, accessed */
        .quad   0x00cf93000000ffff      /* data, flat, accessed */
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt

        .bss
        .align  16
boot_stack:
        .space  16384
boot_stack_top:
ap_stack_top:
        .space  4
ap_index:
        .space  4

        .section .note.GNU-stack, "", @progbits
