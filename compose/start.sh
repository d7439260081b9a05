#!/bin/sh
# See `compose/start.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh start "$@"
