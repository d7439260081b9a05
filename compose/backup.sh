#!/bin/sh
# See `compose/backup.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh backup "$@"
