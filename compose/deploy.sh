#!/bin/sh
# See `compose/deploy.sh --help`.
cd "$(dirname "$0")/.." && exec sh compose/lifecycle/run.sh deploy "$@"
