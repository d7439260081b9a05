"""Checks that run beside the others, in a gate of their own on a stack of their own.

`lifecycle` mostly waits, and does not touch the stack that the other stages judge. So a whole run
starts a gate for it as soon as smoke has passed, goes on meanwhile, and takes its results from its
stream before load, which wants the machine for itself. Two stacks at a time is what two cores
bear: with a third one healthy stacks answered too late for their checks.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from reports.stream import FILE, Event, read

ROOT = Path(__file__).parent.parent
PLACES = ("tests/lifecycle/",)
"""Where such checks live. What is left for the run itself takes about as long."""
LAST = "load"
ENDED = (0, 1)
"""pytest's exit codes of a run that came to its end."""
STOP_SECONDS = 60.0
"""To take its stack away."""
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Group:
    """The checks of one place, and the stage they are of."""

    place: str
    stage: str
    nodes: tuple[str, ...]

    @property
    def name(self) -> str:
        """For files and for people, such as `lifecycle`."""
        return Path(self.place).stem.removeprefix("test_")


def grouped(items: Sequence[pytest.Item]) -> list[Group]:
    """What of a run's checks is run beside the others; nothing where no others are left."""
    found = []
    for place in PLACES:
        nodes = tuple(item.nodeid for item in items if item.nodeid.startswith(place))
        if nodes:
            found.append(Group(place, place.split("/")[1], nodes))
    others = [item for item in items if not item.nodeid.startswith((*PLACES, "tests/smoke/"))]
    return found if others else []


def ordered(items: Sequence[pytest.Item], groups: Sequence[Group]) -> list[pytest.Item]:
    """The items with those of the groups after all others but load's."""
    beside = {name for group in groups for name in group.nodes}

    def turn(item: pytest.Item) -> int:
        return 2 if item.nodeid.startswith(f"tests/{LAST}/") else int(item.nodeid in beside)

    return sorted(items, key=turn)


class Beside:
    """The gate of one group, while it runs."""

    def __init__(self, group: Group, folder: Path, options: Sequence[str], now: float) -> None:
        self.group = group
        self.joined = False
        self._started = now
        self._folder = folder / "beside" / group.name
        self._folder.mkdir(parents=True)
        words = [sys.executable, "-m", "pytest", "-m", group.stage, f"--report-dir={self._folder}"]
        with (self._folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                [*_dies_with_us(), *words, *options, *group.nodes],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def join(self) -> None:
        """Wait for its end. Its stages have their own time budgets."""
        self.joined = True
        while self._process.poll() is None:
            time.sleep(POLL_SECONDS)  # not wait(): that would not let a signal through at once

    def stop(self) -> None:
        """End it early, with its stack taken away."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()  # what it leaves is swept by the next run
                self._process.wait()

    def events(self) -> Iterator[Event]:
        """What it says of its checks, times in seconds of the run beside which it ran."""
        seen = self._seen()
        for event in seen:
            if event["kind"] == "check":
                yield event
            elif event["kind"] == "phase" and event["name"] == self.group.stage:
                yield event | {"started": round(event["started"] + self._started, 3)}
            elif event["kind"] == "trouble":
                yield event
        ends = [event["pytest_exit"] for event in seen if event["kind"] == "run_finished"]
        if not ends or ends[-1] not in ENDED:
            yield self._broken_off()

    def logs(self) -> Iterator[tuple[str, str]]:
        """Name and text of what it kept for its findings."""
        for path in sorted(self._folder.glob("runs/*/logs/*")):
            yield f"{self.group.name}-{path.name}", path.read_text("utf-8", "replace")

    def _seen(self) -> list[Event]:
        """Its stream; a run folder of its own holds one."""
        found = list(self._folder.glob(f"runs/*/{FILE}"))
        return read(found[0].parent) if found else []

    def _broken_off(self) -> Event:
        said = (self._folder / "output.log").read_text("utf-8", "replace").strip()[-600:]
        return {
            "kind": "trouble",
            "message": f"the gate of {self.group.place} ended with {self._process.returncode}",
            "expected": "it to judge all of its checks",
            "seen": said or "it said nothing",
            "next_step": f"run `pytest -m {self.group.stage}` by itself",
        }


def possible() -> bool:
    """Whether the machine has a core to spare."""
    return (os.cpu_count() or 1) > 1


def _dies_with_us() -> list[str]:
    """Words before a command that have it stopped when this process is killed."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "TERM"] if found else []
