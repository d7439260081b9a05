"""What the gate reads of a compose project: `python -m gate.explain [FILE|FOLDER]`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from gate.errors import GateError
from gate.kinds import kinds_of
from gate.machine.console import Parser, say, show
from gate.project import Project, render


def table(project: Project) -> list[tuple[str, str, str]]:
    """Give a row a service: name, kinds, what tells them."""
    rows = []
    for name, service in project.services.items():
        known = kinds_of(service, project)
        reasons = dict.fromkeys(each.reason for each in known)
        rows.append((name, ", ".join(each.kind for each in known), "; ".join(reasons)))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the services of a project with their kinds."""
    parser = Parser(prog="python -m gate.explain", description=__doc__)
    parser.add_argument("place", nargs="?", type=Path, default=Path(), metavar="FILE|FOLDER")
    parser.add_argument("more", nargs="*", type=Path, help="compose files on top", metavar="FILE")
    asked = parser.parse_args(arguments)
    try:
        project = render(asked.place, asked.more)
    except GateError as error:
        say(str(error))
        return error.exit_code
    rows = [("SERVICE", "KINDS", "BECAUSE"), *table(project)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, kinds, reasons in rows:
        show(f"{name:<{widths[0]}}  {kinds:<{widths[1]}}  {reasons}")
    if project.unset:
        say(f"cannot tell what is made from variables that are not set: {', '.join(project.unset)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
