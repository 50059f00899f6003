# SPDX-License-Identifier: GPL-2.0-or-later
# The source tree of a project we patch: the tarball named in BASE as one
# commit, and each patch of the series as a commit on top.
#
# tree_of says which project the functions here work on.  Two refs tell what
# is in its tree: shmig/base is the tarball, shmig/applied what the series
# made of it.  Commits after shmig/applied, and changes that are not
# committed, are somebody's work: the tree is left alone then.

# tree_of PROJECT: sets what differs from project to project:
#   tree_label    its name in sentences
#   tree_patches  the directory of BASE, series and patches
#   tree_src      the tree
#   tree_unused   what is not unpacked, if anything
#   tree_ours     what others than the series put into the tree
tree_of() {
    tree_project=$1
    case $1 in
    qemu)
        tree_label=QEMU
        tree_patches=$patch_dir
        tree_src=$qemu_src
        # The sources of firmware, two thirds of the tarball.
        tree_unused='*/roms'
        tree_ours='/migration/shmig/ /tests/shmig/
            /configs/devices/*/shmig.mak'
        ;;
    libvirt)
        tree_label=libvirt
        tree_patches=$libvirt_patch_dir
        tree_src=$libvirt_src
        tree_unused=
        tree_ours=
        ;;
    *)
        fail "there is no series for \"$1\""
        ;;
    esac
}

tree_git() {
    # Ends of lines, hooks and signatures are not the user's business here.
    git -c core.autocrlf=false -c core.hooksPath=/dev/null -c gc.auto=0 \
        -c commit.gpgSign=false \
        -c user.name=shmig -c user.email=shmig@localhost -C "$@"
}

base_value() {
    sed -n "s/^$1=//p" "$tree_patches/BASE"
}

# Prints the path of the tarball, after fetching it if the cache has none.
tree_tarball() {
    tarball_find="$cache/source/$(base_value package)_$(base_value version)."
    for tarball in "$tarball_find"*.orig.tar.*; do
        if [ -f "$tarball" ]; then
            printf '%s\n' "$tarball"
            return 0
        fi
    done
    said_for "fetching $tree_label's source" \
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
        "the series in $tree_patches needs a new base"
}

# tree_adapt DIR: changes what cannot be built as it comes.
tree_adapt() {
    if [ "$tree_project" = qemu ]; then
        # Debian packages these elsewhere, and so they are not there.
        sed -i '/^pycotap/d' "$1/pythondeps.toml"
        sed -i 's/unpack_edk2_blobs = bzip2.found()/unpack_edk2_blobs = false/' \
            "$1/meson.build"
    fi
}

# tree_unpack TARBALL DIR: makes DIR a git tree with the one commit.
tree_unpack() {
    rm -rf "$2"
    mkdir -p "$2"
    tar -xf "$1" -C "$2" --no-same-owner --strip-components=1 \
        ${tree_unused:+--exclude="$tree_unused"}
    tree_adapt "$2"
    tree_git "$2" init -q -b shmig
    # A pattern names files in the tree and none here.
    (
        set -f
        # shellcheck disable=SC2086 # a list of words
        printf '%s\n' $tree_ours
    ) >>"$2/.git/info/exclude"
    # The tarball holds files that its own .gitignore names.
    tree_git "$2" add --all --force
    tree_git "$2" commit -q -m "${1##*/}"
    tree_git "$2" update-ref refs/shmig/base HEAD
    tree_git "$2" update-ref refs/shmig/applied HEAD
}

# The patches' paths, in order.
tree_series() {
    sed -e '/^[[:space:]]*$/d' -e '/^#/d' -e "s|^|$tree_patches/|" \
        "$tree_patches/series"
}

# Prints what identifies the series, to see whether it is already applied.
tree_series_id() {
    # shellcheck disable=SC2046 # a list of words
    cat "$tree_patches/BASE" $(tree_series) | sha256sum | cut -d' ' -f1
}

# tree_am DIR: applies the series to DIR, which is at shmig/base, where a
# failure leaves it.
tree_am() {
    for patch in $(tree_series); do
        if ! tree_git "$1" am -q "$patch" >"$logs/am.log" 2>&1; then
            cat "$logs/am.log" >&2
            tree_git "$1" am --abort
            tree_git "$1" reset -q --hard refs/shmig/base
            fail "${patch##*/} does not apply to" \
                "$(tree_git "$1" log -1 --format=%s)"
        fi
    done
}

tree_is_clean() {
    [ "$(tree_git "$tree_src" rev-parse HEAD)" = \
        "$(tree_git "$tree_src" rev-parse refs/shmig/applied)" ] &&
        [ -z "$(tree_git "$tree_src" status --porcelain \
            --untracked-files=no)" ]
}

# Replaces the applied series by the present one.  A file that is the same
# afterwards gets its old time stamp back, so that ninja does not rebuild it.
tree_reapply() {
    reapply_keep=$tree_src.kept
    rm -rf "$reapply_keep"
    mkdir "$reapply_keep"
    tree_git "$tree_src" diff --name-only --diff-filter=d \
        refs/shmig/base HEAD |
        while read -r file; do
            mkdir -p "$reapply_keep/$(dirname "$file")"
            cp -p "$tree_src/$file" "$reapply_keep/$file"
        done
    tree_git "$tree_src" reset -q --hard refs/shmig/base
    tree_git "$tree_src" update-ref refs/shmig/applied HEAD
    tree_am "$tree_src"
    tree_git "$tree_src" update-ref refs/shmig/applied HEAD
    (cd "$reapply_keep" && find . -type f) | while read -r file; do
        if cmp -s "$reapply_keep/$file" "$tree_src/$file"; then
            touch -r "$reapply_keep/$file" "$tree_src/$file"
        fi
    done
    rm -rf "$reapply_keep"
}

# tree_update PROJECT: brings its tree up to date with the tarball and the
# series.
tree_update() {
    tree_of "$1"
    update_tarball=$(tree_tarball) || exit 1
    update_series=$(tree_series_id)
    update_state=$tree_src/.git/shmig-state
    update_have=$(cat "$update_state" 2>/dev/null || true)
    if [ "${update_tarball##*/} $update_series" = "$update_have" ]; then
        return 0
    fi
    if [ -n "$update_have" ] && ! tree_is_clean; then
        fail "$tree_project-patches changed, but $tree_src has changes of" \
            "its own: save them with 'scripts/patches refresh', or drop them" \
            "with 'git -C $tree_src reset --hard refs/shmig/applied'"
    fi
    if [ "${update_have% *}" != "${update_tarball##*/}" ]; then
        said_for "unpacking ${update_tarball##*/}" \
            tree_unpack "$update_tarball" "$tree_src"
    fi
    # Should the series fail to apply, the next run starts from here.
    printf '%s none\n' "${update_tarball##*/}" >"$update_state"
    tree_reapply
    printf '%s %s\n' "${update_tarball##*/}" "$update_series" >"$update_state"
}
