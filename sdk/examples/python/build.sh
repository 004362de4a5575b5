#!/bin/sh
# build.sh TOOLS OUT.wasm: builds the example with what `setup.sh TOOLS` put there, and the `loong` on PATH.
set -eu
tools=$(realpath "$1")
out=$(realpath -m "$2")
cd "$(dirname "$0")"
mkdir -p "$tools/app"
# A copy, because compiled Python is written beside the source.
cp app.py "$tools/app"
# Without WASI: the example asks for nothing from outside.
"$tools/venv/bin/componentize-py" -d wit -w plugin componentize --stub-wasi -p "$tools/app" app -o "$tools/greet.wasm"
loong plugins pack "$tools/greet.wasm" --wit wit -o "$out"
