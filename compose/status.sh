#!/bin/sh
# See `compose/status.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh status "$@"
