# SPDX-License-Identifier: GPL-2.0-or-later
# Sources and packages of other Debian suites than the host's, from the
# archive the host itself uses.
#
# The host's apt configuration is read and never changed: the suites wanted
# are listed in a private sources.list.d, with private lists and caches, so
# nothing here can make an `apt-get upgrade` of the host mix suites.

archive_dir=$cache/apt

archive_apt() {
    archive_command=$1
    shift
    "$archive_command" \
        -o Dir::State::Lists="$archive_dir/lists" \
        -o Dir::Cache="$archive_dir/cache" \
        -o Dir::Etc::SourceList=/dev/null \
        -o Dir::Etc::SourceParts="$archive_dir/sources.list.d" \
        -o APT::Sandbox::User=root \
        "$@"
}

# Prints "URI FILE:ENTRY" of the host's Debian archive.  apt prints one
# paragraph a list it uses.  Origin is known once lists were downloaded; a
# fresh host has only the suite's name to go by, and third parties use the
# same names, so an address that ends in "debian" goes first.
archive_of_host() {
    codename=$(. /etc/os-release && printf %s "${VERSION_CODENAME:-}")
    apt-get indextargets 'Created-By: Packages' | awk -v codename="$codename" '
        BEGIN { RS = ""; FS = "\n" }
        {
            split("", f)
            for (i = 1; i <= NF; i++) {
                at = index($i, ": ")
                f[substr($i, 1, at - 1)] = substr($i, at + 2)
            }
            if (f["Component"] != "main" ||
                f["Release"] != codename &&
                f["Release"] !~ /^(old)*stable$|^testing$/)
                next
            rank = 1
            if (f["Repo-URI"] ~ /\/debian\/?$/)
                rank = 2
            if ("Origin" in f)
                rank = f["Origin"] == "Debian" ? 3 : 0
            if (rank > best) {
                best = rank
                found = f["Repo-URI"] " " f["Sourcesentry"]
            }
        }
        END { if (found) print found }'
}

# archive_trust FILE:ENTRY URI: prints, as deb822 fields, how that entry of
# the host's configuration says the archive is to be verified.
archive_trust() {
    trust_file=${1%:*}
    case $trust_file in
    *.sources)
        # A key may be embedded in the field, on continuation lines.
        awk -v uri="${2%/}" '
            function names_it(    i, n, word) {
                for (i = 1; i <= NF; i++) {
                    if (tolower($i) !~ /^uris:/)
                        continue
                    n = split($i, word, /[ \t]+/)
                    while (n > 1) {
                        sub(/\/$/, "", word[n])
                        if (word[n--] == uri)
                            return 1
                    }
                }
                return 0
            }
            BEGIN { RS = ""; FS = "\n" }
            !done && names_it() {
                for (i = 1; i <= NF; i++) {
                    if ($i !~ /^[ \t]/)
                        keep = tolower($i) ~ \
                            /^(signed-by|trusted|check-valid-until):/
                    if (keep && $i !~ /^#/)
                        print $i
                }
                done = 1
            }' "$trust_file"
        ;;
    *)
        sed -n "${1##*:}s/^[^[]*\\[\\([^]]*\\)\\].*/\\1/p" "$trust_file" |
            tr ' ' '\n' | sed -n \
            -e 's/^signed-by=/Signed-By: /p' \
            -e 's/^trusted=/Trusted: /p' \
            -e 's/^check-valid-until=/Check-Valid-Until: /p'
        ;;
    esac
}

# archive_use TYPE SUITE: makes the lists of that suite available.
archive_use() {
    use_host=$(archive_of_host)
    if [ -z "$use_host" ]; then
        fail "no Debian archive in this host's apt configuration" \
            "(apt-get indextargets names none with component main);" \
            "add one to /etc/apt/sources.list"
    fi
    use_uri=${use_host% *}
    mkdir -p "$archive_dir/lists/partial" "$archive_dir/sources.list.d" \
        "$archive_dir/cache/archives/partial"
    {
        printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\n' \
            "$1" "$use_uri" "$2"
        archive_trust "${use_host##* }" "$use_uri"
    } >"$archive_dir/sources.list.d/shmig.sources"
    if ! archive_apt apt-get update >"$logs/archive.log" 2>&1 ||
        grep -q '^[EW]: Failed to fetch' "$logs/archive.log"; then
        tail -n 5 "$logs/archive.log" >&2
        fail "suite $2 cannot be read from ${use_uri}," \
            "this host's archive; see $logs/archive.log"
    fi
}

# archive_source PACKAGE SUITE DIR: the upstream tarball of a source package.
# Only the tarball: Debian's own changes to it are not ours to build on.
archive_source() {
    source_tmp=$3.part
    archive_use deb-src "$2"
    rm -rf "$source_tmp"
    mkdir -p "$source_tmp" "$3"
    (
        cd "$source_tmp" &&
            archive_apt apt-get source --tar-only --download-only "$1"
    ) >"$logs/archive-source.log" 2>&1 || {
        tail -n 5 "$logs/archive-source.log" >&2
        fail "the source of $1 cannot be fetched from suite $2;" \
            "see $logs/archive-source.log"
    }
    mv "$source_tmp"/*.orig.tar.* "$3"/
    rm -rf "$source_tmp"
}

# archive_unpacked PACKAGE SUITE DIR: a binary package, unpacked into DIR and
# not installed.
archive_unpacked() {
    archive_use deb "$2"
    rm -rf "$3.part" "$3"
    mkdir -p "$3.part"
    (
        cd "$3.part" && archive_apt apt-get download "$1"
    ) >"$logs/archive-deb.log" 2>&1 || {
        tail -n 5 "$logs/archive-deb.log" >&2
        fail "package $1 cannot be fetched from suite $2;" \
            "see $logs/archive-deb.log"
    }
    dpkg -x "$3.part"/*.deb "$3.part/root"
    mv "$3.part/root" "$3"
    rm -rf "$3.part"
}
