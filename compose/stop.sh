#!/bin/sh
# See `compose/stop.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh stop "$@"
