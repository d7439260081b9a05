"""The bot's own command for its database (`python -m breakout_bot.data`), and how it is run.

Nothing else here knows the database's tables. An image that has the command runs its own, which
knows its own schema; an older release is given the text of this checkout's by its Python.
"""

import json
import sys
from pathlib import Path
from typing import Any

from compose.lifecycle.archives import RESERVE
from compose.lifecycle.errors import Rejected
from compose.release import HERE
from gate.errors import MachineError
from gate.machine.commands import run

MODULE = "breakout_bot.data"
BOT_FOLDER = HERE / "api"
PYTHON = "/venv/bin/python"
HOST_LIMIT = 120.0
MISSING, UNSOUND = 9, 3
"""Exit codes of the command: no database; one that cannot be used."""
RESERVED = ("--reserve", str(RESERVE))
LAUNCHER = f"""
import importlib.util, runpy, sys
source = sys.argv.pop()
if importlib.util.find_spec('{MODULE}'):
    runpy.run_module('{MODULE}', run_name='__main__', alter_sys=True)
else:
    exec(compile(source, '{MODULE}', 'exec'))
"""


def program(image: str, *arguments: str) -> list[str]:
    """Give the end of a `docker run` of the command: entry point, image and arguments."""
    source = (BOT_FOLDER / "breakout_bot" / "data.py").read_text(encoding="utf-8")
    return ["--entrypoint", PYTHON, image, "-c", LAUNCHER, *arguments, source]


def read_copy(path: Path, command: str = "describe") -> Any:
    """Read a copy of a database on this host. Raises `Rejected` when it is not sound.

    By the text of this checkout, not by an image: an archive is looked at before anything else is.
    """
    program = [sys.executable, "-m", MODULE, "--file", str(path), command]
    done = run(program, HOST_LIMIT, cwd=BOT_FOLDER, env={"PYTHONDONTWRITEBYTECODE": "1"})
    if done.code == UNSOUND:
        raise Rejected(f"the copy of the database {done.err.strip()}")
    if not done.ok:
        raise MachineError(f"Expected to read a copy of the database, but: {done.text[-300:]}")
    return json.loads(done.out)
