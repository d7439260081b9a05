"""Runs of the gate against planted faults, in processes of their own, as a user starts them."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gate.machine import interrupts
from gate.machine.commands import end
from gate.machine.console import INTERRUPTED, say
from gate.machine.docker import pinned
from gate.running import running_stack
from gate.stack import Stack
from gate.target import SERVICES, Target
from reports.events import CheckResult, Event, FaultPlanted, events_of_kind
from reports.events import Outcome as CheckOutcome
from reports.stream import read as read_events
from tests.faults.fault import Fault
from tests.faults.planting import WELL_SECONDS, wait_until_well

ROOT = Path(__file__).parent.parent.parent
LIMIT = 60.0
GATE_LIMIT = 600.0
STOP_SECONDS = 120.0
"""For a gate that is told to stop: it ends the one beside it, and takes two stacks away."""


@dataclass(frozen=True)
class Outcome:
    """What one run of the gate said."""

    code: int
    verdict: dict[str, Any]
    events: list[Event]
    output: str
    seconds: float

    @property
    def roots(self) -> list[tuple[str, str]]:
        """(component, check) of each finding."""
        return [(one["component"], one["check"]) for one in self.verdict["findings"]]

    @property
    def failed(self) -> list[CheckResult]:
        """Every check that failed, those folded under a finding too, in the order they ran."""
        results = events_of_kind(self.events, CheckResult)
        return [one for one in results if one.outcome is CheckOutcome.FAILED]

    @property
    def troubles(self) -> list[str]:
        """Why the gate itself may know nothing."""
        return [one["message"] for one in self.verdict.get("troubles", ())]


def gate(
    *arguments: str,
    folder: Path,
    environment: dict[str, str] | None = None,
    limit: float = GATE_LIMIT,
) -> Outcome:
    """Run the gate as a user does, in a process of its own.

    Raises `subprocess.TimeoutExpired` after `limit` seconds. Whatever ends the waiting, a gate that
    is still at work takes its stacks away first.
    """
    command = [sys.executable, "-m", "pytest", *arguments, f"--report-dir={folder}"]
    base = {"PATH": os.environ["PATH"], "HOME": str(folder), **pinned()}
    started = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**base, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # told to stop once, by us: not by Ctrl-C as well
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        finally:
            end(process, STOP_SECONDS)  # what a killed one leaves is swept by the next run
    seconds = time.monotonic() - started
    latest = folder / "latest"
    path = latest / "verdict.json"
    verdict = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    events = read_events(latest) if path.exists() else []
    return Outcome(process.returncode, verdict, events, output, seconds)


def stoppable(main: Callable[[], int]) -> int:
    """Run a command that TERM and HUP end as Ctrl-C does, with what it started taken away."""
    for number in interrupts.heeded():
        signal.signal(number, signal.default_int_handler)
    try:
        return main()
    except KeyboardInterrupt:
        say("stopped: what was found before is kept")
        return INTERRUPTED


@contextmanager
def healthy_stack() -> Iterator[Stack]:
    """A stack of this tree that several runs may use, one after the other."""
    with running_stack() as stack:
        wait_until_well(stack, WELL_SECONDS)
        yield stack


@dataclass
class Result:
    """What became of one fault at one stage."""

    fault: str
    title: str
    component: str
    covers: list[str]
    stage: str
    outcome: str
    """`caught`, `missed`, or `error` when the fault did not take or the gate had trouble."""
    checks: list[str] = field(default_factory=list)
    """Expected checks that failed."""
    red: list[str] = field(default_factory=list)
    """All checks that failed."""
    first: str | None = None
    """The component that the first finding names."""
    seconds: float | None = None
    """From the planted fault to the first expected check that failed."""
    wall: float = 0.0
    """Seconds of the whole run."""
    message: str = ""
    file: str = ""
    """Digest of the fault's file: what is known of another file says nothing of this one."""
    made: str = ""
    """When it ran, UTC."""

    @property
    def right_first(self) -> bool:
        """Whether the first finding blames who is to blame."""
        return self.outcome == "caught" and self.first == self.component

    @property
    def row(self) -> dict[str, Any]:
        """This result as JSON."""
        return {**asdict(self), "right_first": self.right_first}


def run_with_fault(
    fault: Fault, stage: str, folder: Path, run_id: str | None = None, *, quick: bool = False
) -> Result:
    """Run a stage with a fault planted: on a stack of its own, or on the standing one of a run.

    `quick` ends the stage once the fault is found: what else it turns red is not seen then.
    """
    words = ["-m", stage, f"--fault={fault.path}", *([f"--on-stack={run_id}"] if run_id else ())]
    words += ["--until-caught"] if quick else []
    try:
        return read(fault, stage, gate(*words, folder=folder))
    except subprocess.TimeoutExpired:
        late = f"no verdict within {GATE_LIMIT:g} s"
        return _result(fault, stage, "error", wall=GATE_LIMIT, message=late)


def read(fault: Fault, stage: str, outcome: Outcome) -> Result:
    """What a run says about a fault at a stage."""
    failed = [event for event in outcome.failed if event.stage == stage]
    expected = [event for event in failed if fault.expects(event.check)]
    planted = [event.t for event in events_of_kind(outcome.events, FaultPlanted)]
    trouble = outcome.troubles or ([] if outcome.verdict else [outcome.output[-600:]])
    if not planted or (trouble and not expected):
        why = trouble[0] if trouble else "the fault was not planted"
        return _result(fault, stage, "error", wall=outcome.seconds, message=why)
    roots = [f"{who}: {check}" for who, check in outcome.roots]
    return _result(
        fault,
        stage,
        "caught" if expected and outcome.verdict["verdict"] == "HOLD" else "missed",
        checks=[event.check for event in expected],
        red=[event.check for event in failed],
        first=outcome.roots[0][0] if outcome.roots else None,
        seconds=round(expected[0].t - planted[-1], 2) if expected else None,
        wall=round(outcome.seconds, 1),
        message="; ".join(trouble + roots or outcome.verdict["reasons"]),
    )


def digest(fault: Fault) -> str:
    """What tells a fault's file from a changed one."""
    return hashlib.sha256(fault.path.read_bytes()).hexdigest()[:12]


def _result(fault: Fault, stage: str, outcome: str, **more: Any) -> Result:
    told = (fault.id, fault.title, fault.component, list(fault.covers), stage, outcome)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Result(*told, **more, file=digest(fault), made=made)


def described(target: Target, project: str) -> str:
    """A target file for a stack."""
    rows = [f'{s} = "{target.urls.get(s) or _without(target, s)}"' for s in SERVICES]
    head = {
        "name": "planted",
        "kind": "live",
        "project": project,
        "ca_file": target.ca_file,
        "plain_http": target.plain_http,
    }
    return "\n".join([*(f'{key} = "{value}"' for key, value in head.items()), "[services]", *rows])


def _without(target: Target, service: str) -> str:
    return "absent" if service in target.unavailable else "internal"
