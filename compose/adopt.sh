#!/bin/sh
# See `compose/adopt.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" adopt "$@"
