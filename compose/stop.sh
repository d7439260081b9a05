#!/bin/sh
# See `compose/stop.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" stop "$@"
