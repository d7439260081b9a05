#!/bin/sh
# Makes .venv with the packages of `venv.sh production|gate|development`, locked with hashes in
# requirements/; each has the one before in it. Costs milliseconds when that is done already.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-development} in
production) layers=production ;;
gate) layers="production gate" ;;
development) layers="production gate development" ;;
*)
    echo "expected production, gate or development, got $1; see requirements/" >&2
    exit 4
    ;;
esac
layer=${layers##* }

locked() { cat "requirements/$1.txt" pyproject.toml | sha256sum; }

# Made in this place, for the Python that it starts: after an upgrade of the system, a move, a rename
# or a copy it is not; its packages are not found then, or its programs run another folder.
sound() {
    runs=$(.venv/bin/python -ISc 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) &&
        place=$(cd .venv && pwd -P) &&
        made=$(sed -n 's/^version = \([0-9]*\.[0-9]*\).*/\1/p
            s/^command = .* -m venv \(--[^ ]* \)*//p' .venv/pyvenv.cfg 2>/dev/null) &&
        [ "$made" = "$runs
$place" ]
}

current() {
    [ "$(cat .venv/$layer.sha256 2>/dev/null)" = "$(locked $layer)" ] && sound
}

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
echo "making .venv for $layer ..." >&2
if ! find_python && [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]; then
    quietly apt-get -q update
    DEBIAN_FRONTEND=noninteractive quietly apt-get -qy install --no-install-recommends \
        python3 python3-venv
fi
find_python || {
    echo "Expected Python 3.11 or newer with venv, but found none. Install it and repeat." >&2
    exit 6
}
if ! { sound && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    [ ! -L .venv ] || rm .venv # what it leads to is another folder's
    quietly $python -m venv --clear .venv
fi
rm -f .venv/*.sha256 # a larger set that shares packages with this one is looked at again
quietly .venv/bin/python -m pip install --require-hashes --quiet -r requirements/$layer.txt
quietly .venv/bin/python -m pip install --no-deps --no-build-isolation --no-index --quiet -e .
for each in $layers; do locked "$each" >".venv/$each.sha256"; done
echo "making .venv for $layer: $(($(date +%s) - started)) s" >&2
