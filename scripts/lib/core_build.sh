# SPDX-License-Identifier: GPL-2.0-or-later
# Building the core library in $build and installing it for QEMU in $prefix.

core_configure() {
    core_setup="--prefix=$prefix --libdir=lib"
    if [ "$(cat "$build/.setup" 2>/dev/null)" = "$core_setup" ] &&
        [ -e "$build/build.ninja" ]; then
        return 0
    fi
    core_again=
    if [ -e "$build/build.ninja" ]; then
        core_again=--reconfigure    # somebody ran "meson setup build"
    fi
    # shellcheck disable=SC2086 # lists of words
    quietly "$logs/core-setup.log" \
        meson setup $core_again $core_setup "$build" "$top"
    printf '%s\n' "$core_setup" >"$build/.setup"
}

# The library alone, which is all that QEMU takes of it.
core_library() {
    # shellcheck disable=SC2086 # a list of words
    packages_need $core_packages
    core_configure
    quietly "$logs/core-library.log" \
        ninja -C "$build" module/libshmig.a
    # Unchanged files keep their time stamps: nothing of QEMU is rebuilt.
    quietly "$logs/core-install.log" meson install -C "$build" \
        --no-rebuild --only-changed --tags devel
}

# Everything, tests included.
core_build() {
    # shellcheck disable=SC2086 # a list of words
    packages_need $core_packages
    core_configure
    quietly "$logs/core-build.log" ninja -C "$build"
}
