"""The recorder: what happens in a run, and what becomes of its checks, as events of its stream.

Nothing here decides anything: `reports` reads the verdict from the stream.
"""

import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

import pytest

from gate.checks import Check, CheckFailed, Failure, stage_of
from gate.containers import REVISION_LABEL, SOURCE_LABEL, VERSION_LABEL, Container
from gate.errors import MachineError
from gate.machine.limits import machine_error
from gate.machine.pressure import Pressure
from gate.stages import STAGES
from gate.target import ENTRY, Target
from gate.wait import longest_wait
from gate.wire import Sent, WireError
from reports.checks import matches
from reports.events import (
    CheckResult,
    Component,
    Event,
    Expected,
    Finding,
    Outcome,
    Phase,
    Required,
    RunFinished,
    RunStarted,
    TargetSeen,
    Trouble,
    Waiver,
)
from reports.progress import Progress
from reports.redact import Redactor
from reports.stream import Stream
from reports.tally import Tally

ROOT = Path(__file__).parent.parent
SECRET_VARIABLES = ("GATE_API_KEY", "GATE_REDIS_PASSWORD", "GRAFANA_PASSWORD")
AWAY = "smoke.reach.answers*[{component}]"
"""Checks that fail where a component does not answer at all: they explain most other failures."""
ENTRY_AWAY = f"smoke.reach.answers[{ENTRY}]"
ROOTS = ("smoke.stack.*", "smoke.containers.is_running*", "smoke.reach.*", "smoke.tls.*")
"""Checks that say why a component does not answer, so that its not answering explains none."""

SECONDS = re.compile(r"\d ?(s|ms|seconds)\b")
"""A finding that speaks of time may be of a machine that had none."""


@dataclass(frozen=True)
class PlannedCheck:
    """A check of this run."""

    identifier: str
    check: Check
    title: str

    @property
    def stage(self) -> str:
        """The stage that it belongs to."""
        return stage_of(self.identifier)


class Recorder:
    """Writes the stream of one run; `failed` has the checks that failed so far, in order."""

    def __init__(self, folder: Path, progress: Progress, secrets: Iterable[str] = ()) -> None:
        self.folder = folder
        self.failed: list[str] = []
        self.has_begun = False
        """Whether there is a stream: it is opened when something is first written."""
        self._progress = progress
        self.tally = Tally(progress.keep, progress.in_colour)
        """How far the run is."""
        self._redactor = Redactor([os.environ.get(name, "") for name in SECRET_VARIABLES])
        self.add_secrets(secrets)
        self._setup_seconds = 0.0
        self._pressure = Pressure()
        self._at_work: tuple[str, float] | None = None
        """Title of a check, and when it began."""

    @cached_property
    def stream(self) -> Stream:
        """The stream that everything is written to."""
        self.has_begun = True
        return Stream(self.folder, self._redactor)

    def add_secrets(self, secrets: Iterable[str]) -> None:
        """Keep these out of everything that is written from now on."""
        for secret in secrets:
            self._redactor.add(secret)

    def emit(self, event: Event) -> None:
        """Write one event, and count it."""
        self.stream.emit(event)
        self.tally.take(event)

    # What happens in the run

    def run_started(
        self,
        target: Target,
        expected: Expected,
        asked: Mapping[str, bool],
        command: str,
    ) -> None:
        """Write what the run is of and what it was asked for: stages, each with whether it is."""
        entry = target.urls.get(ENTRY)
        self.emit(
            RunStarted(
                run_id=self.folder.name,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                target=TargetSeen(target.name, target.kind, entry),
                expected=expected,
                asked=[stage for stage, is_asked in asked.items() if is_asked],
                not_asked=[stage for stage, is_asked in asked.items() if not is_asked],
                stages=list(STAGES),
                command=command,
            )
        )

    def run_finished(self, pytest_exit: int) -> None:
        """Write the end, after which nothing can be written."""
        if (worst := self._pressure.worst()) is not None:
            self.emit(worst)
        self.emit(RunFinished(pytest_exit, self.stream.now()))
        self.stream.close()

    def unwritten(self) -> list[Event]:
        """List what happened after the disk took no more, and why that makes the run UNDECIDED."""
        error = self.stream.error
        if error is None:
            return []
        lack = machine_error(error) or f"expected a disk that can be written to, got: {error}"
        text = f"the results of this run could not be written to {self.folder}: {lack}"
        step = "mend the cause, or give another folder with --report-dir; then run the gate again"
        return [*self.stream.unwritten, Trouble(text, seen=str(error), next_step=step)]

    @contextmanager
    def phase(self, name: str, words: str) -> Iterator[None]:
        """Time a part of the run for the report, and show it while it takes long."""
        started = self.stream.now()
        self._pressure.read()
        try:
            with self.step(words, name):
                yield
        finally:
            seconds = round(self.stream.now() - started, 3)
            self.emit(Phase(name, started, seconds))

    def step(self, words: str, name: str = "") -> AbstractContextManager[None]:
        """Show what is done while it takes long, of a stage how far the run is too."""
        status = partial(self.tally.status, name) if name in STAGES else None
        return self._progress.step(words, status)

    def waits(self) -> tuple[str, float] | None:
        """Give what is waited for, or the check at work, and the seconds so far."""
        if (wait := longest_wait()) is not None:
            return f"for {wait[0]}", wait[1]
        if self._at_work is None:
            return None
        title, began = self._at_work
        return f"in: {title}", self.stream.now() - began

    def request(self, sent: Sent) -> None:
        """Write what left this process."""
        self.emit(sent)

    def components(self, containers: Mapping[str, Container], urls: Mapping[str, str]) -> None:
        """Write the containers that were seen."""
        for name, container in containers.items():
            is_done = container.one_shot and container.exit_code == 0
            self.emit(
                Component(
                    name,
                    image=container.image,
                    version=container.labels.get(VERSION_LABEL),
                    revision=container.labels.get(REVISION_LABEL),
                    state="done" if is_done else container.state,
                    health=container.health,
                    restarts=container.restarts,
                    source=container.labels.get(SOURCE_LABEL),
                    address=urls.get(name),
                )
            )

    def trouble(self, message: str) -> None:
        """Write why the gate itself may know nothing: its own failure, or the machine's."""
        expected, _, seen = message.partition(", but")
        self.emit(
            Trouble(
                message,
                expected=expected if seen else None,
                seen=seen.lstrip(": ") or None,
                next_step="mend the cause, then run the gate again; nothing is known of the stack",
            )
        )

    def crash(self, error: Exception) -> None:
        """Write that the gate itself failed, and keep its traceback; or what the machine lacks."""
        if (lack := machine_error(error)) is not None:
            self.trouble(str(lack))
            return
        path = self.stream.attach("crash.log", "".join(traceback.format_exception(error)))
        self.trouble(f"the gate crashed: {where(error)}; its traceback is in {path}")

    @contextmanager
    def report_and_continue(self, what: str) -> Iterator[None]:
        """Write as trouble what goes wrong in here: the run has more to do."""
        try:
            yield
        except (MachineError, WireError) as error:
            self.trouble(f"{what}: {error}")
        except Exception as error:
            self.trouble(f"{what}: {machine_error(error) or where(error)}")

    # What becomes of the checks

    def begun(self, planned: PlannedCheck) -> None:
        """Note that a check is at work."""
        self._at_work = planned.title, self.stream.now()
        self._pressure.read()

    def required(self, stage: str, checks: list[str], waived: Mapping[str, str]) -> None:
        """Write which checks of a stage have to pass, and which of them need not, with a reason."""
        self.emit(Required(stage, checks))
        for check in (check for check in checks if check in waived):
            self.emit(Waiver(check, waived[check]))

    def take_result(self, planned: PlannedCheck, call: pytest.CallInfo[None]) -> None:
        """Write what became of a check: once, from the phase of its test that decided it."""
        raised = call.excinfo.value if call.excinfo else None
        if raised is None and call.when != "call":
            self._setup_seconds = call.duration if call.when == "setup" else 0.0
            return
        seconds = call.duration + (self._setup_seconds if call.when == "call" else 0.0)
        self._write(planned, seconds, *_judgement(raised))

    def not_run(self, planned: PlannedCheck, reason: str) -> None:
        """Write why a check did not get its turn."""
        self._write(planned, 0.0, Outcome.NOT_RUN, reason)

    def deselected(self, check: str, reason: str) -> None:
        """Write that a check was left out of the run."""
        self.emit(CheckResult.unknown(check, stage_of(check), reason))

    def _write(
        self,
        planned: PlannedCheck,
        seconds: float,
        outcome: Outcome,
        reason: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        self._at_work = None
        check = planned.check
        component = (failure and failure.component) or check.component
        if outcome.is_red:
            self.failed.append(planned.identifier)
        self.emit(
            CheckResult(
                check=planned.identifier,
                title=planned.title,
                stage=planned.stage,
                component=component,
                outcome=outcome,
                seconds=round(seconds, 4),
                reason=reason,
                finding=self._finding(check, failure, seconds) if failure else None,
                follows=_follows(planned, component),
            )
        )

    def _finding(self, check: Check, failure: Failure, seconds: float) -> Finding:
        is_late = SECONDS.search(f"{failure.expected}\n{failure.seen}") is not None
        return Finding(
            expected=failure.expected,
            seen=failure.seen,
            likely_cause=failure.cause or check.cause,
            next_step=failure.fix or check.fix,
            evidence=failure.evidence,
            machine=self._pressure.shortage(seconds) if is_late else None,
        )

    def take_over(self, events: Iterable[Event]) -> None:
        """Write what another gate found, as found by this run."""
        for event in events:
            if isinstance(event, CheckResult) and event.outcome.is_red:
                self.failed.append(event.check)
            self.emit(event)


def _judgement(raised: BaseException | None) -> tuple[Outcome, str | None, Failure | None]:
    """Say what a check's exception makes of it: its outcome, the reason, what it saw."""
    match raised:
        case None:
            return Outcome.PASSED, None, None
        case CheckFailed():
            return Outcome.FAILED, None, raised.failure
        case WireError() if not isinstance(raised, MachineError):
            return Outcome.FAILED, None, Failure("an answer", str(raised))
        case AssertionError():
            seen = str(raised) or "it does not"
            failure = Failure(f"the assertion at {where(raised)} to hold", seen)
            return Outcome.FAILED, None, failure
        case pytest.skip.Exception():
            return Outcome.NOT_RUN, str(raised), None
    return Outcome.ERROR, str(machine_error(raised) or where(raised)), None


def _follows(planned: PlannedCheck, blamed: str) -> list[str]:
    """Say what explains a failure: what the check declares, and that the blamed is away."""
    check = planned.check
    if any(matches(glob, planned.identifier) for glob in ROOTS):
        return list(check.follows)
    away = [AWAY.format(component=name) for name in dict.fromkeys([check.component, blamed])]
    return [*check.follows, *away, *([ENTRY_AWAY] if ENTRY in check.needs else ())]


def where(raised: BaseException) -> str:
    """Name the innermost line of ours that an exception came through, and what it says."""
    place = ""
    for frame in traceback.extract_tb(raised.__traceback__):
        if frame.filename.startswith((str(ROOT / "gate"), str(ROOT / "tests"))):
            place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{place}: {type(raised).__name__}: {raised}".removeprefix(": ")
