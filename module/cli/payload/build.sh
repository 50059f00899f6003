#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Compiles the bench's guest into a C header: build.sh OUTPUT SOURCE_DIR CC...
set -eu
output=$1
dir=$2
shift 2
headers=$("$@" -print-file-name=include)

# build BITS FLAG…: prints the array payload_BITS.
build() {
    bits=$1
    shift
    binary=$output.$bits
    "$@" -std=gnu11 -O2 -g0 -Wall -Wextra -Werror \
        -ffreestanding -nostdlib -nostdinc -isystem "$headers" \
        -fno-pic -no-pie -static -fno-stack-protector -fcf-protection=none \
        -fno-asynchronous-unwind-tables -fno-jump-tables \
        -fno-strict-aliasing -fno-tree-vectorize -fno-sanitize=all -mgeneral-regs-only \
        -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--oformat=binary \
        -Wl,-T,"$dir/payload.ld" -o "$binary" "$dir/payload.c"
    echo "static const unsigned char payload_$bits[] = {"
    od -An -v -tx1 "$binary" | sed 's/ \(..\)/0x\1,/g'
    echo "};"
    rm -f "$binary"
}

{
    echo "/* SPDX-License-Identifier: GPL-2.0-or-later */"
    echo "/* The bench's guest, compiled from payload.c. */"
    build 32 "$@" -m32 -march=i486 -mtune=generic -mregparm=3
    build 64 "$@" -m64 -mno-red-zone
} >"$output.new"
mv "$output.new" "$output"
