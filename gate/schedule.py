"""The schedule: which checks of a run get their turn, in what order, and why others do not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import pytest

from gate import budgets, sidecar
from gate import manifest as manifests
from gate.budgets import Budgets
from gate.checks import described, identifier, node, stage_of
from gate.manifest import Manifest
from gate.options import Options
from gate.recorder import PlannedCheck, Recorder
from gate.sidecar import Sidecar
from gate.stages import STAGES
from gate.target import Target

if TYPE_CHECKING:
    from gate.ready import Problem


class Schedule:
    """The checks of one run."""

    def __init__(
        self,
        options: Options,
        recorder: Recorder,
        manifest: Manifest | None = None,
        budget: Budgets | None = None,
        start_sidecar: Callable[..., Sidecar] = Sidecar,
    ) -> None:
        self._manifest = manifests.load() if manifest is None else manifest
        self._options = options
        self._recorder = recorder
        self._budgets = budget or Budgets(budgets.read(options.more_seconds))
        self._planned: dict[str, PlannedCheck] = {}
        """Checks that were collected, by node id."""
        self._deselected: dict[str, str] = {}
        self._stage: str | None = None
        self._stage_phase = ExitStack()
        self._elsewhere: tuple[str, ...] = ()
        """Node ids of checks that a gate beside this one runs."""
        self._sidecar: Sidecar | None = None
        self._start_sidecar = start_sidecar

    @property
    def stages(self) -> dict[str, bool]:
        """Every stage with whether it is asked for; one that has no checks is left aside."""
        asked = self._options.stages
        return {
            stage: stage in asked for stage in STAGES if self._manifest[stage] or stage not in asked
        }

    # Before the checks

    def collect(self, items: list[pytest.Item]) -> None:
        """Keep those that are checks, in the order of the stages.

        Raises `pytest.UsageError` for a test of a stage that is none: nobody would miss it.
        """
        for item in items:
            function = getattr(item, "function", None)
            check = described(function, manifests.parameters(item)) if function else None
            if check is not None:
                name = identifier(node(item))
                self._planned[node(item)] = PlannedCheck(name, check, _title(item))
            elif function and PurePath(_file(item)).parent.name in STAGES:
                raise pytest.UsageError(
                    f"expected a check, got {item.nodeid} without @check; give it one"
                    " (CONTRIBUTING.md), or another name than test_…"
                )
        first = self._files_to_begin_with()
        order = list(STAGES)
        items[:] = sorted(
            (item for item in items if node(item) in self._planned),
            key=lambda item: (order.index(self.planned(item).stage), _file(item) not in first),
        )

    def _files_to_begin_with(self) -> set[str]:
        """Name the files of the checks that the run is for.

        Whole files, because checks of one file may build on those before them.
        """
        expects = self._options.expects
        if expects is None:
            return set()
        nodes = [key for key, planned in self._planned.items() if expects(planned.identifier)]
        return {key.partition("::")[0] for key in nodes}

    def deselect(self, items: Iterable[pytest.Item]) -> None:
        """Remember what the command line left out; required checks among it make HOLD."""
        for item in items:
            self._deselected[identifier(node(item))] = "left out by -k or --deselect"

    def planned(self, item: pytest.Item) -> PlannedCheck:
        """Return what is known of a collected check."""
        return self._planned[node(item)]

    def needs_the_stack(self, items: Iterable[pytest.Item]) -> bool:
        """Say whether any of these checks looks at the stack that the run is of."""
        return any(map(sidecar.looks_at_the_target, items))

    def needs_browser(self, items: Iterable[pytest.Item]) -> bool:
        """Say whether a check needs a browser on this machine, waived ones left aside."""
        wanted = [self.planned(item) for item in items]
        return any(
            STAGES[planned.stage].needs_browser
            for planned in wanted
            if planned.identifier not in self._options.waivers
        )

    def require(self, target: Target) -> None:
        """Write which checks have to pass on this target, and which are waived."""
        had = self._had(target) | _unavailable(target)
        waived = {**self._waived_by_target(target), **self._options.waivers}
        for stage in self._options.stages:
            checks = manifests.required(self._manifest, stage, had)
            self._recorder.required(stage, checks, waived)

    def _had(self, target: Target) -> frozenset[str]:
        """Give what checks can count on, of the target and of what was asked for."""
        return target.capabilities | self._options.gives | self._options.expected_needs

    def _waived_by_target(self, target: Target) -> dict[str, str]:
        """Give the checks of what could not be had on this machine, each with the reason."""
        return {
            check: reason
            for stage in self._options.stages
            for check, needs in self._manifest[stage].items()
            if (reason := _why_unavailable(target, needs)) is not None
        }

    def drop_what_cannot_run(self, items: list[pytest.Item], target: Target) -> None:
        """Drop what is waived, and what needs more than the target has, and write why."""
        items[:] = [item for item in items if self._can_run(self.planned(item), target)]

    def _can_run(self, planned: PlannedCheck, target: Target) -> bool:
        had, needs = self._had(target), planned.check.needs
        waived = self._options.waivers.get(planned.identifier)
        if waived is None and had.issuperset(needs):
            return True
        reason = f"waived: {waived}" if waived else _why_unavailable(target, needs)
        self._recorder.not_run(planned, reason or manifests.unmet(needs, had))
        return False

    def share(self, items: list[pytest.Item]) -> None:
        """Choose what a gate beside this one runs, where the machine has room for it."""
        if sidecar.is_possible():
            self._elsewhere = sidecar.chosen(items)
            items[:] = sidecar.ordered(items, self._elsewhere)

    # While the checks run

    def begin(self, item: pytest.Item, problems: "Mapping[str, Problem]") -> str | None:
        """Begin the turn of a check; return why it gets none, which is its result."""
        planned = self.planned(item)
        held_back = self._held_back(planned.stage, problems)
        if self._elsewhere and STAGES[planned.stage].needs_smoke and not held_back:
            self._sidecar = self._sidecar or self._start()
            if item.nodeid in self._elsewhere:
                self._join(self._sidecar)
                return f"it ran in the gate of {self._sidecar.stage}"
        self._enter(planned.stage)
        reason = (
            held_back
            or self._enough(planned, self._options.expects)
            or self._budgets.spent(planned.stage)
        )
        if reason is None:
            self._recorder.begun(planned)
        return reason

    def is_of_sidecar(self, item: pytest.Item) -> bool:
        """Say whether another gate has told what became of a check."""
        return self._sidecar is not None and item.nodeid in self._elsewhere

    def _enter(self, stage: str) -> None:
        """Time each stage from its first check to the first of the next."""
        if stage == self._stage:
            return
        self._leave()
        self._stage = stage
        question = STAGES[stage].question.partition("?")[0]
        self._stage_phase.enter_context(self._recorder.phase(stage, f"{stage}: {question}"))

    def _leave(self) -> None:
        self._stage_phase.close()
        self._stage = None

    def _held_back(self, stage: str, problems: "Mapping[str, Problem]") -> str | None:
        """Say why a stage gets no work: a broken stack is not driven any further."""
        if not STAGES[stage].needs_smoke:
            return None
        if self._failed_of("smoke"):
            return "smoke failed: a broken stack is given no more work"
        if problems:
            services = ", ".join(f"{one.service}: {one.seen}" for one in problems.values())
            return f"the stack did not come up ({services})"
        return None

    def _enough(self, planned: PlannedCheck, expects: Callable[[str], bool] | None) -> str | None:
        """Say why a check need not run: its stage has found what the run is for."""
        is_found = (
            expects is not None
            and not expects(planned.identifier)
            and any(map(expects, self._failed_of(planned.stage)))
        )
        return "the planted fault is found: --until-caught asks for no more" if is_found else None

    def _failed_of(self, stage: str) -> list[str]:
        return [check for check in self._recorder.failed if stage_of(check) == stage]

    def _start(self) -> Sidecar:
        """Start the gate beside this one: smoke has passed."""
        stream = self._recorder.stream
        words = [f"--compose-file={file}" for file in self._options.compose_files]
        options = ["--target=disposable", *words]
        started = self._start_sidecar(
            sidecar.STAGE, self._elsewhere, stream.folder, options, stream.now()
        )
        self._recorder.tally.count_sidecar(started.stage, started.new_events)
        return started

    def _join(self, other: Sidecar) -> None:
        """Take over what the gate beside this one found, at the first of its checks."""
        if other.is_joined:
            return
        self._leave()
        name = f"{other.stage}, which runs beside the others"
        with self._recorder.step(name, other.stage):
            other.join()
        self._recorder.take_over(other.events())
        for name, text in other.logs():
            self._recorder.stream.attach(name, text)

    # After the checks

    def end(self) -> None:
        """End the stage at work and the gate beside this one; write what was left out."""
        self._leave()
        if self._sidecar is not None:
            self._sidecar.stop()
        for check, reason in self._deselected.items():
            if stage_of(check) in self._options.stages:
                self._recorder.deselected(check, reason)


def _unavailable(target: Target) -> frozenset[str]:
    """Give the needs that the target should meet and cannot on this machine."""
    services = target.unavailable
    return frozenset([*services, *(f"direct:{service}" for service in services)])


def _why_unavailable(target: Target, needs: Sequence[str]) -> str | None:
    """Say why a need cannot be met on this machine; None where all can."""
    reasons = (
        reason
        for service, reason in target.unavailable.items()
        if service in needs or f"direct:{service}" in needs
    )
    return next(reasons, None)


def _file(item: Any) -> str:
    return node(item).partition("::")[0]


def _title(item: pytest.Item) -> str:
    """Read a test's name as a sentence: names are promises."""
    name, bracket, parameter = item.name.removeprefix("test_").partition("[")
    return name.replace("_", " ") + (f" ({parameter.removesuffix(']')})" if bracket else "")
