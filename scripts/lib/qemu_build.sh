# SPDX-License-Identifier: GPL-2.0-or-later
# Configuring and building QEMU in $qemu_build.

# What guests, the tests and libvirt use, and nothing else: a full QEMU takes
# five times as long to build.
qemu_options="--target-list=x86_64-softmmu
    --without-default-features --without-default-devices
    --with-devices-x86_64=shmig
    --disable-download --disable-werror --disable-docs --disable-install-blobs
    --enable-system --enable-kvm --enable-tcg --enable-tools
    --enable-fdt=system --enable-pixman --enable-gnutls --enable-zstd
    --enable-linux-aio --enable-linux-io-uring --enable-replication
    --enable-vhost-kernel --enable-vhost-net
    --enable-malloc-trim --enable-membarrier --enable-coroutine-pool
    --enable-avx2
    --firmwarepath=/usr/share/seabios:/usr/share/qemu:/usr/lib/ipxe/qemu"

qemu_targets="qemu-system-x86_64 qemu-img qemu-io qemu-nbd
    tests/qtest/migration-test tests/qtest/qmp-cmd-test
    tests/qtest/test-hmp tests/unit/test-vmstate"

# The tests of module/qemu, which QEMU's build makes once the series enters
# their folder.
qemu_glue_targets() {
    if grep -q "subdir('shmig')" "$qemu_src/tests/meson.build"; then
        for file in "$top"/tests/qemu/unit/test-*.c; do
            name=${file##*/}
            echo "tests/shmig/shmig-${name%.c}"
        done
    fi
}

# copy_changed FROM TO: makes TO the same as FROM and touches no file that is
# the same already, so that ninja rebuilds only what changed.
copy_changed() {
    mkdir -p "$2"
    (cd "$1" && find . -type f) | while read -r file; do
        if ! cmp -s "$1/$file" "$2/$file"; then
            mkdir -p "$(dirname "$2/$file")"
            cp "$1/$file" "$2/$file"
        fi
    done
    (cd "$2" && find . -type f) | while read -r file; do
        [ -e "$1/$file" ] || rm "$2/$file"
    done
}

# Our own files that live in QEMU's tree but not in its series.
qemu_own_files() {
    copy_changed "$top/module/qemu" "$qemu_src/migration/shmig"
    copy_changed "$top/tests/qemu/unit" "$qemu_src/tests/shmig"
    devices=$qemu_src/configs/devices/x86_64-softmmu/shmig.mak
    cmp -s "$patch_dir/x86_64-devices.mak" "$devices" ||
        cp "$patch_dir/x86_64-devices.mak" "$devices"
}

# Prints the Python whose meson QEMU can use.  Debian 12's meson is too old:
# there, a venv gets the one of its backports, without installing it.
qemu_python() {
    if dpkg --compare-versions "$(/usr/bin/meson --version)" ge 1.5; then
        echo /usr/bin/python3
        return 0
    fi
    python_venv=$build/python
    if [ ! -e "$python_venv/.complete" ]; then
        rm -rf "$python_venv"
        if [ ! -d "$cache/meson" ]; then
            archive_unpacked meson bookworm-backports "$cache/meson"
        fi
        /usr/bin/python3 -m venv --without-pip --system-site-packages \
            "$python_venv"
        cp -R "$cache/meson/usr/lib/python3/dist-packages/." \
            "$python_venv"/lib/python3*/site-packages/
        cp "$cache/meson/usr/bin/meson" "$python_venv/bin/"
        : >"$python_venv/.complete"
    fi
    echo "$python_venv/bin/python3"
}

qemu_configure() {
    configure_python=$(qemu_python) || exit 1
    configure_words="$qemu_options --python=$configure_python
        -Dpkg_config_path=$prefix/lib/pkgconfig"
    if grep -q "^option('shmig'" "$qemu_src/meson_options.txt"; then
        configure_words="$configure_words --enable-shmig"
    fi
    if [ "$(cat "$qemu_build/.options" 2>/dev/null)" = "$configure_words" ] &&
        [ -e "$qemu_build/build.ninja" ]; then
        return 0
    fi
    rm -rf "$qemu_build"
    mkdir -p "$qemu_build"
    cd "$qemu_build" || exit 1
    # shellcheck disable=SC2086 # a list of words
    said_for "configuring QEMU" quietly "$logs/qemu-configure.log" \
        "$qemu_src/configure" $configure_words
    cd "$top" || exit 1
    printf '%s\n' "$configure_words" >"$qemu_build/.options"
}

# A QEMU that runs where it was built looks below qemu-bundle for what an
# installed one has in /; the host's firmware is put there.
qemu_firmware() {
    for dir in /usr/share/seabios /usr/share/qemu /usr/lib/ipxe/qemu; do
        mkdir -p "$qemu_build/qemu-bundle${dir%/*}"
        ln -sfn "$dir" "$qemu_build/qemu-bundle$dir"
    done
}

# Builds the core library first: QEMU links it.
qemu_build() {
    # shellcheck disable=SC2086 # a list of words
    packages_need $qemu_packages $run_packages
    core_library
    tree_update qemu
    qemu_own_files
    # ccache by way of the names cc and gcc: QEMU's configure splits "ccache
    # cc" in places, and a build by hand then does without, unharmed.
    PATH=/usr/lib/ccache:$PATH
    qemu_configure
    # shellcheck disable=SC2046,SC2086 # lists of words
    said_for "building QEMU" quietly "$logs/qemu-build.log" \
        ninja -C "$qemu_build" $qemu_targets $(qemu_glue_targets)
    qemu_firmware
}
