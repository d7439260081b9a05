"""One run of the gate, from its options to its verdict; read `Gate` from top to bottom.

    collect   keep the checks of the stages asked for, in order          gate/schedule.py
    prepare   bring the stack up, gather evidence, say what is required  gate/bringup.py
    begin     each check's turn, or why it gets none                     gate/schedule.py
    take_result  what became of a check                                     gate/recorder.py
    finish    take the stack away, judge, write the reports              reports/

gate/plugin.py calls these from pytest's hooks. Nothing here decides the verdict: `reports` reads
it from the stream that the recorder writes.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO, cast

import pytest

from gate.bringup import BringUp
from gate.errors import MachineError
from gate.evidence import CONTAINERS, REGISTRY, Evidence, gather
from gate.machine.console import Unfailing
from gate.machine.interrupts import NUMBERS
from gate.machine.interrupts import name as signal_name
from gate.options import Options
from gate.recorder import Recorder
from gate.schedule import Schedule
from gate.sweep import new_run_id
from gate.wire import Wire
from reports import terminal
from reports.events import Expected, Interrupted
from reports.progress import Progress
from reports.stream import Stream
from reports.write import finish

if TYPE_CHECKING:
    from gate.hooks import Release
    from gate.operator import Operator


class Gate:
    """One run; made when pytest is configured, finished when its session ends."""

    def __init__(self, options: Options, command: str, screen: TextIO | None = None) -> None:
        self.options = options
        self.command = command
        self.evidence: Evidence | None = None
        self.expected = Expected(options.version, options.revision)
        """The build that must run; None where any will do."""
        self.exit_code: int | None = None
        """That of the verdict, once there is one."""
        run_id = new_run_id()
        shown = Unfailing(screen or sys.stderr, patient=False)
        progress = Progress(cast(TextIO, shown), waits=lambda: self.recorder.waits())
        folder = options.report_dir / "runs" / run_id
        self.recorder = Recorder(folder, progress, options.credentials.known)
        self.schedule = Schedule(options, self.recorder)
        self.bringup = BringUp(options, self.recorder, run_id)
        self._gathering: asyncio.Task[Any] | None = None
        self._stopped_by = "Ctrl-C"

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to report."""
        return self.recorder.has_begun

    # Before the checks

    def collect(self, items: list[pytest.Item]) -> None:
        """Keep the checks of the stages, in the order of the stages."""
        self.schedule.collect(items)

    def deselect(self, items: Iterable[pytest.Item]) -> None:
        """Remember what the command line left out."""
        self.schedule.deselect(items)

    def prepare(self, items: list[pytest.Item]) -> bool:
        """Bring the stack up, gather evidence and drop what cannot run; False when that failed."""
        try:
            release = self._start()
            if items:  # else nothing would judge a stack
                self._see_the_stack(items, release)
            self.schedule.require(self.bringup.target)
            self.schedule.drop_what_cannot_run(items, self.bringup.target)
            if self.bringup.target.managed and not self._is_of_one_stack():
                self.schedule.share(items)
        except MachineError as error:
            self.recorder.trouble(str(error))
            return False
        except Exception as error:
            self.recorder.crash(error)
            return False
        return True

    def _start(self) -> "Release | None":
        """Find what is to be judged; the run has begun whether that is known or not."""
        try:
            release = self.bringup.find_release()
            if release is not None:
                version = self.expected.version or release.version
                self.expected = Expected(version, self.expected.revision or release.revision)
        finally:
            self.recorder.run_started(
                self.bringup.target, self.expected, self.schedule.stages, self.command
            )
        return release

    def _see_the_stack(self, items: list[pytest.Item], release: "Release | None") -> None:
        """Bring the run's own stack up where there is one to bring up, and ask it everything."""
        if self.schedule.needs_browser(items):
            self.bringup.require_browser()
        if release is not None:
            self.bringup.clean()
        if not (self._is_of_one_stack() or self.schedule.needs_the_stack(items)):
            return
        if release is not None:
            self.bringup.bring_up(release)
        with self.recorder.phase("evidence", "gathering evidence"):
            try:
                self.evidence = asyncio.run(self._gather())
            except asyncio.CancelledError:  # by `told_to_stop`
                raise KeyboardInterrupt from None
        self._leave_out_what_is_not_deployed(self.evidence)
        self.recorder.components(self.evidence.containers, self.bringup.target.urls)
        self._require_containers(self.evidence)

    def _is_of_one_stack(self) -> bool:
        """Say whether the run is of one stack that was named, or that a fault is planted in."""
        options = self.options
        is_named = self.bringup.target.live or options.on_stack is not None
        return is_named or options.changes_the_stack

    async def _gather(self) -> Evidence:
        self._gathering = asyncio.current_task()
        began = time.monotonic() - self.recorder.stream.now()
        bringup = self.bringup
        record = self.recorder.request
        async with Wire(bringup.target, bringup.credentials, record, began) as wire:
            seen = await gather(wire, REGISTRY)
        self._gathering = None
        seen.problems, seen.drills = bringup.problems, bringup.drills
        seen.expected = vars(self.expected)
        return seen

    def _leave_out_what_is_not_deployed(self, seen: Evidence) -> None:
        """Waive the checks of optional services that the target says it was deployed without."""
        if self.bringup.target.told_by_entry:
            self.bringup.target = replace(self.bringup.target, unavailable=seen.not_deployed)

    def _require_containers(self, seen: Evidence) -> None:
        """Leave out the checks of containers that Docker should tell about and does not."""
        target = self.bringup.target
        if target.live and target.project and not seen.containers:
            self.recorder.trouble(
                f"expected Docker to tell about the containers of {target.project}, but"
                f" {seen.error(CONTAINERS) or 'it has none'}: their checks did not run; a target"
                " file without `project` leaves them out"
            )
            self.bringup.target = replace(target, project=None)

    # While the checks run

    def begin(self, item: pytest.Item) -> str | None:
        """Begin the turn of a check; return why it gets none, which is its result."""
        return self.schedule.begin(item, self.bringup.problems)

    def take_result(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Take what became of a check, phase by phase of its test."""
        is_skipped = call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception)
        if not (is_skipped and self.schedule.is_of_sidecar(item)):
            self.recorder.take_result(self.schedule.planned(item), call)

    def told_to_stop(self, number: int, _: FrameType | None) -> None:
        """End the run as Ctrl-C does, with all taken away; being told again does not hurry it."""
        ignore_signals()
        self._stopped_by = signal_name(number)
        if self._gathering is None:
            raise KeyboardInterrupt
        # Raised in whichever task is at work it would be shown as a crash of that one.
        self._gathering.get_loop().call_soon_threadsafe(self._gathering.cancel)

    # For checks that judge by doing, and for stages with parts and figures of their own

    def operator(self) -> "Operator":
        """Make hands on the disposable stack of this run."""
        from gate.operator import Operator  # a live run never imports it

        bringup, recorder = self.bringup, self.recorder
        return Operator(
            bringup.target, bringup.credentials, bringup.stack, recorder.request, recorder.stream
        )

    @property
    def stream(self) -> Stream:
        """The result stream."""
        return self.recorder.stream

    def phase(self, name: str, words: str) -> AbstractContextManager[None]:
        """Time a part of the run for the report, and show it while it takes long."""
        return self.recorder.phase(name, words)

    # After the checks

    def finish(self, pytest_exit: int) -> int:
        """Take the stack away, write every report, show the verdict; return its exit code.

        Whatever goes wrong on the way is a trouble of this run: without a verdict of its own, that
        of the run before would be the latest.
        """
        ignore_signals()
        # Errors while collecting have that code too: nothing was begun then.
        if pytest_exit == pytest.ExitCode.INTERRUPTED and self.recorder.has_begun:
            self.recorder.emit(Interrupted(self._stopped_by))
        self.schedule.end()
        self.bringup.take_down()
        self.recorder.run_finished(pytest_exit)
        verdict = finish(self.recorder.folder, self.recorder.unwritten())
        self.exit_code = int(verdict["exit_code"])
        report = self.options.report_dir / "latest" / "index.html"
        with suppress(ValueError):
            report = report.relative_to(Path.cwd())
        out = cast(TextIO, Unfailing(sys.stdout))
        out.write(terminal.fitted(verdict, out, str(report)))
        return self.exit_code


def ignore_signals() -> None:
    """Let nothing hurry the end of a run: what it brought up has to be taken away."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
