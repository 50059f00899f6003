#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the test guest: build.sh OUTPUT SOURCE_DIR [COMPILER...]
#
# Needs a compiler that can do -m32 and has its own headers; no 32-bit
# libraries.
set -eu

if [ $# -lt 2 ]; then
    echo "usage: $0 OUTPUT SOURCE_DIR [COMPILER...]" >&2
    exit 2
fi
output=$1
dir=$2
shift 2
[ $# -gt 0 ] || set -- gcc

headers=$("$@" -m32 -print-file-name=include)
exec "$@" -m32 -march=i486 -mtune=generic -std=gnu11 -O2 -g0 -Wall -Wextra -Werror \
    -Wmissing-prototypes -Wstrict-prototypes -Wshadow \
    -ffreestanding -nostdlib -nostdinc -isystem "$headers" \
    -fno-pic -static -fno-stack-protector -fcf-protection=none \
    -fno-asynchronous-unwind-tables -fno-strict-aliasing \
    -mno-mmx -mno-sse \
    -Wl,--build-id=none -Wl,-Ttext=0x100000 -Wl,-n -Wl,-z,noexecstack \
    -Wl,--no-warn-rwx-segments \
    -I "$dir" -o "$output" "$dir/start.S" "$dir"/[a-z]*.c
