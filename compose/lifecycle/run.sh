#!/bin/sh
# Runs one lifecycle command in the project's virtual environment, made where there is none.
# The caller's folder stays the current one, for paths are relative to it as for every program; the
# modules are those of this checkout, and none of that folder's (-P).
root=$(cd "$(dirname "$0")/../.." && pwd -P) && sh "$root/compose/machine/venv.sh" production &&
    export PYTHONPATH="$root" && exec "$root/.venv/bin/python" -P -m compose.lifecycle "$@"
