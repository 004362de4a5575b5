#!/bin/sh
# setup.sh TOOLS: puts componentize-qjs into the folder TOOLS, and nothing anywhere else.
set -eu
mkdir -p "$1"
[ ! -x "$1/node_modules/.bin/componentize-qjs" ] || exit 0
npm install --silent --no-audit --no-fund --prefix "$1" componentize-qjs@0.4.5
