/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps as arrays of 64-bit words.
 *
 * The search is compiled twice, for vectors that every machine has and for
 * AVX2, and chosen when it is called: both are the same loop.  It asks for
 * the memory ahead of it itself, since processors do not do so beyond a page
 * of theirs, and forget what they were up to at each word that is not 0.
 */
#include <stdbool.h>
#include <sys/mman.h>

#include <glib.h>

#include "shmig/dirty/bitmap.h"

/*
 * From this size on, pages of their own.  The kernel copies its log into
 * ours, from the start of a page; on some processors (AMD from Zen 3 on) that
 * is several times slower when the target begins some bytes after a page
 * does, as what malloc() returns does.
 */
#define LARGE_BYTES (UINT64_C(64) << 10)

/* A huge page, wherever there are any of less than 1 GiB. */
#define HUGE_BYTES (UINT64_C(2) << 20)

/* What is read between two decisions: two cache lines. */
#define STEP_WORDS 16u
#define VECTOR_WORDS 4u

/* How far ahead memory is asked for: the latency at some 20 GB/s. */
#define AHEAD_BYTES 4096u

/*
 * Bits are set while they are looked for: no tool that looks for data races
 * can know that this is meant.  A word is read as a whole: the compiler
 * splits no vector into less, and no x86 an aligned one.
 */
#define READS_LIVE_MEMORY __attribute__((no_sanitize_thread))
#define IN_BOTH READS_LIVE_MEMORY __attribute__((always_inline)) static inline

typedef uint64_t Vector __attribute__((vector_size(32), aligned(8)));

static uint64_t *map_words(uint64_t bytes)
{
    uint64_t spare = bytes >= HUGE_BYTES ? HUGE_BYTES : 0;
    uint8_t *at = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t before;

    if (at == MAP_FAILED) {
        /* As GLib does for all other memory. */
        g_error("%s: no memory for a bitmap of %" G_GUINT64_FORMAT " bytes",
                G_STRLOC, bytes);
    }
    if (spare) {
        before = -(uintptr_t)at % HUGE_BYTES;
        if (before) {
            munmap(at, before);
        }
        if (before < spare) {
            munmap(at + before + bytes, spare - before);
        }
        at += before;
        /* Refused where the kernel has none: then there are none. */
        madvise(at, bytes, MADV_HUGEPAGE);
    }
    return (uint64_t *)at;
}

/* In whole pages, of whatever size. */
static uint64_t map_bytes(uint64_t n_words)
{
    return (n_words * sizeof(uint64_t) + LARGE_BYTES - 1) & ~(LARGE_BYTES - 1);
}

uint64_t *shmig_bitmap_new(uint64_t n_words)
{
    return n_words * sizeof(uint64_t) < LARGE_BYTES
               ? g_new0(uint64_t, n_words)
               : map_words(map_bytes(n_words));
}

void shmig_bitmap_free(uint64_t *words, uint64_t n_words)
{
    if (n_words * sizeof(uint64_t) < LARGE_BYTES) {
        g_free(words);
    } else if (words) {
        munmap(words, map_bytes(n_words));
    }
}

IN_BOTH bool is_zero(const Vector *v)
{
    return ((*v)[0] | (*v)[1] | (*v)[2] | (*v)[3]) == 0;
}

/*
 * From a word on that begins a vector: to the first vector that is not 0, or
 * to where less than a step is left.
 */
IN_BOTH uint64_t next_vector(const uint64_t *words, uint64_t word, uint64_t end)
{
    for (; end - word >= STEP_WORDS; word += STEP_WORDS) {
        const Vector *v = (const Vector *)(words + word);
        Vector any = (v[0] | v[1]) | (v[2] | v[3]);

        if (!is_zero(&any)) {
            unsigned i = 0;

            while (i < STEP_WORDS / VECTOR_WORDS - 1 && is_zero(&v[i])) {
                i++;
            }
            return word + i * VECTOR_WORDS;
        }
        /* Past the end, too: it faults nowhere. */
        __builtin_prefetch((const uint8_t *)v + AHEAD_BYTES);
        __builtin_prefetch((const uint8_t *)v + AHEAD_BYTES + 64);
    }
    return word;
}

IN_BOTH uint64_t next_word(const uint64_t *words, uint64_t word, uint64_t end)
{
    while (word < end && !__atomic_load_n(&words[word], __ATOMIC_RELAXED)) {
        word++;
    }
    return word;
}

IN_BOTH uint64_t next_in(const uint64_t *words, uint64_t word, uint64_t end)
{
    /* So that no vector is in two cache lines. */
    uint64_t before = -((uintptr_t)(words + word) / 8) % VECTOR_WORDS;
    uint64_t aligned = word + MIN(before, end - word);

    word = next_word(words, word, aligned);
    if (word < aligned || word == end) {
        return word;
    }
    return next_word(words, next_vector(words, word, end), end);
}

READS_LIVE_MEMORY
uint64_t shmig_bitmap_next_baseline(const uint64_t *words, uint64_t word,
                                    uint64_t end)
{
    return next_in(words, word, end);
}

#ifdef __x86_64__
READS_LIVE_MEMORY __attribute__((target("avx2"))) static uint64_t next_avx2(
    const uint64_t *words, uint64_t word, uint64_t end)
{
    return next_in(words, word, end);
}
#endif

uint64_t shmig_bitmap_next(const uint64_t *words, uint64_t word, uint64_t end)
{
    if (word >= end) {
        return end;
    }
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        return next_avx2(words, word, end);
    }
#endif
    return next_in(words, word, end);
}
