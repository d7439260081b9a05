"""The table of checks: one row for each that ran or was required, in declared order."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from reports.events import (
    WAIVED,
    CheckResult,
    Event,
    Outcome,
    Required,
    RunStarted,
    Waiver,
    events_of_kind,
)

NOT_COLLECTED = "was not collected"


@dataclass(frozen=True, kw_only=True)
class Row(CheckResult):
    """Holds what became of a check, and whether that counts."""

    required: bool
    waived: bool

    @property
    def passed(self) -> bool:
        """Whether it ran and its promise holds."""
        return self.outcome is Outcome.PASSED

    @property
    def shown(self) -> str:
        """The word that reports show for it."""
        return WAIVED if self.waived and not self.passed else self.outcome


def table(events: list[Event]) -> list[Row]:
    """Every check with its outcome; a required one that never showed up is there as `not_run`."""
    required = manifest(events)
    waived = {waiver.check for waiver in waivers(events, required)[0]}
    results = _ran(events)
    for check, stage in required.items():
        stage = stage or check.partition(".")[0]
        results.setdefault(check, CheckResult.unknown(check, stage, NOT_COLLECTED))
    rows = [
        Row(**vars(one), required=check in required, waived=check in waived)
        for check, one in results.items()
    ]
    declared = {check: number for number, check in enumerate(required)}
    order = stage_order(events)

    def place(row: Row) -> tuple[int, int]:
        return order.get(row.stage, len(order)), declared.get(row.check, len(declared))

    return sorted(rows, key=place)


def manifest(events: list[Event]) -> dict[str, str]:
    """The required checks, each with its stage; a stage that was not asked for requires nothing."""
    asked, not_asked = asked_stages(events)
    spared = set(not_asked) - set(asked)
    return {
        check: event.stage
        for event in events_of_kind(events, Required)
        for check in event.checks
        if event.stage not in spared
    }


def started(events: list[Event]) -> RunStarted | None:
    """How the run began; None where nothing says so."""
    return next(iter(events_of_kind(events, RunStarted)), None)


def asked_stages(events: list[Event]) -> tuple[list[str], list[str]]:
    """The stages asked for and those that were not."""
    run = started(events)
    return (list(run.asked), list(run.not_asked)) if run else ([], [])


def stage_order(events: list[Event]) -> dict[str, int]:
    """Every stage of this run with its place in the pipeline."""
    asked, not_asked = asked_stages(events)
    others = [event.stage for event in events_of_kind(events, Required)]
    others += [event.stage for event in events_of_kind(events, CheckResult)]
    mentioned = [*asked, *not_asked, *others]
    run = started(events)
    known = [stage for stage in run.stages if stage in mentioned] if run else []
    return {stage: number for number, stage in enumerate(dict.fromkeys([*known, *mentioned]))}


def waivers(events: list[Event], required: dict[str, str]) -> tuple[list[Waiver], list[Waiver]]:
    """The waivers that hold, and those that change nothing: no such check, or no reason given."""
    given = {event.check: event for event in events_of_kind(events, Waiver)}.values()
    holds = [event for event in given if event.check in required and event.reason.strip()]
    return holds, [event for event in given if event not in holds]


def matches(glob: str, check: str) -> bool:
    """Whether the check's id matches; only `*` is special, for ids hold brackets themselves."""
    pattern = ".*".join(re.escape(part) for part in glob.split("*"))
    return re.fullmatch(pattern, check, re.DOTALL) is not None


def _ran(events: list[Event]) -> dict[str, CheckResult]:
    """The worst result of each check, with the time of all that were worse than one before."""
    results: dict[str, CheckResult] = {}
    for event in events_of_kind(events, CheckResult):
        seconds, earlier = round(event.seconds, 3), results.get(event.check)
        if earlier is None:
            results[event.check] = replace(event, seconds=seconds)
        elif event.outcome.severity > earlier.outcome.severity:
            results[event.check] = replace(event, seconds=earlier.seconds + seconds)
    return {check: _with_reason(result) for check, result in results.items()}


def _with_reason(result: CheckResult) -> CheckResult:
    unsaid = result.outcome in (Outcome.ERROR, Outcome.NOT_RUN) and not result.reason
    return replace(result, reason="no reason was given") if unsaid else result


def words(value: Any) -> str:
    """Any value as text; nothing as no text."""
    return "" if value is None else str(value)
