#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Two libvirt hosts on one machine, "a" and "b".
#
# A host is a set of namespaces: network, mounts, host name, IPC, processes.
# Its process 1 is this script, which ends when its standard input does, and
# takes everything of the host along: nothing has to be cleaned up after a
# crash.  /etc, /var/lib, /var/log and /var/cache are overlays on a tmpfs and
# /run is empty, so that the daemon finds the paths it always uses, and the
# machine's own are not touched.  What people want to see is below DIR/a and
# DIR/b: lib is the host's /var/lib/libvirt, log its /var/log/libvirt, etc its
# /etc/libvirt.
set -eu

# What an installed libvirt's units would find; a caller's may have none of it.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

usage() {
    cat <<EOF
Usage: hosts.sh up DIR                   until standard input ends
       hosts.sh in DIR a|b COMMAND…      runs COMMAND in that host
       hosts.sh start DIR a|b            starts its libvirtd
       hosts.sh kill DIR a|b             kills it, by SIGKILL

The hosts are host-a (10.77.0.1, fd77::1) and host-b (10.77.0.2, fd77::2).
SHMIG_LIBVIRT names the build directory of libvirt, SHMIG_QEMU_IMG the qemu-img
that it is to find.  "up" prints "ready" once both daemons answer.
EOF
}

give_up() {
    printf 'hosts.sh: %s\n' "$*" >&2
    exit 1
}

# address HOST FAMILY, its UUID likewise from its letter.
number() {
    case $1 in
    a) echo 1 ;;
    b) echo 2 ;;
    *) give_up "there is no host \"$1\"" ;;
    esac
}

libvirtd_conf() {
    cat <<EOF
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "7777777$(number "$1")-7777-4777-8777-777777777777"
log_filters = "1:qemu.qemu_migration 1:qemu.qemu_monitor 3:util 3:event"
log_outputs = "1:file:/var/log/libvirt/libvirtd.log"
EOF
}

# Where the machine's own libvirt would run QEMU as a user of its own,
# confined by cgroups and the kernel's security modules, one host here would
# meet the other's.
qemu_conf() {
    cat <<EOF
user = "root"
group = "root"
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
EOF
}

make_files() {
    mkdir -p "$dir/$1/etc" "$dir/$1/lib/images" "$dir/$1/log"
    libvirtd_conf "$1" >"$dir/$1/etc/libvirtd.conf"
    qemu_conf >"$dir/$1/etc/qemu.conf"
}

mount_own() {
    mount --make-rprivate /
    mount -t tmpfs tmpfs /run
    for place in /etc /var/lib /var/log /var/cache; do
        over=/run/over$place
        mkdir -p "$over/upper" "$over/work"
        mount -t overlay overlay -o \
            "lowerdir=$place,upperdir=$over/upper,workdir=$over/work" $place
    done
    for place in etc lib log; do
        case $place in
        etc) to=/etc/libvirt ;;
        *) to=/var/$place/libvirt ;;
        esac
        mkdir -p "$to"
        mount --bind "$dir/$host/$place" "$to"
    done
    # Emptied: both daemons would make the same group for guests of one name.
    ! mountpoint -q /sys/fs/cgroup || umount -R -l /sys/fs/cgroup
    mount -t proc proc /proc
}

# Process 1 of a host.  It says its number as the outside sees it, which is
# what /proc shows until it is mounted anew.
host_begin() {
    read -r pid _ </proc/self/stat
    mount_own
    hostname "host-$host"
    {
        printf '127.0.0.1 localhost\n::1 localhost\n'
        printf '10.77.0.1 host-a\n10.77.0.2 host-b\n'
        printf 'fd77::1 host-a host-a6\nfd77::2 host-b host-b6\n'
    } >/etc/hosts
    ip link set lo up
    echo "$pid"
    exec >/dev/null
    # Waiting for it also reaps what daemons leave behind.
    cat <&3 &
    wait $!
}

# host_run HOST COMMAND…, as a process of that host, which is killed when the
# caller kills this one.
host_run() {
    run_pid=$(cat "$dir/$1/pid")
    shift
    exec nsenter -t "$run_pid" -m -u -i -n -p -- \
        setpriv --pdeathsig KILL "$@"
}

# host_spawn HOST COMMAND…, the same for what goes on when the caller ends.
host_spawn() {
    spawn_pid=$(cat "$dir/$1/pid")
    shift
    nsenter -t "$spawn_pid" -m -u -i -n -p -- "$@"
}

# Returns once the daemon has its sockets.
daemon_start() {
    host_spawn "$1" env PATH="${SHMIG_QEMU_IMG%/*}:$PATH" \
        "$SHMIG_LIBVIRT/src/libvirtd" --daemon --listen ||
        give_up "libvirtd of host-$1 does not start; see $dir/$1/log"
}

# Returns once it has ended; it may have done so by itself.
daemon_kill() {
    # shellcheck disable=SC2016 # expanded by the host's shell
    host_spawn "$1" sh -c '
        pid=$(cat /run/libvirtd.pid 2>/dev/null) || exit 0
        kill -KILL "$pid" 2>/dev/null || true
        rm /run/libvirtd.pid
        tail -s 0.05 --pid="$pid" -f /dev/null'
}

connect_hosts() {
    nsenter -t "$(cat "$dir/a/pid")" -n ip link add eth0 type veth \
        peer name eth0 netns "$(cat "$dir/b/pid")"
    for host in a b; do
        for address in "10.77.0.$(number $host)/24" \
            "fd77::$(number $host)/64 nodad"; do
            # shellcheck disable=SC2086 # an address and a flag
            nsenter -t "$(cat "$dir/$host/pid")" -n \
                ip addr add $address dev eth0
        done
        nsenter -t "$(cat "$dir/$host/pid")" -n ip link set eth0 up
    done
}

up() {
    # A background job's standard input is empty; this one is the lease.
    exec 3<&0
    for host in a b; do
        make_files $host
        says=$dir/$host/says
        mkfifo "$says"
        unshare --net --mount --uts --ipc --pid --fork --kill-child \
            "$0" begin "$dir" $host >"$says" &
        # Ends without a word if that fails.
        read -r pid <"$says" || give_up "the namespaces of host-$host" \
            "cannot be made; this takes root, and a kernel with overlayfs"
        echo "$pid" >"$dir/$host/pid"
        rm "$says"
    done
    connect_hosts
    daemon_start a
    daemon_start b
    echo ready
    exec >/dev/null
    wait
}

case ${1-} in
up)
    dir=$2
    up
    ;;
begin)
    dir=$2
    host=$3
    host_begin
    ;;
in)
    dir=$2
    shift 2
    host_run "$@"
    ;;
start | kill)
    dir=$2
    "daemon_$1" "$3"
    ;;
-h | --help) usage ;;
*)
    usage >&2
    exit 1
    ;;
esac
