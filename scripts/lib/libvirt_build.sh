# SPDX-License-Identifier: GPL-2.0-or-later
# Configuring and building libvirt in $libvirt_build, where it runs without
# being installed.

# Guests of QEMU with disks in files, reached from another host; nothing of
# the networks, devices and hypervisors that libvirt also manages.  Paths are
# those of an installed libvirt: tests/libvirt/hosts.sh gives each daemon files
# of its own there.
libvirt_options="--prefix=/usr --sysconfdir=/etc --localstatedir=/var
    --buildtype=debugoptimized -Drunstatedir=/run -Dgit_werror=disabled
    -Dauto_features=disabled -Ddriver_remote=enabled -Ddriver_libvirtd=enabled
    -Ddriver_qemu=enabled -Ddriver_test=enabled -Ddriver_secrets=enabled
    -Djson_c=enabled -Dlibnl=enabled -Dattr=enabled -Dcapng=enabled
    -Dreadline=enabled -Dstorage_dir=enabled -Dtests=enabled
    -Dexpensive_tests=disabled -Ddocs=disabled -Dinit_script=none
    -Dqemu_user=root -Dqemu_group=root -Dremote_default_mode=legacy"

# What two hosts and somebody who commands them run: a daemon, what it loads
# and starts, and virsh.
libvirt_targets="src/libvirtd src/libvirt_iohelper
    src/libvirt_driver_qemu.so src/libvirt_driver_secret.so
    src/libvirt_driver_storage.so src/libvirt_storage_backend_fs.so
    tools/virsh"

# A build picks its Python by PATH and has to find Debian's, whose modules
# it uses.
libvirt_path=/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin

libvirt_configure() {
    if [ "$(cat "$libvirt_build/.options" 2>/dev/null)" = \
        "$libvirt_options" ] && [ -e "$libvirt_build/build.ninja" ]; then
        return 0
    fi
    rm -rf "$libvirt_build"
    # shellcheck disable=SC2086 # a list of words
    said_for "configuring libvirt" quietly "$logs/libvirt-configure.log" \
        env PATH="$libvirt_path" \
        meson setup $libvirt_options "$libvirt_build" "$libvirt_src"
    printf '%s\n' "$libvirt_options" >"$libvirt_build/.options"
}

libvirt_configured() {
    # shellcheck disable=SC2086 # a list of words
    packages_need $libvirt_packages
    tree_update libvirt
    libvirt_configure
}

libvirt_build() {
    libvirt_configured
    # shellcheck disable=SC2086 # a list of words
    said_for "building libvirt" quietly "$logs/libvirt-build.log" \
        env PATH="$libvirt_path" ninja -C "$libvirt_build" $libvirt_targets
}

# Everything, libvirt's own tests included.
libvirt_build_all() {
    libvirt_configured
    said_for "building libvirt and its tests" \
        quietly "$logs/libvirt-build.log" \
        env PATH="$libvirt_path" ninja -C "$libvirt_build"
}
