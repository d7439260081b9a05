#!/bin/sh
# See `compose/update.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh update "$@"
