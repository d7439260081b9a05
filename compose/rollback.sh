#!/bin/sh
# See `compose/rollback.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" rollback "$@"
