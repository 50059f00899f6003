# SPDX-License-Identifier: GPL-2.0-or-later
# Debian packages: which ones each task needs, and installing those missing.

# perl has pod2man; gnuplot draws the curves of shmig dirty-bench.
core_packages="gcc libc6-dev meson ninja-build pkgconf ccache
    libglib2.0-dev libjson-glib-dev liburing-dev libgnutls28-dev perl
    gnuplot-nox"

# QEMU's configure makes a Python venv, hence python3-venv.
qemu_packages="$core_packages git ca-certificates xz-utils python3-venv
    python3-setuptools make libfdt-dev libpixman-1-dev
    libtasn1-6-dev libzstd-dev libaio-dev zlib1g-dev"

# Of libvirt we build the daemon, its driver for QEMU and virsh.
libvirt_packages="gcc libc6-dev meson ninja-build pkgconf ccache git
    ca-certificates xz-utils python3 perl xsltproc libxml2-utils gettext
    libglib2.0-dev libgnutls28-dev libxml2-dev libtirpc-dev libreadline-dev
    libjson-c-dev libnl-3-dev libnl-route-3-dev libcap-ng-dev libattr1-dev
    libacl1-dev"

# What running guests takes: firmware, and tools that look at disks and links.
run_packages="seabios qemu-system-data ipxe-qemu iproute2 e2fsprogs procps"

# packages_missing PACKAGE…: prints those that are not installed.
packages_missing() {
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
        awk -v wanted="$*" '
            $1 == "installed" { have[$2] }
            END {
                n = split(wanted, name)
                for (i = 1; i <= n; i++)
                    if (!(name[i] in have))
                        printf "%s ", name[i]
            }'
}

# packages_need PACKAGE…: installs what is missing, or says what to install.
packages_need() {
    missing=$(packages_missing "$@")
    if [ -z "$missing" ]; then
        return 0
    fi
    if [ "$(id -u)" != 0 ]; then
        fail "packages are missing; as root, run:
    apt-get update && apt-get install --no-install-recommends $missing"
    fi
    say "installing ${missing% }"
    export DEBIAN_FRONTEND=noninteractive
    quietly "$logs/apt-update.log" apt-get update
    # shellcheck disable=SC2086 # a list of words
    quietly "$logs/apt-install.log" \
        apt-get install -y --no-install-recommends $missing
}
