#!/bin/sh
# See `compose/status.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" status "$@"
