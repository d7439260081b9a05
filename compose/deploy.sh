#!/bin/sh
# See `compose/deploy.sh --help`.
exec sh "$(dirname "$(readlink -f "$0")")/lifecycle/run.sh" deploy "$@"
