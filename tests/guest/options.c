/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KEY=VALUE options: one table names them all with their limits. */
#include <stddef.h>

#include "options.h"
#include "guest-protocol.h"

Options options = {
    .seed = 1,
    .memory_mib = 32,
    .template_mib = 1,
    .disk_mib = 16,
    .depth = 8,
    .hz = 250,
    .pattern = PATTERN_RANDOM,
    .hot = 10,
    .write_bytes = 4096,
    .flush = 64,
    .tick_ms = 10,
};

typedef enum Kind {
    KIND_NUMBER,
    KIND_FLAG,
    KIND_RATE,    /* a number, or "max" */
    KIND_PATTERN, /* "seq", "rand" or "hot" */
    KIND_ORDER,   /* "seq" or "rand" */
    KIND_SIZE,    /* bytes in whole sectors, or "mixed" */
} Kind;

typedef struct Option {
    const char *name;
    Kind kind;
    bool fixed;
    uint32_t min, max;
    void *target;
} Option;

static const Option table[] = {
    { "seed", KIND_NUMBER, true, 0, UINT32_MAX, &options.seed },
    { "mem", KIND_NUMBER, true, 1, 3500, &options.memory_mib },
    { "zero", KIND_NUMBER, true, 0, 3500, &options.zero_mib },
    { "tmpl", KIND_NUMBER, true, 1, 1024, &options.template_mib },
    { "disk", KIND_NUMBER, true, 0, 65536, &options.disk_mib },
    { "doff", KIND_NUMBER, true, 0, 1 << 20, &options.disk_first_mib },
    { "blank", KIND_FLAG, true, 0, 1, &options.blank },
    { "prefill", KIND_FLAG, true, 0, 1, &options.prefill },
    { "qd", KIND_NUMBER, true, 1, GUEST_MAX_SLOTS, &options.depth },
    { "hz", KIND_NUMBER, true, 10, 10000, &options.hz },
    { "dirty", KIND_RATE, false, 0, 100000000, &options.dirty },
    { "span", KIND_NUMBER, false, 0, 3500, &options.span_mib },
    { "pattern", KIND_PATTERN, false, 0, 0, &options.pattern },
    { "hot", KIND_NUMBER, false, 1, 100, &options.hot },
    { "write", KIND_RATE, false, 0, 10000000, &options.write },
    { "wsize", KIND_SIZE, false, 512, 65536, &options.write_bytes },
    { "worder", KIND_ORDER, false, 0, 0, &options.sequential },
    { "flush", KIND_NUMBER, false, 0, UINT32_MAX, &options.flush },
    { "wz", KIND_NUMBER, false, 0, UINT32_MAX, &options.zero },
    { "discard", KIND_NUMBER, false, 0, UINT32_MAX, &options.discard },
    { "read", KIND_NUMBER, false, 0, UINT32_MAX, &options.read },
    { "overlap", KIND_FLAG, false, 0, 1, &options.overlap },
    { "tick", KIND_NUMBER, false, 0, 60000, &options.tick_ms },
    { "spin", KIND_FLAG, false, 0, 1, &options.spin },
};

static bool equal(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* The value after "name=" if `text` begins so, else NULL. */
static const char *value_of(const char *text, const char *name)
{
    while (*name && *text == *name) {
        text++;
        name++;
    }
    return !*name && *text == '=' ? text + 1 : NULL;
}

static bool parse_number(const char *s, uint32_t *result)
{
    uint64_t n = 0;

    if (!*s) {
        return false;
    }
    for (; *s; s++) {
        if (*s < '0' || *s > '9') {
            return false;
        }
        n = n * 10 + (*s - '0');
        if (n > UINT32_MAX) {
            return false;
        }
    }
    *result = n;
    return true;
}

static const char *set_word(const Option *o, const char *value)
{
    bool seq = equal(value, "seq"), random = equal(value, "rand");

    if (o->kind == KIND_ORDER && (seq || random)) {
        *(bool *)o->target = seq;
        return NULL;
    }
    if (o->kind == KIND_PATTERN && (seq || random || equal(value, "hot"))) {
        *(Pattern *)o->target = seq      ? PATTERN_SEQUENTIAL
                                : random ? PATTERN_RANDOM
                                         : PATTERN_HOT;
        return NULL;
    }
    return "unknown word";
}

static const char *set_value(const Option *o, const char *value)
{
    uint32_t n;

    if (o->kind == KIND_ORDER || o->kind == KIND_PATTERN) {
        return set_word(o, value);
    }
    if (o->kind == KIND_RATE && equal(value, "max")) {
        *(uint32_t *)o->target = RATE_MAX;
        return NULL;
    }
    if (o->kind == KIND_SIZE && equal(value, "mixed")) {
        *(uint32_t *)o->target = 0;
        return NULL;
    }
    if (!parse_number(value, &n)) {
        return "not a number";
    }
    if (n < o->min || n > o->max) {
        return "out of range";
    }
    if (o->kind == KIND_SIZE && n % GUEST_SECTOR_BYTES) {
        return "not whole sectors";
    }
    if (o->kind == KIND_FLAG) {
        *(bool *)o->target = n;
    } else {
        *(uint32_t *)o->target = n;
    }
    return NULL;
}

const char *options_set(const char *text, bool running)
{
    for (uint32_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *value = value_of(text, table[i].name);

        if (value) {
            return running && table[i].fixed ? "fixed at the start"
                                             : set_value(&table[i], value);
        }
    }
    return "unknown option";
}

const char *options_parse(char *line, const char **why)
{
    bool first = true;

    while (*line) {
        char *word = line;

        while (*line && *line != ' ') {
            line++;
        }
        if (*line) {
            *line++ = 0;
        }
        if (*word && !first) {
            *why = options_set(word, false);
            if (*why) {
                return word;
            }
        }
        first = false;
    }
    return NULL;
}
