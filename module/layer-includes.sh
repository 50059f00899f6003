#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Make an include directory that shows one layer only what it may use.
#
# usage: layer-includes.sh MODULE_DIR OUT_DIR LAYER...
# OUT_DIR/shmig/LAYER becomes a link to MODULE_DIR/LAYER for each LAYER; links
# of an earlier run that are no longer allowed are removed.
set -eu
module=$1
out=$2
shift 2
rm -rf "$out"
mkdir -p "$out/shmig"
for layer in "$@"; do
    ln -s "$module/$layer" "$out/shmig/$layer"
done
