#!/bin/sh
# setup.sh TOOLS: puts componentize-py into the folder TOOLS, and nothing anywhere else.
set -eu
mkdir -p "$1"
[ ! -x "$1/venv/bin/componentize-py" ] || exit 0
python3 -m venv "$1/venv"
"$1/venv/bin/pip" install -q --disable-pip-version-check componentize-py==0.25.1
