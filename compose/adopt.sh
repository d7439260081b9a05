#!/bin/sh
# See `compose/adopt.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh adopt "$@"
