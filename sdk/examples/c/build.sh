#!/bin/sh
# build.sh TOOLS OUT.wasm: builds the example with what `setup.sh TOOLS` put there, and the `loong` on PATH. `CLANG`
# names another clang.
set -eu
tools=$(realpath "$1")
out=$(realpath -m "$2")
cd "$(dirname "$0")"
"$tools/bin/wit-bindgen" c wit --world plugin --out-dir "$tools/bindings"
# A core module that holds its component type; `loong plugins pack` makes the component of it.
"${CLANG:-clang-19}" --target=wasm32-wasi -mexec-model=reactor -O2 -Wall -s -I "$tools/bindings" -o "$tools/greet.wasm" \
    greet.c "$tools/bindings/plugin.c" "$tools/bindings/plugin_component_type.o"
loong plugins pack "$tools/greet.wasm" --wit wit -o "$out"
