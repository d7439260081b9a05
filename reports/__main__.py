"""`python -m reports RUN` writes the reports of a run again, such as one that was killed.

`python -m reports schema` writes events.schema.json from the classes of the events.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from reports import schema, terminal
from reports.stream import FILE
from reports.write import finish

USAGE = "usage: python -m reports RUN [--report-dir DIR], where RUN is a folder, a run id or latest"


class BadArgument(Exception):
    """A call that cannot be served; its text says what to do instead."""


def main(arguments: list[str]) -> int:
    """Write the reports again; the exit code is that of the verdict, 4 for a bad argument."""
    if arguments == ["schema"]:
        schema.FILE.write_text(schema.text(), encoding="utf-8")
        return 0
    try:
        folder = _folder(*_parse(arguments))
    except BadArgument as error:
        sys.stderr.write(f"{error}\n")
        return 4
    verdict = finish(folder)
    out = sys.stdout
    try:
        out.write(terminal.fitted(verdict, out, str(folder / "index.html")))
        out.flush()
    except OSError:  # nobody reads it: Python would end with 120 over what it still holds
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return int(verdict["exit_code"])


def _parse(arguments: list[str]) -> tuple[str, Path]:
    root = Path(__file__).parent
    left = list(arguments)
    if "--report-dir" in left[:-1]:
        place = left.index("--report-dir")
        root = Path(left[place + 1])
        del left[place : place + 2]
    if len(left) != 1 or left[0].startswith("-"):
        raise BadArgument(f"One run is needed and {len(left)} arguments were given; {USAGE}.")
    return left[0], root


def _folder(run: str, root: Path) -> Path:
    places = [Path(run), root / run if run == "latest" else root / "runs" / run]
    for place in places:
        if (place / FILE).is_file():
            return place
    known = sorted(path.name for path in (root / "runs").glob("*") if (path / FILE).is_file())
    some = f"runs there: {', '.join(known[-5:])}" if known else f"no run is in {root / 'runs'} yet"
    raise BadArgument(f"There is no run {run!r} with an {FILE}; {some}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
