#!/bin/sh
# setup.sh TOOLS: puts wit-bindgen into the folder TOOLS, and nothing anywhere else. Clang and its library come with the
# system; in Debian they are clang-19, lld-19, wasi-libc and libclang-rt-19-dev-wasm32.
set -eu
mkdir -p "$1"
[ ! -x "$1/bin/wit-bindgen" ] || exit 0
tools=$(realpath "$1")
CARGO_TARGET_DIR=$tools/target cargo install -q --locked --debug --root "$tools" \
    --no-default-features --features c wit-bindgen-cli@0.63.0
rm -r "$tools/target"
