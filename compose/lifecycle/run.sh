#!/bin/sh
# Runs one lifecycle command in the project's virtual environment, made where there is none.
sh compose/machine/venv.sh && exec .venv/bin/python -m compose.lifecycle "$@"
