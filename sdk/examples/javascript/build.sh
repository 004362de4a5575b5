#!/bin/sh
# build.sh TOOLS OUT.wasm: builds the example with what `setup.sh TOOLS` put there, and the `loong` on PATH.
set -eu
tools=$(realpath "$1")
out=$(realpath -m "$2")
cd "$(dirname "$0")"
# Without WASI: the example asks for nothing from outside.
"$tools/node_modules/.bin/componentize-qjs" --wit wit --world plugin --js app.js --stub-wasi --sync -o "$tools/greet.wasm"
loong plugins pack "$tools/greet.wasm" --wit wit -o "$out"
