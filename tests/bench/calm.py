"""`make calm N=30`: full gates on healthy stacks, where every finding is a false alarm.

A third of the runs has to share both cores with busy loops, another third reaches the API over
100 ms of network delay. Writes reports/bench/gate.json: false alarms, and the wall times.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compose.machine.console import say
from tests.bench.record import Figure, write
from tests.faults.runs import Outcome, gate

GATE_SECONDS = 300
DELAY = """\
id = "far-away"
title = "The API is 100 ms away: no defect, nothing may be found"
component = "breakout-bot-api"
stages = ["smoke"]
findings = ["smoke.*"]
[[network]]
service = "breakout-bot-api"
condition = "delay"
port = 8000
ms = 50
"""
"""50 ms each way."""
KINDS = ("calm", "contended", "delayed")


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
        return gate(*words, f"--fault={fault}", folder=folder, limit=4 * GATE_SECONDS)
    if kind == "contended":
        with busy():
            return gate(*words, folder=folder, limit=4 * GATE_SECONDS)
    return gate(*words, folder=folder, limit=4 * GATE_SECONDS)


def main() -> int:
    """Run them all; 1 when anything was found or could not be judged."""
    parser = argparse.ArgumentParser(prog="make calm")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--stages", help="a -m expression; all stages without it")
    asked = parser.parse_args()
    alarms: Counter[str] = Counter()
    walls: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(asked.runs):
        kind = KINDS[number % len(KINDS)]
        with tempfile.TemporaryDirectory() as folder:
            outcome = one(kind, Path(folder), asked.stages)
        found = [check for _, check in outcome.roots] + outcome.troubles
        alarms.update(found)
        walls[kind].append(outcome.seconds)
        say(f"{number + 1}/{asked.runs} {kind}: {outcome.seconds:.0f} s, {found or 'no finding'}")
    write("gate", list(figures(alarms, walls)))
    return int(bool(alarms))


def figures(alarms: Counter[str], walls: dict[str, list[float]]) -> Iterator[Figure]:
    """What was found where nothing is wrong, and how long a gate takes."""
    yield Figure("healthy runs", "", [sum(map(len, walls.values()))], 30, "higher")
    yield Figure("false alarms", "", [alarms.total()], 0)
    targets = {"calm": GATE_SECONDS, "contended": None, "delayed": None}
    for kind, seconds in walls.items():
        if seconds:
            yield Figure(f"wall time of a gate, {kind}", "s", seconds, targets[kind])


if __name__ == "__main__":
    sys.exit(main())
