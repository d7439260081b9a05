"""Runs a stage many times in a row, to see that it does not flicker (`make repeat`)."""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from gate.machine.console import Parser, say
from gate.stages import STAGES
from tests.bench.record import Figure, report
from tests.faults.runs import gate, stoppable

RUN_LIMIT = 1200.0


def repeat(stage: str, times: int) -> list[Figure]:
    """The figures of so many runs, each reported as it ends."""
    seconds, green, fallen = list[float](), list[float](), Counter[str]()
    for number in range(1, times + 1):
        say(f"{stage} {number} of {times} ...")
        with tempfile.TemporaryDirectory() as folder:
            outcome = gate("-m", stage, folder=Path(folder), limit=RUN_LIMIT)
        failed = [check for _, check in outcome.roots]
        fallen.update(failed)
        seconds.append(outcome.seconds)
        green.append(float(outcome.code == 0))
        end = f"exit {outcome.code}, {outcome.seconds:.0f} s"
        say(f"{stage} {number} of {times}: {end} {' '.join(failed)}")
    for check, count in fallen.most_common():
        say(f"{check} failed in {count} of {times} runs")
    return [
        Figure("green runs in a row", "runs", [sum(green)], times, "higher"),
        Figure("one run, stack and all", "s", seconds),
    ]


def main() -> int:
    """Repeat a stage and write reports/bench/repeat-STAGE.json; 1 unless every run was green."""
    parser = Parser(prog="make repeat", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("times", type=int)
    asked = parser.parse_args()
    if asked.times < 1:
        parser.error(f"expected N to be 1 or more, got {asked.times}")
    figures = repeat(asked.stage, asked.times)
    report(f"repeat-{asked.stage}", figures)
    return 0 if figures[0].meets else 1


if __name__ == "__main__":
    sys.exit(stoppable(main))
