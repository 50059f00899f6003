/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines in and out of COM1 by polling.
 *
 * Each port access may cost 10 us, so the FIFO is filled sixteen bytes at a
 * time after one look at the line status.
 */
#include <stdarg.h>

#include "console.h"
#include "cpu.h"

#define COM1 0x3f8
#define COM1_DATA (COM1 + 0)
#define COM1_FIFO (COM1 + 2)
#define COM1_LINE_CONTROL (COM1 + 3)
#define COM1_MODEM_CONTROL (COM1 + 4)
#define COM1_STATUS (COM1 + 5)
#define STATUS_RECEIVED 0x01
#define STATUS_CAN_SEND 0x20
#define FIFO_BYTES 16

#define RING_BYTES 8192u /* a power of two */
#define LINE_BYTES 200u

static char ring[RING_BYTES];
static uint32_t ring_head, ring_tail; /* free running */
static uint32_t dropped;

static char typed[LINE_BYTES];
static uint32_t typed_length;
static bool typed_done;

typedef struct Line {
    char text[LINE_BYTES];
    uint32_t length;
} Line;

void console_init(void)
{
    out8(COM1 + 1, 0);             /* no interrupts */
    out8(COM1_LINE_CONTROL, 0x80); /* divisor */
    out8(COM1 + 0, 1);             /* 115200 baud */
    out8(COM1 + 1, 0);
    out8(COM1_LINE_CONTROL, 0x03); /* 8n1 */
    out8(COM1_FIFO, 0x07);
    out8(COM1_MODEM_CONTROL, 0x03);
}

static void put_char(Line *line, char c)
{
    /* One byte stays free for the line's end. */
    if (line->length < LINE_BYTES - 1) {
        line->text[line->length++] = c;
    }
}

static void put_string(Line *line, const char *s)
{
    while (*s) {
        put_char(line, *s++);
    }
}

static void put_decimal(Line *line, uint64_t value)
{
    char digits[20];
    uint32_t n = 0, digit;

    do {
        value = divide(value, 10, &digit);
        digits[n++] = '0' + digit;
    } while (value);
    while (n) {
        put_char(line, digits[--n]);
    }
}

static void put_signed(Line *line, int64_t value)
{
    if (value < 0) {
        put_char(line, '-');
        value = -value;
    }
    put_decimal(line, value);
}

static void put_hex(Line *line, uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4) {
        put_char(line, "0123456789abcdef"[value >> shift & 15]);
    }
}

static void format_line(Line *line, const char *f, va_list args)
{
    line->length = 0;
    for (; *f; f++) {
        if (*f != '%') {
            put_char(line, *f);
            continue;
        }
        switch (*++f) {
        case 'u':
            put_decimal(line, va_arg(args, uint32_t));
            break;
        case 'U':
            put_decimal(line, va_arg(args, uint64_t));
            break;
        case 'D':
            put_signed(line, va_arg(args, int64_t));
            break;
        case 'x':
            put_hex(line, va_arg(args, uint32_t));
            break;
        case 's':
            put_string(line, va_arg(args, const char *));
            break;
        case 'c':
            put_char(line, (char)va_arg(args, int));
            break;
        }
    }
    line->text[line->length++] = '\n';
}

static void queue_line(const Line *line, uint32_t room)
{
    if (RING_BYTES - (ring_head - ring_tail) < line->length + room) {
        dropped++;
        return;
    }
    for (uint32_t i = 0; i < line->length; i++) {
        ring[ring_head++ % RING_BYTES] = line->text[i];
    }
}

void console_line(const char *format, ...)
{
    Line line;
    va_list args;

    va_start(args, format);
    format_line(&line, format, args);
    va_end(args);
    queue_line(&line, 0);
    console_push();
}

void console_heartbeat(const char *format, ...)
{
    Line line;
    va_list args;

    va_start(args, format);
    format_line(&line, format, args);
    va_end(args);
    queue_line(&line, RING_BYTES / 2);
    console_push();
}

void console_push(void)
{
    while (ring_head != ring_tail && (in8(COM1_STATUS) & STATUS_CAN_SEND)) {
        for (uint32_t i = 0; i < FIFO_BYTES && ring_head != ring_tail; i++) {
            out8(COM1_DATA, ring[ring_tail++ % RING_BYTES]);
        }
    }
}

bool console_busy(void)
{
    return ring_head != ring_tail;
}

const char *console_poll_line(void)
{
    if (typed_done) {
        typed_done = false;
        typed_length = 0;
    }
    while (in8(COM1_STATUS) & STATUS_RECEIVED) {
        char c = in8(COM1_DATA);

        if (c == '\n' || c == '\r') {
            if (typed_length == 0) {
                continue;
            }
            typed[typed_length] = 0;
            typed_done = true;
            return typed;
        }
        if (typed_length < LINE_BYTES - 1) {
            typed[typed_length++] = c;
        }
    }
    return NULL;
}

uint32_t console_dropped(void)
{
    return dropped;
}
