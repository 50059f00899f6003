# SPDX-License-Identifier: GPL-2.0-or-later
# What the commands tell the user: progress on stderr, and how they give up.

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# quietly LOG COMMAND ARG…: keeps the output in LOG and shows its end only
# if the command fails.
quietly() {
    quietly_log=$1
    shift
    mkdir -p "$(dirname "$quietly_log")"
    if ! "$@" >"$quietly_log" 2>&1; then
        tail -n 40 "$quietly_log" >&2
        fail "\"$1\" failed; the whole output is in $quietly_log"
    fi
}

# said_for LABEL COMMAND ARG…: names a long step and the seconds it took.
said_for() {
    said_label=$1
    shift
    said_start=$(date +%s)
    say "$said_label …"
    "$@"
    say "$said_label: done in $(($(date +%s) - said_start)) s"
}
