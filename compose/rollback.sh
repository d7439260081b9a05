#!/bin/sh
# See `compose/rollback.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh rollback "$@"
