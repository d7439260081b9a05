"""`make calm N=30`: full gates on healthy stacks, where every finding is looked into.

A third of the runs has to share both cores with busy loops, another third reaches the stack over
100 ms of network delay. Every run is kept at once in reports/bench/calm.jsonl, a line with its date
and the tree it judged; `AGAIN=1` goes on with what is there, so that 30 runs may take several
nights or machines. Writes reports/bench/gate.json: false alarms, wall times, and from the kill
matrix how soon a fault is found.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from compose.release import release
from gate.machine.console import Parser, say
from gate.sweep import new_run_id
from tests.bench.record import FOLDER, Figure, publish, write, write_rows
from tests.faults import matrix
from tests.faults.runs import ROOT, Outcome, gate, stoppable

RESULTS = FOLDER / "calm.jsonl"
REPORTS = ROOT / "reports" / "calm"
RUNS = 30

GATE_SECONDS = 300
LIMIT = 1800.0
DELAY = """\
id = "far-away"
title = "The stack is 100 ms away: no defect, nothing may be found"
component = "proxy"
stages = ["smoke"]
findings = ["smoke.*"]
[[network]]
service = "proxy"
condition = "delay"
port = 8443
ms = 50
"""
"""50 ms each way, before the one service that no check restarts: the delay would end with that."""
KINDS = {
    "calm": "nothing else at work",
    "contended": "a busy loop on every core",
    "delayed": "the stack 100 ms away, stages in turn",
}
FORMER = {"delayed at first": "the API 100 ms away until its first restart, stages in turn"}
"""Kinds that were run and are not any more."""


@contextmanager
def busy() -> Iterator[None]:
    """A busy loop on every core."""
    words = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(words) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def one(kind: str, folder: Path, stages: str | None) -> Outcome:
    """One run of the gate on a healthy stack."""
    words = ["-m", stages] if stages else []
    if kind == "delayed":
        fault = folder / "far-away.toml"
        fault.write_text(DELAY, encoding="utf-8")
        return gate(*words, f"--fault={fault}", folder=folder, limit=LIMIT)
    if kind == "contended":
        with busy():
            return gate(*words, folder=folder, limit=LIMIT)
    return gate(*words, folder=folder, limit=LIMIT)


@dataclass(frozen=True)
class Row:
    """One run: its kind, the tree it judged, when it ended (UTC), its seconds, what it said."""

    kind: str
    tree: str
    made: str
    seconds: float
    found: tuple[str, ...]
    """Findings: the check, what it expected, what it saw."""
    undecided: tuple[str, ...]
    """Why it could not judge: no alarm, but no answer either."""
    right: str = ""
    """The fault that was found and nobody had planted; written in by who found its cause."""

    @property
    def alarms(self) -> tuple[str, ...]:
        """False alarms: what was found on a stack that was healthy."""
        return () if self.right else self.found


def ran(kind: str, stages: str | None) -> Row:
    """One run of the gate, told; the report of one that was held stays in reports/calm."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outcome = one(kind, folder, stages)
        if outcome.code:
            (folder / "output.log").write_text(outcome.output, encoding="utf-8")
            shutil.copytree(folder, REPORTS / f"{kind}-{new_run_id()}", symlinks=True)
    found = tuple(map(_words, outcome.verdict.get("findings", ())))
    if outcome.verdict.get("verdict") == "HOLD" and not found:  # required checks that did not run
        found = tuple(outcome.verdict.get("reasons", ("held without a reason",)))
    troubles = tuple(outcome.troubles if outcome.verdict else [outcome.output[-300:]])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Row(kind, release().tag, now, round(outcome.seconds, 1), found, troubles)


def _words(finding: dict[str, str]) -> str:
    return "{check}: expected {expected}, seen {seen}".format_map(finding)[:400]


def kept() -> list[Row]:
    """The runs that are there."""
    if not RESULTS.exists():
        return []
    return [Row(**json.loads(line)) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def keep(rows: list[Row]) -> None:
    """Write the runs where they are committed, their figures, and the table in docs/measured.md."""
    write_rows(RESULTS, rows)
    write("gate", list(figures(rows)))
    publish("calm", table(rows))


def main() -> int:
    """Run as many as are wanted; 1 when anything was found or could not be judged."""
    parser = Parser(prog="make calm")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--stages", help="a -m expression, and keep nothing")
    parser.add_argument("--kind", choices=list(KINDS), help="only runs of this kind")
    parser.add_argument("--again", action="store_true", help="go on with the runs that are there")
    asked = parser.parse_args()
    if asked.runs < 1:
        parser.error(f"expected N to be 1 or more, got {asked.runs}")
    rows = kept() if asked.again and not asked.stages else []
    for number in range(asked.runs):
        kind = asked.kind or list(KINDS)[len(rows) % len(KINDS)]
        say(f"{number + 1}/{asked.runs} {kind} ({KINDS[kind]}) ...")
        row = ran(kind, asked.stages)
        rows.append(row)
        told = ", ".join([*row.found, *row.undecided]) or "no finding"
        say(f"{number + 1}/{asked.runs} {kind}: {row.seconds:.0f} s, {told}")
        if not asked.stages:
            keep(rows)
    return int(any(row.alarms or row.undecided for row in rows))


def figures(rows: list[Row]) -> Iterator[Figure]:
    """What was found where nothing is wrong, and how long a gate takes."""
    healthy = [row for row in rows if not row.right]
    yield Figure("healthy runs", "", [len(healthy)], RUNS, "higher")
    contended = sum(row.kind == "contended" for row in healthy)
    yield Figure("healthy runs under contention", "", [contended], RUNS // len(KINDS), "higher")
    yield Figure("false alarms", "", [sum(len(row.alarms) for row in rows)], 0)
    yield Figure("runs that found a fault nobody had planted", "", [len(rows) - len(healthy)])
    yield Figure("undecided runs", "", [sum(bool(row.undecided) for row in rows)])
    targets = {"calm": GATE_SECONDS, "contended": None, "delayed": None}
    for kind, target in targets.items():
        seconds = [row.seconds for row in rows if row.kind == kind]
        if seconds:
            yield Figure(f"wall time of a gate, {kind}", "s", seconds, target)
    sooner = matrix.summary(matrix.rows(matrix.RESULTS))["smoke_seconds"]
    if sooner is not None:
        yield Figure("planted fault to finding, smoke, mean", "s", [sooner])


def table(rows: list[Row]) -> str:
    """What docs/measured.md tells of these runs, as a table of Markdown."""
    titles = {**KINDS, **FORMER}
    of = {title: [row for row in rows if row.kind == kind] for kind, title in titles.items()}
    return (
        "| stack without a planted fault | runs | found one all the same | false alarms"
        " | undecided | whole gate, s: median, shortest, longest |\n"
        "|---|---|---|---|---|---|\n"
    ) + "".join(_told(title, its) for title, its in {**of, "all": rows}.items() if its)


def _told(title: str, rows: list[Row]) -> str:
    seconds = [row.seconds for row in rows]
    right = sum(bool(row.right) for row in rows)
    alarms = sum(len(row.alarms) for row in rows)
    undecided = sum(bool(row.undecided) for row in rows)
    times = f"{median(seconds):.0f}, {min(seconds):.0f}, {max(seconds):.0f}"
    return f"| {title} | {len(rows)} | {right} | {alarms} | {undecided} | {times} |\n"


if __name__ == "__main__":
    sys.exit(stoppable(main))
