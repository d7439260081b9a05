#!/bin/sh
# Runs one lifecycle command in the project's virtual environment, made where there is none.
# LIFECYCLE_OPTIONS are options for every command, such as `--project NAME --state FOLDER`.
sh compose/machine/venv.sh production && exec .venv/bin/python -m compose.lifecycle "$@" ${LIFECYCLE_OPTIONS:-}
