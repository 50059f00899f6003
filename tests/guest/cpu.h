/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single instructions the guest needs, and the string operations.
 *
 * The string operations are the "rep" instructions themselves: one
 * instruction for a page is what keeps the guest usable where each
 * instruction is interpreted.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdint.h>
#include <stdbool.h>
#include <stddef.h>

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint64_t rdtsc(void)
{
    uint64_t value;

    __asm__ volatile("rdtsc" : "=A"(value));
    return value;
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/* Sleeps until an interrupt; the only place where interrupts are on. */
static inline void cpu_halt(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

static inline void compiler_barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

/* Orders an earlier store before a later load; "mfence" is too new here. */
static inline void full_barrier(void)
{
    __asm__ volatile("lock; addl $0, (%%esp)" : : : "memory", "cc");
}

static inline void words_set(void *to, uint32_t value, uint32_t words)
{
    __asm__ volatile("rep stosl"
                     : "+D"(to), "+c"(words)
                     : "a"(value)
                     : "memory");
}

static inline void words_copy(void *to, const void *from, uint32_t words)
{
    __asm__ volatile("rep movsl"
                     : "+D"(to), "+S"(from), "+c"(words)
                     :
                     : "memory");
}

/* Whether two areas of `words` (at least one) words are equal. */
static inline bool words_equal(const void *a, const void *b, uint32_t words)
{
    bool equal;

    __asm__ volatile("repe cmpsl; sete %3"
                     : "+D"(a), "+S"(b), "+c"(words), "=qm"(equal)
                     :
                     : "memory", "cc");
    return equal;
}

/* Whether each of `words` (at least one) words is zero. */
static inline bool words_zero(const void *a, uint32_t words)
{
    bool zero;

    __asm__ volatile("repe scasl; sete %2"
                     : "+D"(a), "+c"(words), "=qm"(zero)
                     : "a"(0)
                     : "memory", "cc");
    return zero;
}

static inline uint32_t mul_high(uint32_t a, uint32_t b)
{
    return ((uint64_t)a * b) >> 32;
}

/* 64 by 32 bits without libgcc; returns the quotient, stores the remainder. */
static inline uint64_t divide(uint64_t n, uint32_t d, uint32_t *remainder)
{
    uint32_t high = n >> 32, low = n, quotient_high = 0, rest = high;

    if (high >= d) {
        quotient_high = high / d;
        rest = high % d;
    }
    __asm__("divl %2" : "+a"(low), "+d"(rest) : "rm"(d) : "cc");
    if (remainder) {
        *remainder = rest;
    }
    return (uint64_t)quotient_high << 32 | low;
}

#endif
