#!/bin/sh
# build.sh TOOLS OUT.wasm: builds the example with cargo, into the folder TOOLS, and the `loong` on PATH.
set -eu
tools=$(realpath "$1")
out=$(realpath -m "$2")
cd "$(dirname "$0")"
CARGO_TARGET_DIR=$tools/target loong plugins build . -o "$out"
