"""The sidecar: checks that run beside the others, in a gate of their own.

Most checks of `lifecycle` wait a lot, on a deployment that they make. So a whole run starts a gate
for them as soon as smoke has passed, goes on meanwhile, and takes its results from its stream
before load, which wants the machine for itself. That gate looks at no target and brings none up:
two stacks at a time is what two cores bear. With a third one healthy stacks answered too late for
their checks.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gate.checks import identifier, stage_of
from gate.machine.commands import end
from gate.stages import STAGES, Stage
from reports.events import (
    CheckResult,
    Event,
    Phase,
    RunFinished,
    Trouble,
    events_of_kind,
    from_line,
)
from reports.stream import FILE, read

ROOT = Path(__file__).parent.parent
STAGE = next(stage.name for stage in STAGES.values() if stage.has_sidecar)
"""What is left for the run itself takes about as long."""
TARGET = frozenset({"seen", "operator", "gate"})
"""Fixtures that lead to the target of a run."""
ENDED = (0, 1)
"""pytest's exit codes of a run that came to its end."""
STOP_SECONDS = 60.0
"""To take its stack away."""
POLL_SECONDS = 0.2


def chosen(items: Sequence[pytest.Item]) -> tuple[str, ...]:
    """Choose the checks that run beside the others, by node id; none where no others are left."""
    if not any(_stage(item).needs_smoke and not _stage(item).has_sidecar for item in items):
        return ()
    return tuple(
        item.nodeid for item in items if _stage(item).has_sidecar and not looks_at_the_target(item)
    )


def looks_at_the_target(item: pytest.Item) -> bool:
    """Say whether a check is of the run's target, rather than of what it makes itself."""
    return not TARGET.isdisjoint(getattr(item, "fixturenames", ()))


def ordered(items: Sequence[pytest.Item], nodes: Sequence[str]) -> list[pytest.Item]:
    """Sort the items of `nodes` after all others but those of a stage that runs alone."""

    def turn(item: pytest.Item) -> int:
        return 2 if _stage(item).runs_alone else int(item.nodeid in nodes)

    return sorted(items, key=turn)


def _stage(item: pytest.Item) -> Stage:
    return STAGES[stage_of(identifier(item.nodeid))]


class Sidecar:
    """The gate of one stage's checks, while it runs."""

    def __init__(
        self, stage: str, nodes: Sequence[str], folder: Path, options: Sequence[str], now: float
    ) -> None:
        self.stage = stage
        self.is_joined = False
        self._started = now
        self._folder = folder / "sidecar" / stage
        self._folder.mkdir(parents=True)
        self._bytes_read = 0
        words = [sys.executable, "-m", "pytest", "-m", stage, f"--report-dir={self._folder}"]
        with (self._folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                [*_pdeathsig_prefix(), *words, *options, *nodes],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # told to stop once, by us: not by Ctrl-C as well
            )

    def join(self) -> None:
        """Wait for its end. Its stages have their own time budgets."""
        self.is_joined = True
        while self._process.poll() is None:
            time.sleep(POLL_SECONDS)  # not wait(): that would not let a signal through at once

    def stop(self) -> None:
        """End it early, with its stack taken away."""
        end(self._process, STOP_SECONDS)  # what a killed one leaves is swept by the next run

    def events(self) -> Iterator[Event]:
        """Read what it says of its checks, times in seconds of the run beside which it ran."""
        seen = self._seen()
        for event in seen:
            if isinstance(event, CheckResult | Trouble):
                yield event
            elif isinstance(event, Phase) and event.name == self.stage:
                yield replace(event, started=round(event.started + self._started, 3))
        ends = [event.pytest_exit for event in events_of_kind(seen, RunFinished)]
        if not ends or ends[-1] not in ENDED:
            yield self._broken_off()

    def new_events(self) -> list[Event]:
        """Read what it has written since the last call; a line that is half written waits."""
        path = next(self._folder.glob(f"runs/*/{FILE}"), None)
        if path is None:
            return []
        with path.open("rb") as file:
            file.seek(self._bytes_read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._bytes_read += len(whole) + len(newline)
        return [event for line in whole.splitlines() if (event := from_line(line)) is not None]

    def logs(self) -> Iterator[tuple[str, str]]:
        """Read name and text of what it kept for its findings."""
        for path in sorted(self._folder.glob("runs/*/logs/*")):
            yield f"{self.stage}-{path.name}", path.read_text("utf-8", "replace")

    def _seen(self) -> list[Event]:
        """Its stream; a run folder of its own holds one."""
        found = list(self._folder.glob(f"runs/*/{FILE}"))
        return read(found[0].parent) if found else []

    def _broken_off(self) -> Trouble:
        output = (self._folder / "output.log").read_text("utf-8", "replace").strip()[-600:]
        return Trouble(
            f"the gate of {self.stage} ended with {self._process.returncode}",
            expected="it to judge all of its checks",
            seen=output or "no output",
            next_step=f"run `pytest -m {self.stage}` by itself",
        )


def is_possible() -> bool:
    """Say whether the machine has a core to spare."""
    return (os.cpu_count() or 1) > 1


def _pdeathsig_prefix() -> list[str]:
    """Words before a command that have it stopped when this process is killed."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "TERM"] if found else []
