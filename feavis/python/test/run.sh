#!/bin/sh
# The wheel built, installed into a bare environment, and tested there.
#   feavis/python/test/run.sh [FOLDER]     where to work; a temporary folder
# Needs what ./run installs, python3 with venv, and a package index for numpy and pytest. With PyTorch
# already there (FEAVIS_SITE: a site-packages folder that has it) its tests run, too.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
unset FEAVIS_HOME FEAVIS_LIBRARY PYTHONPATH
python3 -m venv "$work/venv"
python=$work/venv/bin/python
"$python" -m pip install -q build scikit-build-core
"$python" -m pip wheel -q --no-deps --wheel-dir "$work/dist" "$here/.."
wheel=$(ls "$work"/dist/feavis-*.whl)
python3 -m venv "$work/bare"
bare=$work/bare/bin/python
"$bare" -m pip install -q "$wheel" pytest
cd "$work"
ls -l "$wheel"
PYTHONPATH=${FEAVIS_SITE:-} "$bare" -m pytest -q "$here"
