"""One run of the gate: from its options over a stack and its evidence to the verdict.

conftest.py calls these methods from pytest's hooks; nothing here decides the verdict, which
`reports` reads from the stream that this module writes.
"""

import asyncio
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO, cast

import pytest

from compose.release import Release
from compose.release import release as release_of_this_tree
from gate import budgets
from gate import manifest as manifests
from gate import sidecar as beside
from gate.budgets import Budgets
from gate.checks import Check, CheckFailed, Failure, described, identifier, node, stage_of
from gate.containers import REVISION_LABEL, SOURCE_LABEL, VERSION_LABEL, Container
from gate.evidence import CONTAINERS, REGISTRY, Evidence, gather
from gate.machine.console import MachineError, Unfailing
from gate.machine.interrupts import NUMBERS
from gate.machine.interrupts import name as signal_name
from gate.machine.limits import machine_error
from gate.model import model
from gate.options import Options
from gate.sidecar import Beside
from gate.stages import STAGES
from gate.sweep import new_run_id
from gate.target import ENTRY
from gate.wire import Sent, Wire, WireError
from reports import terminal
from reports.events import (
    CheckResult,
    Component,
    Expected,
    FaultPlanted,
    Finding,
    Interrupted,
    Outcome,
    Phase,
    Request,
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
from reports.write import finish

if TYPE_CHECKING:
    from gate.operator import Operator
    from gate.stack import Problem, Stack
    from tests.faults.fault import Fault
    from tests.faults.planting import Planting

ROOT = Path(__file__).parent.parent
SECRET_VARIABLES = ("GATE_API_KEY", "GATE_REDIS_PASSWORD", "GRAFANA_PASSWORD")


class Gate:
    """State of one run; made when pytest is configured, finished when its session ends."""

    def __init__(self, options: Options, command: str) -> None:
        self.options = options
        self.target = options.target
        self.manifest = manifests.load()
        self.run_id = new_run_id()
        self.command = command
        self.evidence: Evidence | None = None
        self.stack: Stack | None = None
        self.planting: Planting | None = None
        self.drills: dict[str, int] = {}
        self.problems: dict[str, Problem] = {}
        self.deselected: dict[str, str] = {}
        self.progress = Progress(cast(TextIO, Unfailing(sys.stderr, patient=False)))
        self.red: list[str] = []
        """Checks that failed, in order."""
        self._stream: Stream | None = None
        self._stage: str | None = None
        self._stage_phase = ExitStack()
        self._budgets = Budgets(budgets.read(options.more_seconds))
        self._setup_seconds = 0.0
        self._items: dict[str, tuple[str, Check, str]] = {}
        self._elsewhere: tuple[str, ...] = ()
        """Node ids of checks that a gate beside this one runs."""
        self._beside: Beside | None = None
        self._stopped_by = "Ctrl-C"

    @property
    def stream(self) -> Stream:
        """The result stream, opened when something is first written."""
        if self._stream is None:
            redactor = Redactor([os.environ.get(name, "") for name in SECRET_VARIABLES])
            for secret in self.options.credentials.known:
                redactor.add(secret)
            self._stream = Stream(self.options.report_dir / "runs" / self.run_id, redactor)
        return self._stream

    @property
    def has(self) -> frozenset[str]:
        """What checks can count on: of the target, and of what the options gave."""
        return self.target.has | self.options.given

    # Before the checks

    def collected(self, items: list[pytest.Item]) -> None:
        """Keep the checks of the stages, in the order of the stages."""
        found = [(item, _check_of(item)) for item in items]
        checks = [(item, check) for item, check in found if check is not None]
        order, first = list(STAGES), self._files_to_begin_with(items)
        checks.sort(
            key=lambda pair: (
                order.index(stage_of(identifier(node(pair[0])))),
                pair[0].path not in first,
            )
        )
        items[:] = [item for item, _ in checks]
        for item, check in checks:
            self._items[node(item)] = (identifier(node(item)), check, _title(item))

    @property
    def _to_catch(self) -> "Fault | None":
        """The fault that --until-caught ends a stage for; None without that option."""
        return self.options.fault if self.options.until_caught else None

    def _files_to_begin_with(self, items: list[pytest.Item]) -> set[Path]:
        """Files that a stage begins with under --until-caught: those of the expected checks.

        Whole files, because checks of one file may build on those before them.
        """
        fault = self._to_catch
        if fault is None:
            return set()
        return {one.path for one in items if fault.expects(identifier(node(one)))}

    def left_out(self, items: Iterable[pytest.Item]) -> None:
        """Remember what the command line deselected; required checks among it make HOLD."""
        for item in items:
            self.deselected[identifier(node(item))] = "left out by -k or --deselect"

    def prepare(self, items: list[pytest.Item]) -> bool:
        """Bring the stack up, gather evidence and drop what cannot run; False when that failed."""
        try:
            release = release_of_this_tree() if self.target.ours else None
        except MachineError as error:
            self._start(None)
            self._trouble(str(error))
            return False
        self._start(release)
        if not items:  # nothing would judge a stack
            self._require()
            return True
        try:
            self._programs(items)
            if release is not None:
                self._clean()
            if self._looks_at_the_target(items):
                self._see(release)
        except MachineError as error:
            self._trouble(str(error))
            return False
        except Exception as error:
            self._trouble(str(machine_error(error) or self._crash(error)))
            return False
        self._require()
        items[:] = [item for item in items if self._will_run(item)]
        if self._may_share_the_machine():
            self._elsewhere = beside.chosen(items)
            items[:] = beside.ordered(items, self._elsewhere)
        return True

    def _crash(self, error: Exception) -> str:
        path = self.stream.attach("crash.log", traceback.format_exc())
        return f"the gate crashed: {_where(error)}; its traceback is in {path}"

    def _looks_at_the_target(self, items: list[pytest.Item]) -> bool:
        """Whether any check does; a fault, or a stack that was named, is always looked at."""
        options = self.options
        named = self.target.live or options.fault or options.on_stack
        return bool(named) or any(map(beside.looks_at_the_target, items))

    def _clean(self) -> None:
        from gate import stack as stacks  # Testcontainers: a live run never imports it

        with self.phase("clean", "taking away what ended runs left"):
            stacks.clean_start()

    def _see(self, release: Release | None) -> None:
        if release is not None:
            self._bring_up(release)
        with self.phase("evidence", "gathering evidence"):
            asyncio.run(self._gather())
        self._components()

    def _may_share_the_machine(self) -> bool:
        """Whether checks may run beside others: a fault is planted in one stack only."""
        options = self.options
        return self.target.ours and not (options.fault or options.on_stack) and beside.possible()

    def _programs(self, items: list[pytest.Item]) -> None:
        """Raises `MachineError` where a stage that will run has not the program it needs."""
        names = {self._items[node(item)][0] for item in items} - self.options.waivers.keys()
        if any(STAGES[stage_of(name)].needs_browser for name in names):
            from compose.machine import browser

            browser.require()

    def _start(self, release: Release | None) -> None:
        if release is not None:
            self.options = replace(
                self.options,
                version=self.options.version or release.version,
                revision=self.options.revision or release.revision,
            )
        self.stream.emit(
            RunStarted(
                run_id=self.run_id,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                target=TargetSeen(self.target.name, self.target.kind, self._url()),
                expected=Expected(**self._expected()),
                asked=[stage for stage in self.options.stages if self.manifest[stage]],
                not_asked=[stage for stage in STAGES if stage not in self.options.stages],
                command=self.command,
            )
        )

    def _url(self) -> str | None:
        return self.target.urls.get(ENTRY)

    def _bring_up(self, release: Release) -> None:
        from gate import stack as stacks

        with self.phase("set-up", "building images"):
            other = self.options.on_stack
            self.stack = stacks.Stack(
                other or self.run_id,
                release,
                self.options.compose_files,
                self.options.keep_stack,
                stacks.standing(other) if other else None,
            )
            for secret in self.stack.credentials.known:
                self.stream.redactor.add(secret)
            stacks.build(self.stack.compose, release)
        self.options = replace(self.options, credentials=self.stack.credentials)
        self._plant_before(self.stack)
        with self.phase("bring-up", "bringing the stack up"):
            self._up(self.stack)
        looked_at = any(STAGES[stage].needs_first_look for stage in self.options.stages)
        if looked_at and not self.problems.keys() & {"stack", model().name("prometheus")}:
            with self.phase("settle", "waiting for the first scrape and health checks"):
                self.stack.settle(self.target, set(self.problems))
        if "smoke" in self.options.stages and not self.problems:
            with self.phase("drills", "running every health check where no service runs"):
                self.drills = self.stack.health_drills()
        self._plant_now(self.stack)

    def _up(self, stack: "Stack") -> None:
        problem = stack.up()
        self.target = stack.target()
        if problem is not None:  # who kept the others from starting says more than compose does
            found = stack.broken(self.target) or [problem]
        else:
            found = stack.ready(self.target)
        self.problems = {one.service: one for one in found}
        self.target = stack.target()

    def _plant_before(self, stack: "Stack") -> None:
        if self.options.fault is None:
            return
        from tests.faults.planting import Planting  # only where a fault is planted

        self.planting = Planting(stack, self.options.fault)
        with self.phase("planting", "planting the fault"):
            self.planting.before()
        self.stream.emit(FaultPlanted(self.options.fault.id, self.options.fault.title))

    def _plant_now(self, stack: "Stack") -> None:
        if self.planting is None:
            return
        if "stack" not in self.problems:  # where compose gives up, the containers of before stay
            self.planting.shown()
        if self.problems:  # what acts on a running stack has none to act on
            return
        with self.phase("planting", "planting the fault"):
            found = self.planting.now()
        self.problems = {one.service: one for one in found}
        self.target = stack.target()
        self.stream.emit(FaultPlanted(self.planting.fault.id, self.planting.fault.title))

    async def _gather(self) -> None:
        began = time.monotonic() - self.stream.now()
        async with Wire(self.target, self.options.credentials, self._sent, began) as wire:
            seen = await gather(wire, REGISTRY)
        seen.problems, seen.drills = self.problems, self.drills
        seen.expected = self._expected()
        self.evidence = seen
        if self.target.live and self.target.project and not seen.containers:
            self._trouble(
                f"expected Docker to tell about the containers of {self.target.project}, but"
                f" {seen.error(CONTAINERS) or 'it has none'}: their checks did not run; a target"
                " file without `project` leaves them out"
            )
            self.target = replace(self.target, project=None)

    def _expected(self) -> dict[str, str | None]:
        return {"version": self.options.version, "revision": self.options.revision}

    def _sent(self, sent: Sent) -> None:
        self.stream.emit(Request(**vars(sent)))

    def _require(self) -> None:
        """Say what has to run, and what is waived."""
        has = self.has | self._left_out()
        waived = {**self._absent(), **self.options.waivers}
        for stage in self.options.stages:
            checks = manifests.required(self.manifest, stage, has)
            self.stream.emit(Required(stage, checks))
            for check in (check for check in checks if check in waived):
                self.stream.emit(Waiver(check, waived[check]))

    def _left_out(self) -> frozenset[str]:
        services = self.target.left_out
        return frozenset([*services, *(f"direct:{service}" for service in services)])

    def _absent(self) -> dict[str, str]:
        """Checks of what could not be had, each waived by its name."""
        return {
            check: reason
            for service, reason in self.target.left_out.items()
            for stage in self.options.stages
            for check, needs in self.manifest[stage].items()
            if {service, f"direct:{service}"}.intersection(needs)
        }

    def _will_run(self, item: pytest.Item) -> bool:
        name, check, _ = self._items[node(item)]
        waived = self.options.waivers.get(name)
        if waived is None and self.has.issuperset(check.needs):
            return True
        reason = f"waived: {waived}" if waived else self._unmet(check)
        self._emit_check(node(item), Outcome.NOT_RUN, 0.0, reason=reason)
        return False

    def _unmet(self, check: Check) -> str:
        for service, reason in self.target.left_out.items():
            if service in check.needs or f"direct:{service}" in check.needs:
                return reason
        return manifests.unmet(check.needs, self.has)

    def operator(self) -> "Operator":
        """Hands on the disposable stack of this run."""
        from gate.operator import Operator  # a live run never imports it

        credentials = self.options.credentials
        return Operator(self.target, credentials, self.stack, self._sent, self.stream)

    # While the checks run

    def begins(self, item: pytest.Item) -> str | None:
        """The turn of a check; why it is not run here, where its stage gets no work."""
        name = self._items[node(item)][0]
        stage = stage_of(name)
        if stage != "smoke" and self._elsewhere and not self._held_back(stage):
            self._beside = self._beside or self._start_beside()
            if item.nodeid in self._elsewhere:
                self._join(self._beside)
                return f"it ran in the gate of {beside.STAGE}"
        if stage != self._stage:
            self._end_stage()
            self._stage = stage
            phase = self.phase(stage, f"{stage}: {STAGES[stage].question.partition('?')[0]}")
            self._stage_phase.enter_context(phase)
        return self._held_back(stage) or self._enough(name) or self._budgets.spent(stage)

    def _start_beside(self) -> Beside:
        options = ["--target=disposable"]
        options += [f"--compose-file={file}" for file in self.options.compose_files]
        now = self.stream.now()
        return Beside(beside.STAGE, self._elsewhere, self.stream.folder, options, now)

    def _join(self, one: Beside) -> None:
        """Take over what a gate beside this one says of its checks, at the first of them."""
        if one.joined:
            return
        self._end_stage()
        self._stage = None
        with self.progress.step(f"{one.stage}, which runs beside the others"):
            one.join()
        for event in one.events():
            if isinstance(event, CheckResult) and event.outcome.is_red:
                self.red.append(event.check)
            self.stream.emit(event)
        for name, text in one.logs():
            self.stream.attach(name, text)

    def _held_back(self, stage: str) -> str | None:
        """Why a stage gets no work: a broken stack is not driven any further."""
        failed_smoke = bool(self._red_of("smoke"))
        if stage == "smoke" or not (failed_smoke or self.problems):
            return None
        if failed_smoke:
            return "smoke failed: a broken stack is given no more work"
        services = ", ".join(f"{one.service}: {one.seen}" for one in self.problems.values())
        return f"the stack did not come up ({services})"

    def _enough(self, check: str) -> str | None:
        """Why a check need not run: the planted fault is found, and not by this one."""
        fault = self._to_catch
        if fault is None or fault.expects(check):
            return None
        if any(map(fault.expects, self._red_of(stage_of(check)))):
            return "the planted fault is found: --until-caught asks for no more"
        return None

    def _red_of(self, stage: str) -> list[str]:
        return [check for check in self.red if stage_of(check) == stage]

    def _end_stage(self) -> None:
        self._stage_phase.close()

    def record(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Write what became of a check: once, from the phase that decided it."""
        raised = call.excinfo.value if call.excinfo else None
        if raised is None and call.when != "call":
            self._setup_seconds = call.duration if call.when == "setup" else 0.0
            return
        seconds = call.duration + (self._setup_seconds if call.when == "call" else 0.0)
        match raised:
            case None:
                self._emit_check(node(item), Outcome.PASSED, seconds)
            case CheckFailed():
                self._emit_check(node(item), Outcome.FAILED, seconds, finding=raised)
            case WireError() if not isinstance(raised, MachineError):
                found = CheckFailed(Failure("an answer", str(raised)))
                self._emit_check(node(item), Outcome.FAILED, seconds, finding=found)
            case AssertionError():
                found = CheckFailed(_plain_assertion(raised))
                self._emit_check(node(item), Outcome.FAILED, seconds, finding=found)
            case pytest.skip.Exception() if self._beside and item.nodeid in self._elsewhere:
                pass  # its own gate has written it
            case pytest.skip.Exception():
                self._emit_check(node(item), Outcome.NOT_RUN, seconds, reason=str(raised))
            case _:
                reason = str(machine_error(raised) or _where(raised))
                self._emit_check(node(item), Outcome.ERROR, seconds, reason=reason)

    def _emit_check(
        self,
        nodeid: str,
        outcome: Outcome,
        seconds: float,
        reason: str | None = None,
        finding: CheckFailed | None = None,
    ) -> None:
        name, check, title = self._items[nodeid]
        if outcome.is_red:
            self.red.append(name)
        component = (finding and finding.failure.component) or check.component
        self.stream.emit(
            CheckResult(
                check=name,
                title=title,
                stage=stage_of(name),
                component=component,
                outcome=outcome,
                seconds=round(seconds, 4),
                reason=reason,
                finding=_finding(check, finding) if finding else None,
                follows=_follows(name, check, component),
            )
        )

    def told_to_stop(self, number: int, _: FrameType | None) -> None:
        """End the run as Ctrl-C does, with all taken away; being told again does not hurry it."""
        _hurry_no_more()
        self._stopped_by = signal_name(number)
        raise KeyboardInterrupt

    # After the checks

    def finish(self, exitstatus: int) -> int:
        """Take the stack away, write every report, show the verdict; returns the exit code.

        Whatever goes wrong on the way is a trouble of this run: without a verdict of its own, that
        of the run before would be the latest.
        """
        _hurry_no_more()
        self._end_stage()
        # Errors while collecting have that code too: nothing was begun then.
        if exitstatus == pytest.ExitCode.INTERRUPTED and self._stream is not None:
            self.stream.emit(Interrupted(self._stopped_by))
        if self._beside is not None:
            self._beside.stop()
        for check, reason in self.deselected.items():
            self._not_run(check, reason)
        if self.stack is not None:
            self._take_down(self.stack)
        self.stream.emit(RunFinished(int(exitstatus), self.stream.now()))
        self.stream.close()
        verdict = finish(self.stream.folder)
        self._show(verdict)
        return int(verdict["exit_code"])

    def _not_run(self, check: str, reason: str) -> None:
        stage = stage_of(check)
        if stage in self.options.stages:
            self.stream.emit(
                CheckResult(
                    check=check,
                    title=check,
                    stage=stage,
                    component=None,
                    outcome=Outcome.NOT_RUN,
                    seconds=0.0,
                    reason=reason,
                    finding=None,
                    follows=(),
                )
            )

    def _take_down(self, stack: "Stack") -> None:
        if self.red or self.problems:
            with self.phase("logs", "keeping the logs"), self._going_on("the logs were not kept"):
                self._keep_logs(stack)
        with self.phase("teardown", "taking the stack down"):
            if self.planting is not None:
                with self._going_on("the fault could not be taken back"):
                    self.planting.end()
            with self._going_on("the stack was not taken down"):
                stack.remove()

    @contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        try:
            yield
        except (MachineError, WireError) as error:
            self._trouble(f"{what}: {error}")
        except Exception as error:
            self._trouble(f"{what}: {machine_error(error) or _where(error)}")

    def _keep_logs(self, stack: "Stack") -> None:
        for name, text in stack.last_words().items():
            self.stream.attach(f"{name}.log", text)

    def _show(self, verdict: dict[str, Any]) -> None:
        out = Unfailing(sys.stdout)
        report = self.options.report_dir / "latest" / "index.html"
        with suppress(ValueError):
            report = report.relative_to(Path.cwd())
        columns = shutil.get_terminal_size((100, 24)).columns if out.isatty() else 100
        colour = out.isatty() and not os.environ.get("NO_COLOR")
        encoding = out.encoding or "utf-8"
        out.write(terminal.text(verdict, colour, columns, encoding, str(report)))

    # Small things

    @contextmanager
    def phase(self, name: str, words: str) -> Iterator[None]:
        """A part of the run: shown while it takes long, and timed in the report."""
        started = self.stream.now()
        try:
            with self.progress.step(words):
                yield
        finally:
            seconds = round(self.stream.now() - started, 3)
            self.stream.emit(Phase(name, started, seconds))

    def _trouble(self, message: str) -> None:
        expected, _, seen = message.partition(", but")
        self.stream.emit(
            Trouble(
                message,
                expected=expected if seen else None,
                seen=seen.lstrip(": ") or None,
                next_step="mend the cause, then run the gate again; nothing is known of the stack",
            )
        )

    def _components(self) -> None:
        assert self.evidence is not None
        for name, one in self.evidence.containers.items():
            self.stream.emit(Component(name, **_row(one), address=self.target.urls.get(name)))


def _hurry_no_more() -> None:
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _row(one: Container) -> dict[str, Any]:
    return {
        "image": one.image,
        "version": one.labels.get(VERSION_LABEL),
        "revision": one.labels.get(REVISION_LABEL),
        "state": "done" if one.one_shot and one.exit_code == 0 else one.state,
        "health": one.health,
        "restarts": one.restarts,
        "source": one.labels.get(SOURCE_LABEL),
    }


def _finding(check: Check, raised: CheckFailed) -> Finding:
    failure = raised.failure
    return Finding(
        expected=failure.expected,
        seen=failure.seen,
        likely_cause=failure.cause or check.cause,
        next_step=check.fix,
        evidence=failure.evidence,
    )


def _follows(name: str, check: Check, blamed: str) -> list[str]:
    """What explains a failure of this check: what it declares, and who is blamed being away."""
    away = [f"smoke.reach.answers*[{one}]" for one in dict.fromkeys([check.component, blamed])]
    if ENTRY in check.needs:
        away.append(f"smoke.reach.answers[{ENTRY}]")
    roots = name.startswith(
        ("smoke.stack.", "smoke.containers.running", "smoke.reach.", "smoke.tls.")
    )
    return [*check.follows, *(() if roots else away)]


def _check_of(item: pytest.Item) -> Check | None:
    function = getattr(item, "function", None)
    return described(function, manifests.parameters(item)) if function else None


def _title(item: pytest.Item) -> str:
    """A test's name as a sentence: names are promises."""
    name, bracket, parameter = item.name.removeprefix("test_").partition("[")
    return name.replace("_", " ") + (f" ({parameter.removesuffix(']')})" if bracket else "")


def _plain_assertion(raised: AssertionError) -> Failure:
    return Failure(f"the assertion at {_where(raised)} to hold", str(raised) or "it does not")


def _where(raised: BaseException) -> str:
    """The innermost line of ours that an exception came through, and what it says."""
    place = ""
    for frame in traceback.extract_tb(raised.__traceback__):
        if frame.filename.startswith((str(ROOT / "gate"), str(ROOT / "tests"))):
            place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{place}: {type(raised).__name__}: {raised}".removeprefix(": ")
