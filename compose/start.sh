#!/bin/sh
# See `compose/start.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" start "$@"
