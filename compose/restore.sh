#!/bin/sh
# See `compose/restore.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh restore "$@"
