#!/bin/sh
# Makes .venv from the hash-locked requirements.txt; costs milliseconds when that is done already.
set -eu
cd "$(dirname "$0")/../.."
stamp=.venv/requirements.sha256
wanted=$(cat requirements.txt pyproject.toml | sha256sum)

current() { [ -x .venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; }

usable() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if usable $python; then return 0; fi
    done
    return 1
}

quietly() {
    if "$@" >"$log" 2>&1; then return 0; fi
    cat "$log" >&2
    echo "Expected \`$1\` to succeed, but it failed: its output is above. Mend that and repeat." >&2
    exit 6
}

if current; then exit 0; fi
if command -v flock >/dev/null; then
    mkdir -p .venv
    exec 9<.venv
    flock 9
    if current; then exit 0; fi
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
started=$(date +%s)
echo "making .venv ..." >&2
if ! find_python && [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
    quietly apt-get -q update
    DEBIAN_FRONTEND=noninteractive quietly apt-get -qy install --no-install-recommends \
        python3 python3-venv
fi
find_python || {
    echo "Expected Python 3.11 or newer with venv, but found none. Install it and repeat." >&2
    exit 6
}
[ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 ||
    quietly $python -m venv --clear .venv
quietly .venv/bin/python -m pip install --require-hashes --quiet -r requirements.txt
quietly .venv/bin/python -m pip install --no-deps --no-build-isolation --no-index --quiet -e .
echo "$wanted" >$stamp
echo "making .venv: $(($(date +%s) - started)) s" >&2
