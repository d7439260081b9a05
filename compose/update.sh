#!/bin/sh
# See `compose/update.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" update "$@"
