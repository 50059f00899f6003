#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes what QEMU boots as the Linux guest: DIR/vmlinuz and DIR/initrd.
#
# Kernel and busybox are Debian's packages, from the archive that the host
# itself uses; they are kept in the cache, unpacked and not installed.  Exits
# with 77 and a sentence where they cannot be had.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
dir=${1:?usage: make-initramfs.sh DIR}
cache=${SHMIG_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/shmig}/linux

# Drivers the guest needs; those built into the kernel are not in modules.dep.
drivers="virtio_pci virtio_blk ext4 virtio_mem virtio_balloon"

cannot() {
    echo "no Linux guest: $*" >&2
    exit 77
}

# unpacked PACKAGE: sees to it that it is in $cache/PACKAGE.
unpacked() {
    if [ -d "$cache/$1" ]; then
        return 0
    fi
    mkdir -p "$cache"
    part=$(mktemp -d "$cache/part.XXXXXX")
    if ! (cd "$part" && apt-get download "$1") >"$part/log" 2>&1; then
        reason=$(grep '^E:' "$part/log" | head -n 1) || :
        rm -rf "$part"
        cannot "package $1 cannot be downloaded (${reason:-no reason given});" \
            "try apt-get update"
    fi
    mkdir "$part/root"
    dpkg-deb -x "$part"/*.deb "$part/root"
    # Whoever else did the same at the same time has the same.
    mv -T "$part/root" "$cache/$1" 2>/dev/null || [ -d "$cache/$1" ]
    rm -rf "$part"
}

# The package of a certain version, which the one without depends on; without
# lists of packages, the last one that was downloaded.
kernel_package() {
    found=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    if [ -z "$found" ]; then
        for found in "$cache"/linux-image-*; do
            :
        done
        [ -d "$found" ] || found=
    fi
    printf '%s\n' "${found##*/}"
}

# driver_files TREE VERSION: their files, each after those it depends on.
# shellcheck disable=SC2016 # variables of awk
driver_files() {
    "$busybox" depmod -b "$1" "$2"
    for driver in $drivers; do
        "$busybox" awk -F: -v name="/$driver.ko" '
            substr($1, length($1) - length(name) + 1) == name {
                n = split($2, needs, " ")
                while (n)
                    print needs[n--]
                print $1
            }' "$1/lib/modules/$2/modules.dep"
    done | "$busybox" awk '!seen[$0]++'
}

for tool in apt-get apt-cache dpkg-deb; do
    command -v $tool >/dev/null ||
        cannot "its kernel is a Debian package, and there is no $tool here"
done
package=$(kernel_package)
[ -n "$package" ] ||
    cannot "apt knows no package linux-image-cloud-amd64; try apt-get update"
unpacked "$package"
unpacked busybox-static
busybox=$cache/busybox-static/bin/busybox
version=${package#linux-image-}

root=$(mktemp -d "$dir/root.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir "$root/tree" "$root/tree/bin" "$root/tree/dev" "$root/tree/disk" \
    "$root/tree/modules" "$root/tree/proc" "$root/tree/run" "$root/host"
# depmod writes beside the modules, and the cache is everybody's.
mkdir -p "$root/host/lib/modules"
cp -a "$cache/$package/lib/modules/$version" "$root/host/lib/modules/"
driver_files "$root/host" "$version" >"$root/files"
while read -r file; do
    cp "$root/host/lib/modules/$version/$file" \
        "$root/tree/modules/"
    echo "${file##*/}"
done <"$root/files" >"$root/tree/modules/order"
cp "$busybox" "$root/tree/bin/"
cp "$here/init" "$root/tree/init"
chmod 755 "$root/tree/init"
(cd "$root/tree" && "$busybox" find . | "$busybox" cpio -o -H newc) \
    2>"$root/log" | gzip >"$dir/initrd"
cp "$cache/$package/boot/vmlinuz-$version" "$dir/vmlinuz"
