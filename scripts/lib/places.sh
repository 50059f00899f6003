# SPDX-License-Identifier: GPL-2.0-or-later
# Where things are.  Sourced after $top, the root of the checkout, is set.

case $top in
*[!A-Za-z0-9_./+~@-]*)
    # QEMU's configure and pkg-config split such paths.
    fail "the path $top has a blank or a special character in it;" \
        "move the checkout to a path of letters, digits and _.+~@-"
    ;;
esac

# Downloads and compiler results, shared by all checkouts of this user.
cache=${SHMIG_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/shmig}

build=$top/build                # meson's directory of the core library
prefix=$build/prefix            # where QEMU finds the core library
logs=$build/logs
patch_dir=$top/qemu-patches/10.0
qemu_src=$build/qemu-src        # a git tree: the tarball plus the series
qemu_build=$build/qemu
libvirt_patch_dir=$top/libvirt-patches/11.3
libvirt_src=$build/libvirt-src  # likewise
libvirt_build=$build/libvirt

export CCACHE_DIR="$cache/ccache"
export CCACHE_BASEDIR="$top"
export CCACHE_NOHASHDIR=1       # a second checkout finds the first's results

# Two commands that build in one checkout take turns.  The lock is released
# by builds_done, so that a test that runs for minutes does not hold it.
builds_begin() {
    mkdir -p "$build" "$logs" "$cache"
    exec 9>"$build/.lock"
    if ! flock -n 9; then
        say "waiting for another command that builds in $build …"
        flock 9
    fi
}

builds_done() {
    exec 9>&-
}
