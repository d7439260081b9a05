#!/bin/sh
# See `compose/restore.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" restore "$@"
