#!/bin/sh
# See `compose/backup.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" backup "$@"
