# SPDX-License-Identifier: GPL-2.0-or-later
# QEMU's source tree in $qemu_src: the tarball named in BASE as one commit,
# and each patch of the series as a commit on top.
#
# Two refs tell what is there: shmig/base is the tarball, shmig/applied what
# the series made of it.  Commits after shmig/applied, and changes that are
# not committed, are somebody's work: the tree is left alone then.

qemu_git() {
    # Ends of lines, hooks and signatures are not the user's business here.
    git -c core.autocrlf=false -c core.hooksPath=/dev/null -c gc.auto=0 \
        -c commit.gpgSign=false \
        -c user.name=shmig -c user.email=shmig@localhost -C "$@"
}

base_value() {
    sed -n "s/^$1=//p" "$patch_dir/BASE"
}

# Prints the path of the tarball, after fetching it if the cache has none.
qemu_tarball() {
    tarball_find="$cache/source/$(base_value package)_$(base_value version)."
    for tarball in "$tarball_find"*.orig.tar.*; do
        if [ -f "$tarball" ]; then
            printf '%s\n' "$tarball"
            return 0
        fi
    done
    said_for "fetching QEMU's source" \
        archive_source "$(base_value package)" "$(base_value suite)" \
        "$cache/source"
    for tarball in "$tarball_find"*.orig.tar.*; do
        if [ -f "$tarball" ]; then
            printf '%s\n' "$tarball"
            return 0
        fi
    done
    fail "suite $(base_value suite) has $(ls "$cache/source")," \
        "not $(base_value package) $(base_value version).x;" \
        "the series in $patch_dir needs a new base"
}

# The tarball leaves out what Debian packages elsewhere; QEMU's build has to
# do without that too.
qemu_adapt() {
    sed -i '/^pycotap/d' "$1/pythondeps.toml"
    sed -i 's/unpack_edk2_blobs = bzip2.found()/unpack_edk2_blobs = false/' \
        "$1/meson.build"
}

# qemu_unpack TARBALL DIR: makes DIR a git tree with the one commit.
# roms/ holds the sources of firmware, two thirds of the tarball, unused.
qemu_unpack() {
    rm -rf "$2"
    mkdir -p "$2"
    tar -xf "$1" -C "$2" --no-same-owner --strip-components=1 \
        --exclude='*/roms'
    qemu_adapt "$2"
    qemu_git "$2" init -q -b shmig
    printf '%s\n' /migration/shmig/ /tests/shmig/ \
        '/configs/devices/*/shmig.mak' >>"$2/.git/info/exclude"
    # The tarball holds files that its own .gitignore names.
    qemu_git "$2" add --all --force
    qemu_git "$2" commit -q -m "${1##*/}"
    qemu_git "$2" update-ref refs/shmig/base HEAD
    qemu_git "$2" update-ref refs/shmig/applied HEAD
}

# The patches' paths, in order.
qemu_series() {
    sed -e '/^[[:space:]]*$/d' -e '/^#/d' -e "s|^|$patch_dir/|" \
        "$patch_dir/series"
}

# Prints what identifies the series, to see whether it is already applied.
qemu_series_id() {
    # shellcheck disable=SC2046 # a list of words
    cat "$patch_dir/BASE" $(qemu_series) | sha256sum | cut -d' ' -f1
}

# qemu_am DIR: applies the series to DIR, which is at shmig/base, where a
# failure leaves it.
qemu_am() {
    for patch in $(qemu_series); do
        if ! qemu_git "$1" am -q "$patch" >"$logs/am.log" 2>&1; then
            cat "$logs/am.log" >&2
            qemu_git "$1" am --abort
            qemu_git "$1" reset -q --hard refs/shmig/base
            fail "${patch##*/} does not apply to" \
                "$(qemu_git "$1" log -1 --format=%s)"
        fi
    done
}

qemu_tree_is_clean() {
    [ "$(qemu_git "$qemu_src" rev-parse HEAD)" = \
        "$(qemu_git "$qemu_src" rev-parse refs/shmig/applied)" ] &&
        [ -z "$(qemu_git "$qemu_src" status --porcelain \
            --untracked-files=no)" ]
}

# Replaces the applied series by the present one.  A file that is the same
# afterwards gets its old time stamp back, so that ninja does not rebuild it.
qemu_reapply() {
    reapply_keep=$build/qemu-src.kept
    rm -rf "$reapply_keep"
    mkdir "$reapply_keep"
    qemu_git "$qemu_src" diff --name-only --diff-filter=d \
        refs/shmig/base HEAD |
        while read -r file; do
            mkdir -p "$reapply_keep/$(dirname "$file")"
            cp -p "$qemu_src/$file" "$reapply_keep/$file"
        done
    qemu_git "$qemu_src" reset -q --hard refs/shmig/base
    qemu_git "$qemu_src" update-ref refs/shmig/applied HEAD
    qemu_am "$qemu_src"
    qemu_git "$qemu_src" update-ref refs/shmig/applied HEAD
    (cd "$reapply_keep" && find . -type f) | while read -r file; do
        if cmp -s "$reapply_keep/$file" "$qemu_src/$file"; then
            touch -r "$reapply_keep/$file" "$qemu_src/$file"
        fi
    done
    rm -rf "$reapply_keep"
}

# Brings $qemu_src up to date with the tarball and the series.
qemu_tree() {
    tree_tarball=$(qemu_tarball) || exit 1
    tree_series=$(qemu_series_id)
    tree_state=$qemu_src/.git/shmig-state
    tree_have=$(cat "$tree_state" 2>/dev/null || true)
    if [ "${tree_tarball##*/} $tree_series" = "$tree_have" ]; then
        return 0
    fi
    if [ -n "$tree_have" ] && ! qemu_tree_is_clean; then
        fail "qemu-patches changed, but $qemu_src has changes of its own:" \
            "save them with 'scripts/patches refresh', or drop them with" \
            "'git -C $qemu_src reset --hard refs/shmig/applied'"
    fi
    if [ "${tree_have% *}" != "${tree_tarball##*/}" ]; then
        said_for "unpacking ${tree_tarball##*/}" \
            qemu_unpack "$tree_tarball" "$qemu_src"
    fi
    # Should the series fail to apply, the next run starts from here.
    printf '%s none\n' "${tree_tarball##*/}" >"$tree_state"
    qemu_reapply
    printf '%s %s\n' "${tree_tarball##*/}" "$tree_series" >"$tree_state"
}
