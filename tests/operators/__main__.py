"""`make operators`: the gate as operators use it, a row a situation, each in a place of its own.

Ends with 0 when all rows passed, 1 when one failed, and 6 when none failed but one is not to be
had on this machine: nothing is known of it. Writes reports/bench/operators.json.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from gate.errors import HOLD, MACHINE, GateError
from gate.machine.commands import run
from gate.machine.console import Parser, say, step
from tests.bench.record import Figure, write
from tests.faults.runs import stoppable
from tests.operators import leftovers
from tests.operators.place import LIMIT, ROOT, NotToBeHad, Place, place
from tests.operators.rows import ROWS, Row

PASSED, FAILED, MISSING = "passed", "failed", "not to be had"


@dataclass(frozen=True)
class Outcome:
    """How a row ended."""

    name: str
    end: str
    reason: str
    seconds: float

    def __str__(self) -> str:
        reason = f": {' '.join(self.reason.replace('━', '').split())}" if self.reason else ""
        return f"{self.name:16} {self.end}{reason} ({self.seconds:.1f} s)"


def judge(row: Row, is_cheap: bool) -> Outcome:
    """Run one row; whatever it left behind makes it a failed one."""
    started, before = time.monotonic(), leftovers.children()
    with leftovers.adopting(), place(is_cheap) as where:
        try:
            end, reason = _ended(row, where)
        finally:
            left = leftovers.take_processes(before) + leftovers.take_stacks(where)
        if not left and (written := where.written_to_home()):
            left = [f"in the home {', '.join(written[:5])}"]
    if left:
        end, reason = FAILED, "; ".join(filter(None, [reason, f"left behind: {', '.join(left)}"]))
    return Outcome(row.name, end, reason, time.monotonic() - started)


def _ended(row: Row, where: Place) -> tuple[str, str]:
    try:
        row.function(where)
    except NotToBeHad as missing:
        return MISSING, str(missing)
    except (GateError, OSError, subprocess.SubprocessError, ValueError) as error:
        return FAILED, f"expected to {row.promise}; {error}"
    return PASSED, ""


def run_rows(
    rows: Sequence[Row], is_cheap: bool, tell: Callable[[str], None] = say
) -> list[Outcome]:
    """Run rows one after the other, and tell how each ended."""
    outcomes = []
    for row in rows:
        with nullcontext() if is_cheap else step(f"{row.name}: {row.promise}"):
            outcome = judge(row, is_cheap)
        tell(str(outcome))
        outcomes.append(outcome)
    count = {end: sum(one.end == end for one in outcomes) for end in (PASSED, FAILED, MISSING)}
    tell(", ".join(f"{number} {end}" for end, number in count.items() if number))
    return outcomes


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Give 1 for a failed row, 6 for one that is not to be had, 0 when all passed."""
    ends = {one.end for one in outcomes}
    return HOLD if FAILED in ends else MACHINE if MISSING in ends else 0


def main() -> int:
    """Run the rows that are named, or all."""
    parser = Parser(prog="make operators", description=__doc__)
    parser.add_argument("--cheap", action="store_true", help="start no container, make no venv")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(one.name for one in ROWS))
    asked = parser.parse_args()
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in asked.rows if name not in known]:
        parser.error(f"expected rows of {', '.join(known)}, got {', '.join(unknown)}")
    if not run(["git", "-C", ROOT, "rev-parse", "--verify", "--quiet", "HEAD"], LIMIT).ok:
        say(f"no row can be had: {ROOT} is no git repository to clone")
        return MACHINE
    changed = run(["git", "-C", ROOT, "status", "--porcelain"], LIMIT).out.splitlines()
    if changed:
        say(f"the rows judge the last commit: {len(changed)} files with changes are not in it")
    outcomes = run_rows([known[name] for name in asked.rows] or ROWS, asked.cheap)
    if not asked.cheap and not asked.rows:
        write("operators", [_figure(one) for one in outcomes])
    return exit_code(outcomes)


def _figure(outcome: Outcome) -> Figure:
    return Figure(f"{outcome.name}: {outcome.end}", "s", [outcome.seconds])


if __name__ == "__main__":
    sys.exit(stoppable(main))
